"""Checkpoints are checked before use; if the last is damaged, the run resumes from the one before."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from simcse_kit import errors, train_unsup
from simcse_kit.errors import Notice, TrainingError
from simcse_kit.training import record
from simcse_kit.training.checkpoints import checkpoints, damage, rotate_checkpoints, seal_checkpoint
from simcse_kit.types import ScoredPairs
from support.marks import fast

_FILES = [
    "training.safetensors",
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    "trainer_state.json",
    "files.json",
    "model.safetensors",
]


@pytest.fixture(scope="module")
def settings(bert: Path) -> dict[str, Any]:
    given = {"model": bert, "batch_size": 8, "epochs": 2, "eval_steps": 3, "learning_rate": 1e-3}
    return given | {"device": "cpu", "bf16": False}


@pytest.fixture(scope="module")
def finished(settings: dict[str, Any], sentences: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ten steps: checkpoints 9 and 10."""
    run = tmp_path_factory.mktemp("finished") / "run"
    import torch

    torch.set_num_threads(1)
    train_unsup(sentences, run, **settings)
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    errors._said.clear()
    return Path(shutil.copytree(finished, tmp_path / "run"))


def again(run: Path, sentences: list[str], settings: dict[str, Any]) -> None:
    train_unsup(sentences, run, resume=True, **settings)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", fast(["optimizer.pt", "rng_state.pth"], of=_FILES))
def test_a_missing_file(name: str, run: Path, finished: Path, sentences: list[str], settings: dict[str, Any]) -> None:
    """Three of them used to be resumed from silently, with another result."""
    (run / "checkpoint-10" / name).unlink()
    with pytest.warns(Notice, match=rf"checkpoint-10 is damaged: {name} is missing.* resumes from .*checkpoint-9"):
        again(run, sentences, settings)
    for same in ("model.safetensors", "checkpoint-10/training.safetensors"):
        assert (run / same).read_bytes() == (finished / same).read_bytes()
    assert [path.name for path in checkpoints(run)] == ["checkpoint-9", "checkpoint-10"]


@pytest.mark.parametrize(
    ("spoil", "message"), [(cut, r"has \d+ bytes instead of \d+"), (flip, "has changed since it was written")]
)
@pytest.mark.parametrize("name", _FILES[:-2])
def test_a_damaged_file_is_found(spoil: Any, message: str, name: str, run: Path) -> None:
    import re

    assert damage(run / "checkpoint-10") is None
    spoil(run / "checkpoint-10" / name)
    assert re.search(f"{name} {message}", damage(run / "checkpoint-10") or "")


@pytest.fixture
def early(run: Path) -> Path:
    """A run as version 0.1.0 left it: no lists of files, and fewer settings."""
    for step in (9, 10):
        (run / f"checkpoint-{step}/files.json").unlink()
    written = json.loads((run / "run.json").read_text())
    for name in ("prompts", "start_share", "neighbors", "texts_per_class"):
        del written["arguments"][name]
    del written["device"]
    (run / "run.json").write_text(json.dumps(written))
    return run


def test_a_run_of_an_earlier_version_goes_on(
    early: Path, finished: Path, sentences: list[str], settings: dict[str, Any]
) -> None:
    shutil.rmtree(early / "checkpoint-10")
    with pytest.warns(Notice, match=r"checkpoint-9 has no files.json, because an earlier version wrote it") as said:
        again(early, sentences, settings)
    assert not [notice for notice in said if "the environment has changed" in str(notice.message)]
    for same in ("model.safetensors", "checkpoint-10/training.safetensors"):
        assert (early / same).read_bytes() == (finished / same).read_bytes()
    assert damage(early / "checkpoint-10") is None
    (early / "checkpoint-10/files.json").unlink()
    (early / "checkpoint-10/optimizer.pt").unlink()
    assert damage(early / "checkpoint-10") == "optimizer is missing"


@pytest.mark.parametrize("name", _FILES[:-2])
def test_of_an_earlier_version_what_is_cut_off_is_found(name: str, early: Path) -> None:
    assert damage(early / "checkpoint-10") is None
    cut(early / f"checkpoint-10/{name}")
    assert name in (damage(early / "checkpoint-10") or "")
    (early / f"checkpoint-10/{name}").unlink()
    assert "is missing" in (damage(early / "checkpoint-10") or "")
    assert last(early) == "checkpoint-9"


def test_of_an_earlier_version_other_settings_are_refused(
    early: Path, sentences: list[str], settings: dict[str, Any]
) -> None:
    with pytest.raises(TrainingError, match=r"start_share was 0.0 in the run in"):
        again(early, sentences, settings | {"start_share": 0.5})


def test_none_is_whole(run: Path, sentences: list[str], settings: dict[str, Any]) -> None:
    for step in (9, 10):
        cut(run / f"checkpoint-{step}/optimizer.pt")
    with pytest.raises(TrainingError, match=r"no usable checkpoint in .*run: .*checkpoint-10 is damaged"):
        again(run, sentences, settings)


def test_the_best_is_checked_too(
    settings: dict[str, Any], sentences: list[str], pairs: ScoredPairs, tmp_path: Path
) -> None:
    """The run may end with its weights."""
    for step, best in ((3, 3), (6, 3), (9, 3)):
        made(tmp_path, step, best)
    assert last(tmp_path) == "checkpoint-9"
    cut(tmp_path / "checkpoint-3/weights")
    with pytest.raises(TrainingError, match="in checkpoint-3, the best checkpoint so far, weights has"):
        last(tmp_path)


def last(run: Path) -> str:
    from simcse_kit.training.checkpoints import last_whole

    found = last_whole(run)
    assert found is not None
    return found.name


def made(run: Path, step: int, best: int | None) -> None:
    folder = run / f"checkpoint-{step}"
    folder.mkdir()
    (folder / "trainer_state.json").write_text(json.dumps({"best_global_step": best}))
    (folder / "weights").write_text("12345678")
    seal_checkpoint(folder)


@pytest.mark.parametrize(
    ("bests", "kept"),
    [
        ([None, None, None, None], [3, 4]),
        ([1, 1, 1, 1], [1, 3, 4]),
        ([1, 2, 2, 2], [2, 3, 4]),
        ([1, 1, 1, 4], [1, 3, 4]),  # without it, the run could not be resumed from there
        ([1, 1, 3, 3], [3, 4]),
    ],
)
def test_three_are_kept(bests: list[int | None], kept: list[int], tmp_path: Path) -> None:
    """The last, the one before, the best; whichever of the two last is lost, the other has its best."""
    for step, best in enumerate(bests, start=1):
        made(tmp_path, step, best)
        rotate_checkpoints(tmp_path)
    assert [path.name for path in checkpoints(tmp_path)] == [f"checkpoint-{step}" for step in kept]
    assert not (tmp_path / ".staging").exists()


def test_another_machine_is_said(
    run: Path, sentences: list[str], settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(record, "machine", lambda: {"processor": "another", "threads": 64})
        with pytest.warns(
            Notice,
            match=r"--resume: the environment has changed since step 10: .*threads 1 before, 64 now. .*not be bit-id",
        ):
            again(run, sentences, settings)
    written = json.loads((run / "run.json").read_text())
    assert written["machine"]["threads"] == 1
    assert [(life["after_step"], life["machine"]["threads"]) for life in written["resumed"]] == [(10, 64)]


def test_the_same_machine_is_not_said(
    run: Path, sentences: list[str], settings: dict[str, Any], recwarn: pytest.WarningsRecorder
) -> None:
    before = (run / "run.json").read_text()
    again(run, sentences, settings)
    assert not [warning for warning in recwarn if "--resume" in str(warning.message)]
    assert (run / "run.json").read_text() == before
