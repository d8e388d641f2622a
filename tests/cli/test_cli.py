"""The command as a user runs it; in its own process only if the process is tested."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from simcse_kit import SearchIndexError, SimCSE
from simcse_kit.cli import app
from support.commands import COMMAND, run


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def corpus(tmp_path: Path, sentences: list[str]) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(sentences) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def pairs(tmp_path: Path, sentences: list[str]) -> Path:
    path = tmp_path / "pairs.tsv"
    rows = [f"{a}\t{b}\t{i % 6}" for i, (a, b) in enumerate(pairwise(sentences))]
    path.write_text("sentence1\tsentence2\tscore\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_help_answers_in_half_a_second() -> None:
    """Processor time, which other tests do not affect."""
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert subprocess.run([*COMMAND, "--help"], capture_output=True).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert sorted(times)[2] < 0.5


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "faiss", "scipy", "pandas")
    code = f"import sys, simcse_kit, simcse_kit.cli; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([COMMAND[0], "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_train_eval_index_search(
    tmp_path: Path, tiny_model: Callable[[str], Path], corpus: Path, pairs: Path, sentences: list[str]
) -> None:
    model = tmp_path / "model"
    trained = run(
        "train", "unsup", corpus, "--model", tiny_model("bert"), "--output-dir", model,
        "--batch-size", 8, "--eval-data", pairs, "--eval-steps", 2, "--device", "cpu",
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    assert "each sentence sees 7 negatives" in trained.stderr
    assert "cls_before_pooler (the default); in training: dense + tanh head" in trained.stderr
    assert f"model saved in {model}" in trained.stdout

    results = tmp_path / "scores.json"
    evaluated = run(
        "eval", model, tiny_model("bert"), "--pooling", "mean", "--suite", "pairs", "--data", pairs, "--json", results
    )
    assert evaluated.returncode == 0, evaluated.stderr
    written = json.loads(results.read_text(encoding="utf-8"))["results"]
    assert [(entry["suite"], entry["pooling"]) for entry in written] == [("pairs", "mean")] * 2
    assert f"{written[0]['scores']['spearman']:.2f}" in evaluated.stdout

    index = tmp_path / "index"
    built = run("index", "build", model, corpus, index)
    assert built.returncode == 0, built.stderr
    found = run("search", index, sentences[3], "-k", 1, "--format", "json")
    assert found.returncode == 0, found.stderr
    answer = json.loads(found.stdout)
    assert answer["query"] == sentences[3]
    assert answer["hits"][0]["text"] == sentences[3]
    assert answer["hits"][0]["score"] == pytest.approx(1, abs=1e-5)
    table = run("search", index, sentences[3])
    assert sentences[3] in table.stdout
    assert "1.000" in table.stdout


def test_selection_by_dropout_twins_says_that_it_is_not_search(
    tmp_path: Path, tiny_model: Callable[[str], Path], sentences: list[str]
) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(f"{sentence} {i}" for sentence in sentences for i in range(13)), encoding="utf-8")
    start = ("--model", tiny_model("bert"), "--device", "cpu", "--batch-size", 128, "--select")
    one = invoke("train", "unsup", corpus, "--output-dir", tmp_path / "one", *start, "label-free")  # its former name
    two = invoke("train", "unsup", corpus, "--output-dir", tmp_path / "two", *start, "dropout-twins", "--seeds", "1,2")
    for done in (one, two):
        assert done.exit_code == 0, done.output
        said = " ".join(done.output.split())
        assert (
            "how well two dropout views of 52 held-out sentences find each other; no measure of search" in said
        )  # before
        assert "how well two dropout views of held-out sentences find each other; this does not measure search" in said


def test_a_start_model_that_is_saved_is_said(
    tmp_path: Path, tiny_model: Callable[[str], Path], sentences: list[str], pairs: Path
) -> None:
    """Pairs whose gold scores are the start model's own cosines: it orders them without a mistake."""
    start = SimCSE(tiny_model("bert"), pooling="mean", device="cpu")
    first, second = sentences[::2], sentences[1::2]
    cosines = (start.encode(first, normalize_embeddings=True) * start.encode(second, normalize_embeddings=True)).sum(1)
    corpus, dev = tmp_path / "corpus.txt", tmp_path / "dev.tsv"
    corpus.write_text("\n".join(sentences), encoding="utf-8")
    rows = "".join(f"{a}\t{b}\t{float(gold)!r}\n" for a, b, gold in zip(first, second, cosines, strict=True))
    dev.write_text(f"sentence1\tsentence2\tscore\n{rows}", encoding="utf-8")
    given = ("--model", tiny_model("bert"), "--pooling", "mean", "--device", "cpu", "--no-bf16", "--batch-size", 8)
    given += ("--eval-data", dev, "--learning-rate", 0.05)
    one = invoke("train", "unsup", corpus, "--output-dir", tmp_path / "one", *given)
    two = invoke("train", "unsup", corpus, "--output-dir", tmp_path / "two", *given, "--seeds", "1,2")
    for done, line in (
        (one, "the start model is saved: no checkpoint scored above its 100.00"),
        (two, "saved the start model, because no checkpoint scored higher: seed 1, 2"),
    ):
        assert done.exit_code == 0, done.output
        assert line in " ".join(done.output.split())
        assert "best: step" not in done.output


def test_models_are_compared_with_the_first(
    tmp_path: Path, tiny_model: Callable[[str], Path], pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verdict appears only if the interval excludes zero: an oracle is better than a constant direction."""
    (tmp_path / "oracles_of_this_test.py").write_text(
        "import numpy as np\ndef noise(texts):\n    return np.random.default_rng(0).standard_normal((len(texts), 4))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    model, data = tiny_model("bert"), f"pairs={pairs}"
    result = invoke("eval", model, model, "--pooling", "mean", "--suite", "pairs", "--data", data)
    assert result.exit_code == 0, result.output
    assert "+0.00 to +0.00" in result.output
    assert "no clear difference" in result.output
    assert "better" not in result.output
    other = invoke("eval", "oracles_of_this_test:noise", "--suite", "pairs,geometry", "--data", pairs, "--details")
    assert other.exit_code == 0, other.output
    assert "length bias" in other.output
    assert "nan" not in other.output


def test_seeds_are_one_recipe_and_scores_go_into_the_models(
    tmp_path: Path, tiny_model: Callable[[str], Path], pairs: Path
) -> None:
    model, runs = tiny_model("bert"), tmp_path / "runs"
    for seed in (1, 2):
        SimCSE(model, pooling="mean" if seed == 1 else "max", device="cpu").save(runs / f"seed-{seed}")
    folders = {str(seed): {"folder": f"seed-{seed}"} for seed in (1, 2)}
    (runs / "seeds.json").write_text(json.dumps({"runs": folders}))
    path = tmp_path / "scores.json"
    result = invoke("eval", runs / "seed-1", runs, "--suite", "pairs", "--data", pairs, "--json", path, "--record")
    assert result.exit_code == 0, result.output
    assert "spread of 2 seeds" in result.output
    written = json.loads(path.read_text())["results"]
    assert [Path(entry["model"]).name for entry in written] == ["seed-1", "seed-1", "seed-2"]
    for entry in written:
        (recorded,) = json.loads((Path(entry["model"]) / "simcse_kit.json").read_text())["evaluation"]
        assert recorded["scores"] == entry["scores"]
    refused = invoke("eval", model, "--pooling", "mean", "--suite", "pairs", "--data", pairs, "--record")
    assert "holds no simcse_kit.json" in str(refused.exception)


def test_data_for_each_suite(tiny_model: Callable[[str], Path], pairs: Path) -> None:
    missing = invoke("eval", tiny_model("bert"), "--suite", "sts,pairs", "--data", f"pairs={pairs}")
    assert missing.exit_code == 1
    assert "the suite sts needs a folder with STS/" in str(missing.exception)
    twice = invoke("eval", tiny_model("bert"), "--suite", "pairs", "--data", pairs, "--data", "other")
    assert "one path for all suites" in str(twice.exception)


def test_one_result_is_one_object(tmp_path: Path, tiny_model: Callable[[str], Path], pairs: Path) -> None:
    path = tmp_path / "one.json"
    result = invoke(
        "eval", tiny_model("bert"), "--pooling", "cls", "--suite", "pairs", "--data", pairs, "--json", path, "--details"
    )
    assert result.exit_code == 0, result.output
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written["suite"] == "pairs"
    assert set(written["scores"]) == {"spearman", "pearson"}
    assert written["pooling"] == "cls"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("eval", "no/such/model/anywhere", "--data", "."), "no/such/model/anywhere is neither an existing folder"),
        (("train", "unsup", "missing.txt", "--model", "x", "--output-dir", "out"), "missing.txt"),
        (("train", "unsup", "empty.txt", "--model", "x", "--output-dir", "out"), "empty.txt"),
        (("train", "sup", "broken.csv", "--model", "x", "--output-dir", "out"), "broken.csv, line 3: expected"),
        (("train", "unsup", "few.txt", "--model", "x", "--output-dir", "out"), "fewer than one batch of 64"),
        (("train", "unsup", "few.txt", "--output-dir", "out"), "name the start model"),
        (("train", "unsup", "few.txt", "--recipe", "nonsense", "--output-dir", "out"), "recipe for train unsup must"),
        (("train", "unsup", "few.txt", "--model", "x", "--batch-size", "1", "--output-dir", "out"), "at least 2"),
        (("search", "no-index", "query"), "no-index does not exist"),
        (("quickstart", "--sentences", "few.txt"), "few.txt holds 2 distinct texts"),
        (("eval", "x", "--suite", "nonsense", "--data", "."), "suite must be one of sts, korsts, klue-sts, pairs"),
    ],
)  # fmt: skip
def test_errors_are_one_line_with_status_1_and_create_nothing(
    tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "few.txt").write_text("one sentence\nand another\n", encoding="utf-8")
    (tmp_path / "broken.csv").write_text("sent0,sent1,hard_neg\na b,c d,e f\na b,c d\n", encoding="utf-8")
    before = sorted(tmp_path.iterdir())
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert says in errors[0]
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_ctrl_c_keeps_a_checkpoint(tmp_path: Path, tiny_model: Callable[[str], Path], sentences: list[str]) -> None:
    corpus = tmp_path / "long.txt"
    corpus.write_text("\n".join(f"{s} {i}" for i in range(400) for s in sentences), encoding="utf-8")
    model = tmp_path / "model"
    process = subprocess.Popen(
        [*COMMAND, "train", "unsup", str(corpus), "--model", str(tiny_model("bert")), "--output-dir", str(model),
         "--batch-size", "8", "--eval-steps", "100000", "--device", "cpu"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (model / "metrics.jsonl").is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Repeat the command with --resume to continue" in errors
    assert len(list(model.glob("checkpoint-*"))) == 1
    assert not (model / "model.safetensors").exists()


def test_recipes_and_version() -> None:
    assert "unsup-roberta-large" in invoke("recipes").output
    assert invoke("--version").output.startswith("simcse-kit ")


def test_a_pipe_gets_whole_lines(tmp_path: Path, tiny_model: Callable[[str], Path]) -> None:
    text = "a very long sentence " * 20
    corpus = tmp_path / "long.txt"
    corpus.write_text(text.strip() + "\n", encoding="utf-8")
    index = tmp_path / "index"
    assert invoke("index", "build", tiny_model("bert"), corpus, index, "--pooling", "mean").exit_code == 0
    done = run("search", index, "a sentence")
    assert " ".join(done.stdout.split()).count("a very long sentence") == 20


def test_errors_and_tracebacks_of_a_real_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line and status 1 to the shell; with SIMCSE_KIT_DEBUG the traceback."""
    command = [*COMMAND, "search", "nowhere", "x"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    monkeypatch.setenv("SIMCSE_KIT_DEBUG", "1")
    with pytest.raises(SearchIndexError):
        run("search", "nowhere", "x", cwd=tmp_path)


def test_what_was_measured_before_an_error_is_kept(
    tmp_path: Path, tiny_model: Callable[[str], Path], pairs: Path
) -> None:
    path, broken = tmp_path / "some.json", tmp_path / "broken"
    shutil.copytree(tiny_model("bert"), broken)
    (broken / "model.safetensors").write_bytes(b"x")
    how = ["--pooling", "mean", "--suite", "pairs", "--data", pairs, "--json", path]
    missing = run("eval", tiny_model("bert"), "no/such/model/x", *how)
    assert missing.returncode == 1
    assert "no/such/model/x is neither an existing folder nor a hub name" in missing.stderr
    assert not path.exists()  # nothing was measured for a name that does not exist
    assert ", suite pairs" not in missing.stderr
    done = run("eval", tiny_model("bert"), broken, *how)
    assert done.returncode == 1
    written = json.loads(path.read_text(encoding="utf-8"))["results"]
    assert len(written) == 1
    assert f"{written[0]['scores']['spearman']:.2f}" in done.stdout


def test_odd_bytes_in_and_out(tmp_path: Path, tiny_model: Callable[[str], Path]) -> None:
    corpus, index = tmp_path / "corpus.txt", tmp_path / "index"
    corpus.write_text("a cat 😀\na dog\n", encoding="utf-8")
    assert invoke("index", "build", tiny_model("bert"), corpus, index, "--pooling", "mean").exit_code == 0
    blank = run("search", index, " ")
    assert (blank.returncode, blank.stderr[:6]) == (1, "error:")
    odd = run("search", index, os.fsdecode(b"caf\xe9"))
    assert odd.returncode == 0
    assert "note: 1 of 1 texts contain half of a surrogate pair" in odd.stderr
    narrow = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*COMMAND, "search", str(index), "a cat"], capture_output=True, env=narrow)
    assert done.returncode == 0
    assert b"a cat \\U0001f600" in done.stdout


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path, corpus: Path, pairs: Path) -> None:
    found = run("search", corpus, "query")
    assert found.returncode == 1
    assert "is a file; an index is a folder" in found.stderr
    scored = run("eval", "all-MiniLM-L6-v2", "--data", pairs)
    assert scored.returncode == 1
    assert "use the suite pairs" in scored.stderr
    written = run("eval", "x", "--suite", "pairs", "--data", pairs, "--json", tmp_path)
    assert "name a file" in written.stderr
