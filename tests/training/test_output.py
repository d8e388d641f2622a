"""One run at a time per output folder; a new run replaces an earlier one when it is complete."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simcse_kit import SimCSE, train_unsup
from simcse_kit.errors import Notice, TrainingError, TrainingInterrupted
from simcse_kit.files import locks
from simcse_kit.training.events import TrainListener
from support.lives import KILLED, Death, Plot, live

pytestmark = pytest.mark.filterwarnings("ignore::simcse_kit.errors.Notice")
SMALL: dict[str, Any] = {"batch_size": 8, "device": "cpu", "eval_steps": 2, "epochs": 1, "learning_rate": 1e-2}


class At(TrainListener):
    """Runs a function after a step."""

    def __init__(self, step: int, do: Callable[[], None]) -> None:
        self.step, self.do = step, do

    def stepped(self, step: int, steps: int) -> None:
        if step == self.step:
            self.do()


def stop() -> None:
    import signal

    signal.raise_signal(signal.SIGINT)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_second_run_is_refused_while_the_first_lives(bert: Path, sentences: list[str], tmp_path: Path) -> None:
    run, said = tmp_path / "run", []

    def second() -> None:
        before = content(run)
        for how in ({}, {"resume": True}, {"overwrite": True}):
            with pytest.raises(
                TrainingError, match=rf"another run is training in .*run: process {os.getpid()} on "
            ) as e:
                train_unsup(sentences, run, model=bert, **SMALL, **how)
            said.append(str(e.value))
        assert content(run) == before

    train_unsup(sentences, run, model=bert, listener=At(3, second), **SMALL)
    assert len(said) == 3
    with pytest.raises(TrainingError, match="is not empty; use --resume"):
        train_unsup(sentences, run, model=bert, **SMALL)
    assert not list(run.glob(".*"))


def test_two_that_start_at_once(
    bert: Path, sentences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have passed their checks before one of them makes the folder: the other is refused where it would write."""
    monkeypatch.setattr("simcse_kit.training.settled.check_owner", lambda target: None)
    with (
        locks.owned(tmp_path / "run", TrainingError),
        pytest.raises(TrainingError, match=f"another run is training in .*run: process {os.getpid()}"),
    ):
        train_unsup(sentences, tmp_path / "run", model=bert, **SMALL)
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("default::simcse_kit.errors.Notice")
def test_a_disk_without_locks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import fcntl

    def none(*arguments: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    with (
        pytest.warns(Notice, match="run has no locks: a second process working there would not be noticed"),
        locks.owned(tmp_path / "run", TrainingError),
    ):
        assert locks.owner(tmp_path / "run") is None
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("parent", ["writable", "of others"])
def test_overwriting_leaves_the_earlier_run_until_the_new_one_is_ready(
    parent: str, bert: Path, sentences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    if parent == "of others":
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    train_unsup(sentences, run, model=bert, **SMALL)
    before = content(run)
    other = SMALL | {"seed": 1, "model": bert}
    with pytest.raises(TrainingInterrupted, match=r"stopped after step 3 of 5, saved in .*running/checkpoint-3"):
        train_unsup(sentences, run, overwrite=True, listener=At(3, stop), **other)
    found = content(run)
    assert {name: text for name, text in found.items() if not name.startswith(".running")} == before
    with pytest.raises(TrainingError, match="is not empty; use --resume"):
        train_unsup(sentences, run, **other)
    result = train_unsup(sentences, run, resume=True, **other)
    assert result.output_dir == run
    assert result.steps == 5
    train_unsup(sentences, tmp_path / "new", **other)
    expected = (tmp_path / "new" / "model.safetensors").read_bytes()
    assert (run / "model.safetensors").read_bytes() == expected != before["model.safetensors"]
    assert json.loads((run / "run.json").read_text())["arguments"]["seed"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "run"]
    assert not list(run.glob(".*"))


@pytest.mark.slow
def test_a_killed_run_that_overwrites(bert: Path, sentences: list[str], tmp_path: Path) -> None:
    """The old model exists until the new one does; the lock ends with the killed process."""
    run = tmp_path / "run"
    settings = {key: value for key, value in SMALL.items() if key != "device"} | {"model": bert}
    train_unsup(sentences, run, device="cpu", **settings)
    before = content(run)
    plot = Plot("unsup", sentences, settings | {"seed": 1, "overwrite": True})
    assert live(plot, run, Death("step", 4), resume=False) == KILLED
    found = content(run)
    found.pop(".lock", None)
    assert found == before
    assert live(plot, run, Death("model"), resume=False) == KILLED
    SimCSE(run, device="cpu")
    assert (run / "model.safetensors").read_bytes() == before["model.safetensors"]
    train_unsup(sentences, run, device="cpu", resume=True, seed=1, **settings)
    assert (run / "model.safetensors").read_bytes() != before["model.safetensors"]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_follows_the_umask(bert: Path, sentences: list[str], tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        train_unsup(sentences, tmp_path / "run", model=bert, **SMALL)
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "run").rglob("*")}
    assert len(modes) > 20
    assert {path: mode for path, mode in modes.items() if mode != (0o750 if path.is_dir() else 0o640)} == {}
