"""The command that a job prints at its end works unchanged on the job's output."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from simcse_kit import SimCSE
from simcse_kit.workflows.steps import after_export, after_judging, new_name
from support.commands import Done, parsed, run
from support.tiny import SENTENCES

TEXTS = [f"{text} {number}" for number in range(2) for text in SENTENCES]
FEW = ("--epochs", 1, "--batch-size", 8, "--device", "cpu")


@pytest.fixture(scope="module")
def files(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose files have spaces in their names, and a model."""
    folder = tmp_path_factory.mktemp("files")
    SimCSE(tiny_model("bert"), pooling="mean", device="cpu").save(folder / "a model")

    def write(name: str, *lines: str) -> None:
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")

    both = list(zip(TEXTS, reversed(TEXTS), strict=True))
    write("my texts.txt", *TEXTS)
    write("named.tsv", "id\tbody", *(f"{n}\t{text}" for n, text in enumerate(TEXTS)))
    write("my pairs.tsv", "sentence1\tsentence2\tscore", *(f"{a}\t{b}\t{n % 6}" for n, (a, b) in enumerate(both)))
    write("pairs.tsv", "anchor\tpositive", *(f"{a}\t{b}" for a, b in both))
    write("bare.tsv", *(f"{a}.\t{b}." for a, b in both))
    write("labels.tsv", "body\tteam", *(f"{text}\t{n % 3}" for n, text in enumerate(TEXTS)))
    return folder


@pytest.fixture
def place(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder beside the files."""
    for path in files.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def printed(done: Done, what: str = "next") -> list[str]:
    """The arguments of the command that a job has printed; they parse."""
    assert done.returncode == 0, done.stderr
    (line,) = re.findall(rf"^{what}: (simcse-kit .*)$", done.stdout, re.M)
    return parsed(line)


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (["unsup", "my texts.txt"], ["index", "build", "my run", "my texts.txt", "my-index"]),
        (
            ["unsup", "named.tsv", "--columns", "body"],
            ["index", "build", "my run", "named.tsv", "my-index", "--columns", "body"],
        ),
        (
            ["unsup", "my texts.txt", "--eval-data", "my pairs.tsv", "--eval-steps", 2],
            ["eval", "my run", "--suite", "pairs", "--data", "my pairs.tsv"],
        ),
        (
            ["unsup", "my texts.txt", "--eval-data", "my pairs.tsv", "--select", "last"],
            ["eval", "my run", "--suite", "pairs", "--data", "my pairs.tsv"],
        ),
        (["sup", "pairs.tsv"], ["index", "build", "my run", "pairs.tsv", "my-index", "--columns", "anchor"]),
        (["sup", "bare.tsv"], ["demo", "--model", "my run"]),
        (
            ["sup", "labels.tsv", "--label-column", "team"],
            ["eval", "my run", "--suite", "labels", "--data", "labels.tsv", "--label-column", "team"],
        ),
        (
            ["unsup", "my texts.txt", "--seeds", "1,2", "--eval-data", "my pairs.tsv"],
            ["eval", "my run", "--suite", "pairs", "--data", "my pairs.tsv"],
        ),
    ],
)
def test_after_training(job: list[str], expected: list[str], place: Path) -> None:
    done = run("train", *job, "--model", "a model", "--output-dir", "my run", *FEW)
    step = printed(done)
    assert step == expected
    assert ("the model was trained on these texts" in done.stdout) == ("labels" in step)
    said = "my pairs.tsv chose the saved checkpoint, so the score on it is too high" in " ".join(done.stdout.split())
    assert said == ("--eval-data" in job and "last" not in job)
    if step[0] != "demo":  # which serves until it is stopped
        done = run(*step)
        assert done.returncode == 0, done.stderr


def test_from_an_index_to_a_saved_list(place: Path) -> None:
    search = printed(run("index", "build", "a model", "my texts.txt", "an index"))
    assert search == ["search", "an index", "your question"]
    assert run(*search).returncode == 0
    for command, name in ((["cluster"], "clusters"), (["mine"], "pairs"), (["mine", "--groups"], "groups")):
        done = run(*command, "an index", *(["--threshold", "-1"] if name == "pairs" else []))
        if name == "groups":  # few enough to be shown
            assert "to save all" not in done.stdout
            continue
        save = printed(done, "to save all")
        assert run(*save).returncode == 0
        assert (place / f"{name}.jsonl").stat().st_size
        assert save[-1] == f"{name}.jsonl"


def test_after_preparing(place: Path) -> None:
    (place / "documents").mkdir()
    (place / "documents" / "one.txt").write_text(" ".join(f"{text}." for text in TEXTS))
    (place / "my-model").mkdir()
    sentences = printed(run("prepare", "sentences", "documents", "my sentences.txt"))
    assert sentences == ["adapt", "my sentences.txt", "--output-dir", "my-model-2"]
    negatives = printed(run("prepare", "negatives", "pairs.tsv", "triplets.csv", "--model", "a model"))
    assert negatives == ["train", "sup", "triplets.csv", "--model", "a model", "--output-dir", "my-model-2"]
    done = run(*negatives, *FEW)
    assert done.returncode == 0, done.stderr


def test_after_exporting(place: Path) -> None:
    expected = ["eval", "out", "--suite", "pairs", "--data", "p.tsv", "--backend", "openvino", "--dtype", "int8"]
    measured = after_export(Path("out"), "openvino-int8", Path("p.tsv"))
    served = after_export(Path("out"), "onnx", None)
    assert measured is not None
    assert served is not None
    assert (measured.command, served.command) == (expected, ["serve", "out", "--backend", "onnx"])
    assert after_export(Path("out"), "static", None) is None  # for other packages


def test_the_models_of_judged_systems_are_measured(place: Path) -> None:
    assert run("index", "build", "a model", "my texts.txt", "an index").returncode == 0
    step = after_judging(("an index", "b"), Path("my judged"), "cls", trust_remote_code=False).command
    assert step == [
        "eval",
        str(place / "a model"),
        "b",
        "--suite",
        "retrieval",
        "--data",
        "my judged",
        "--pooling",
        "cls",
    ]
    one = after_judging(("a model", "an index"), Path("judged"), None, trust_remote_code=True).command
    assert one == ["eval", "a model", "--suite", "retrieval", "--data", "judged", "--trust-remote-code"]


def test_a_new_name_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert new_name("pairs.jsonl") == "pairs.jsonl"
    for name in ("pairs.jsonl", "pairs-2.jsonl"):
        (tmp_path / name).touch()
    assert new_name("pairs.jsonl") == "pairs-3.jsonl"
