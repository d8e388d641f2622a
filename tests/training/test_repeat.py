"""Several seeds, and repeating a run from its record."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from simcse_kit import repeat_run, train_seeds, train_unsup
from simcse_kit.errors import Notice, TrainingError
from simcse_kit.types import ScoredPairs

pytestmark = pytest.mark.filterwarnings("ignore::simcse_kit.errors.Notice")

FAST: dict[str, Any] = {"batch_size": 8, "epochs": 1, "eval_steps": 2, "learning_rate": 1e-2, "device": "cpu"}


@pytest.fixture
def corpus(sentences: list[str], tmp_path: Path) -> Path:
    """The sentences in a file, in a named column."""
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"body": text, "id": i}) + "\n" for i, text in enumerate(sentences)))
    return path


def weights(run: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(run / "model.safetensors")


def assert_equal_weights(one: Path, other: Path) -> None:
    for name, tensor in weights(one).items():
        assert torch.equal(tensor, weights(other)[name]), name


def test_one_seed_fixes_everything(bert: Path, corpus: Path, tmp_path: Path) -> None:
    settings = FAST | {"model": bert, "columns": ["body"], "recipe": "esimcse+dclr", "bf16": True}
    torch.manual_seed(1)
    train_unsup(corpus, tmp_path / "one", seed=7, **settings)
    torch.manual_seed(2)
    train_unsup(corpus, tmp_path / "two", seed=7, **settings)
    train_unsup(corpus, tmp_path / "other", seed=8, **settings)
    assert_equal_weights(tmp_path / "one", tmp_path / "two")
    with pytest.raises(AssertionError):
        assert_equal_weights(tmp_path / "one", tmp_path / "other")


def test_a_run_repeats_from_its_record_alone(
    bert: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bert.parent)  # relative names are found again from anywhere
    settings = FAST | {"columns": ["body"], "recipe": "esimcse", "matryoshka_dims": (32, 8), "seed": 3}
    train_unsup(corpus, tmp_path / "one", model=bert.name, **settings)
    monkeypatch.chdir(tmp_path)
    repeat_run(tmp_path / "one/run.json", tmp_path / "two")
    assert_equal_weights(tmp_path / "one", tmp_path / "two")
    records = [json.loads((tmp_path / name / "run.json").read_text()) for name in ("one", "two")]
    assert records[0]["data"]["sha256"] == records[1]["data"]["sha256"]
    assert {"arguments", "data", "eval_data", "model", "processes", "versions", "commit", "machine"} <= set(records[0])


def test_what_has_changed_since_is_refused(
    bert: Path, corpus: Path, sentences: list[str], tmp_path: Path, pairs: ScoredPairs
) -> None:
    train_unsup(corpus, tmp_path / "one", model=bert, columns=["body"], **FAST)
    record = tmp_path / "one/run.json"
    said = json.loads(record.read_text())

    def refused(message: str) -> None:
        with pytest.raises(TrainingError, match=message):
            repeat_run(record, tmp_path / "two")
        assert not (tmp_path / "two").exists()

    record.write_text(json.dumps(said | {"model": said["model"] | {"fingerprint": "0" * 64}}))
    refused("the start model .* has changed since the run")
    record.write_text(json.dumps(said | {"processes": 2}))
    refused("the run had 2 processes and now has 1: start the same number with torchrun")
    record.write_text(json.dumps({"arguments": {"mode": "unsup"}}))
    refused("is not a run.json of this version")
    record.write_text(json.dumps(said))
    lines = corpus.read_text()
    corpus.write_text(lines.replace("cat", "dog"))
    refused("--repeat: data has changed since the run: 40 rows")
    corpus.write_text(lines)
    record.write_text(json.dumps(said | {"versions": said["versions"] | {"torch": "1.0"}}))
    with pytest.warns(Notice, match=r"versions differ from the run's, .*torch 1\.0 before"):
        repeat_run(record, tmp_path / "two")

    train_unsup(sentences, tmp_path / "memory", model=bert, eval_data=pairs, **FAST)
    record = tmp_path / "memory/run.json"
    with pytest.raises(TrainingError, match="data was given as a Python object"):
        repeat_run(record, tmp_path / "three")


def test_seeds(bert: Path, corpus: Path, tmp_path: Path, pairs: ScoredPairs) -> None:
    settings = FAST | {"model": bert, "columns": ["body"], "eval_data": pairs}
    found = train_seeds("unsup", corpus, tmp_path / "runs", [1, 2, 3], **settings)
    scores = [found.runs[seed].best_score for seed in (1, 2, 3)]
    assert len(set(scores)) > 1
    assert found.mean == pytest.approx(statistics.fmean(scores))  # type: ignore[arg-type]
    assert found.spread == pytest.approx(statistics.stdev(scores))  # type: ignore[arg-type]
    assert found.best_seed is not None
    assert found.runs[found.best_seed].best_score == max(scores)  # type: ignore[type-var]
    written = json.loads((tmp_path / "runs/seeds.json").read_text())
    assert [written["runs"][str(seed)]["score"] for seed in (1, 2, 3)] == scores
    train_unsup(corpus, tmp_path / "alone", seed=2, **settings)
    assert_equal_weights(tmp_path / "alone", tmp_path / "runs/seed-2")
    with pytest.raises(TrainingError, match="seeds must be different numbers; got 1, 1"):
        train_seeds("unsup", corpus, tmp_path / "runs", [1, 1], **settings)
    again = train_seeds("unsup", corpus, tmp_path / "runs", [1, 4], resume=True, **settings)
    assert again.runs[1].best_score == scores[0]
    assert (tmp_path / "runs/seed-4/model.safetensors").is_file()


def test_the_precision_of_a_run_is_kept(
    bert: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run in bfloat16 is repeated in it, on a processor without it too."""
    monkeypatch.undo()  # the choice itself is tested
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    train_unsup(corpus, tmp_path / "run", model=bert, columns=["body"], **FAST)
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    repeat_run(tmp_path / "run", tmp_path / "again")
    assert_equal_weights(tmp_path / "run", tmp_path / "again")
    assert json.loads((tmp_path / "again/run.json").read_text())["precision"] == "bfloat16"
    train_unsup(corpus, tmp_path / "float32", model=bert, columns=["body"], **FAST)
    assert json.loads((tmp_path / "float32/run.json").read_text())["precision"] == "float32"
