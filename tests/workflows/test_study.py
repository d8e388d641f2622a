"""A study: trained once, measured once, and a new run if anything has changed."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simcse_kit import SimCSEKitError, SuiteResult, plan_study, read_study, run_study
from simcse_kit.data import sample_pairs_path
from simcse_kit.encoding.embedders import Embedder
from simcse_kit.evaluation import Outcome
from simcse_kit.evaluation.suite import suite_of
from simcse_kit.report.kept import KeptResult, KeptResults, content_hash
from support.commands import parsed, run

FILE = """
seeds = [1, 2]
[data]
pairs = "pairs.tsv"
[[model]]
name = "start"
model = "{model}"
pooling = "mean"
device = "cpu"
[[run]]
name = "short"
data = "corpus.txt"
model = "{model}"
pooling = "mean"
epochs = 1
batch_size = 16
device = "cpu"
"""


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Callable[[str], Path], sentences: list[str]) -> Path:
    (tmp_path / "pairs.tsv").write_bytes(sample_pairs_path().read_bytes())
    (tmp_path / "corpus.txt").write_text("\n".join(sentences), encoding="utf-8")
    (tmp_path / "paper.toml").write_text(FILE.format(model=tiny_model("bert")), encoding="utf-8")
    return tmp_path


def changed(folder: Path, old: str, new: str) -> Path:
    file = folder / "paper.toml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    return file


def test_a_study_is_made_once(folder: Path) -> None:
    said: list[str] = []
    made = run_study(folder / "paper.toml", announce=said.append)
    assert said[0] == "short: training, seeds 1, 2"
    assert [model.title for model in made.comparison.models] == ["start", "short"]
    assert [model.pooling for model in made.comparison.models] == ["mean", "mean"]
    table = (folder / "paper" / "table.md").read_text(encoding="utf-8")
    assert "| short |" in table
    assert " ± " in table
    assert (folder / "paper" / "report.html").is_file()
    weights = (folder / "paper").glob("runs/short-*/seed-*/model.safetensors")
    before = {path: path.stat().st_mtime_ns for path in weights}
    assert len(before) == 2

    said.clear()
    again = run_study(folder / "paper.toml", announce=said.append)
    assert said == ["short: already trained"]  # nothing is trained or measured
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert again.comparison.to_dataframe().equals(made.comparison.to_dataframe())
    assert (folder / "paper" / "table.md").read_text(encoding="utf-8") == table

    changed(folder, "epochs = 1", "epochs = 2")
    assert [one.state for one in plan_study(folder / "paper.toml")] == ["new", "new"]


def test_another_seed_is_added_to_the_others(folder: Path) -> None:
    run_study(changed(folder, "seeds = [1, 2]", "seeds = [1]"))
    changed(folder, "seeds = [1]", "seeds = [1, 3]")
    planned = plan_study(folder / "paper.toml")
    assert [(one.seed, one.state) for one in planned] == [(1, "done"), (3, "new")]
    assert planned[0].seconds == 0 < planned[1].seconds
    made = run_study(folder / "paper.toml")
    assert [len(model.results["pairs"]) for model in made.comparison.models] == [1, 2]


def test_a_teacher_may_be_a_folder_beside_the_file(folder: Path, tiny_model: Callable[[str], Path]) -> None:
    (folder / "guide").symlink_to(tiny_model("bert"))
    file = changed(folder, "epochs = 1", 'recipe = "rankcse"\nteacher = ["guide", "guide:mean"]')
    (made,) = read_study(file).runs
    assert made.settings["teacher"] == [f"{folder / 'guide'}", f"{folder / 'guide'}:mean"]
    changed(folder, "guide:mean", "guide:max")
    (other,) = read_study(file).runs
    assert other.folder != made.folder  # another run


def test_a_name_may_have_any_characters(folder: Path) -> None:
    (run,) = read_study(changed(folder, 'name = "short"', 'name = "SimCSE / ours (CLS)"')).runs
    assert run.name == "SimCSE / ours (CLS)"
    assert run.folder.parent == folder / "paper" / "runs"
    assert re.fullmatch(r"simcse-ours-cls-[0-9a-f]{8}", run.folder.name)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds = [1, 2]", "seds = [1, 2]", "has no argument 'seds'; did you mean seeds"),
        ("seeds = [1, 2]", "seeds = 3", "seeds must be a list of numbers; got 3"),
        ("epochs = 1", "epoch = 1", "has no argument 'epoch'; did you mean epochs"),
        ("epochs = 1", "seed = 1", r'paper.toml, run "short": the study sets seed; leave it out$'),
        (
            "epochs = 1",
            'recipe = "arcse"',
            r'paper.toml, run "short": recipe for train unsup .* got \'arcse\'; did you mean arccse\?$',
        ),
        ("epochs = 1", "epochs = 0", 'run "short": epochs must be above 0'),
        ("epochs = 1", 'objective = "simsce"', r'run "short": .* did you mean simcse\?'),
        ("epochs = 1", 'eval_data = "pears.tsv"', r'run "short": pears.tsv does not exist'),
        ("epochs = 1", 'recipe = "rankcse"\nteacher = "taught:mean"', 'run "short": teacher .*taught is a folder but'),
        ("epochs = 1", 'recipe = "rankcse"\nteacher = "./away"', 'run "short": teacher ./away is neither'),
        ('data = "corpus.txt"', 'data = "corpse.txt"', 'run "short": corpse.txt does not exist'),
        ('name = "short"', "", "paper.toml, run 1: name is missing"),
        (
            'pooling = "mean"\ndevice = "cpu"\n[[run]]',
            'poling = "mean"\n[[run]]',
            'model "start": .* did you mean pooling',
        ),
        ('name = "short"', 'name = "start"', "twice: start"),
        ('data = "corpus.txt"', "", "data is missing"),
        ('pairs = "pairs.tsv"', "", r"\[data\] names no suite"),
        ('pairs = "pairs.tsv"', 'paris = "pairs.tsv"', "paris"),
        ('pairs = "pairs.tsv"', 'pairs = "away.tsv"', "away.tsv"),
        ("[data]", "[data", "is not valid TOML"),
    ],
)
def test_a_mistake_is_found_before_anything_is_loaded(folder: Path, old: str, new: str, message: str) -> None:
    (folder / "taught").mkdir()
    file = changed(folder, old, new)
    with pytest.raises(SimCSEKitError, match=message) as caught:
        read_study(file)
    assert str(file) in str(caught.value)


def test_the_command_lists_what_is_left(folder: Path) -> None:
    done = run("study", folder / "paper.toml", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" new ") == 2
    assert "to measure: 2 models and runs on pairs" in done.stdout
    assert parsed(done.stdout.splitlines()[-1].removeprefix("next: ")) == ["study", str(folder / "paper.toml")]
    assert not (folder / "paper").exists()


def test_the_scores_fit_a_terminal(folder: Path) -> None:
    done = run("study", changed(folder, "[1, 2]", "[1]"), terminal=70)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^short +[\d.]+ ", done.stdout, re.M)
    assert max(map(len, done.stdout.splitlines())) <= 70


@pytest.mark.slow
def test_a_killed_study_goes_on(folder: Path) -> None:
    command = [sys.executable, "-m", "simcse_kit", "study", str(folder / "paper.toml")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    first = next(iter((folder / "paper").glob("runs/*/seed-1/simcse_kit.json")), None)
    began = time.monotonic()
    while first is None and time.monotonic() - began < 120:
        time.sleep(0.02)
        first = next(iter((folder / "paper").glob("runs/*/seed-1/simcse_kit.json")), None)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert first is not None
    trained = (first.parent / "model.safetensors").read_bytes()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (first.parent / "model.safetensors").read_bytes() == trained
    assert "| short |" in done.stdout


def test_what_is_kept_is_read_as_it_was(tmp_path: Path) -> None:
    outcome = Outcome("spearman", "spearman", np.array([0.1, float("nan")]), np.array([1.0, 2.0]), (["é"], ["b"]))
    result = SuiteResult(
        suite="pairs",
        scores={"spearman": 12.345678901234567},
        details=(),
        seconds=1.5,
        sentences=2,
        data="d",
        alignment=float("nan"),
        notes=("a note",),
        outcomes=(outcome,),
    )
    kept = KeptResults(tmp_path / "kept")
    model = Embedder("m", "mean", lambda texts: np.zeros((len(texts), 2), np.float32), None, "cpu", lambda: "f")  # type: ignore[arg-type]
    entry = kept.key(model, {}, suite_of("pairs"), sample_pairs_path())
    assert entry is not None
    assert kept.get(entry) is None
    kept.put(entry, KeptResult(result, 3.0))
    found = kept.get(entry)
    assert found is not None
    assert json.dumps(found.result.to_json()) == json.dumps(result.to_json())
    (again,) = found.result.outcomes
    np.testing.assert_array_equal(again.values, outcome.values)
    assert [list(column) for column in again.texts] == [["é"], ["b"]]
    assert kept.key(model._replace(fingerprint=lambda: "g"), {}, suite_of("pairs"), sample_pairs_path()) != entry
    assert kept.key(model, {"dtype": "bfloat16"}, suite_of("pairs"), sample_pairs_path()) != entry
    assert kept.key(model._replace(fingerprint=None), {}, suite_of("pairs"), sample_pairs_path()) is None


def test_the_content_of_a_folder_is_its_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "a.txt").write_text("text", encoding="utf-8")
    assert content_hash(tmp_path / "one") == content_hash(tmp_path / "two")
    (tmp_path / "two" / "inner" / "a.txt").rename(tmp_path / "two" / "inner" / "b.txt")
    assert content_hash(tmp_path / "one") != content_hash(tmp_path / "two")
