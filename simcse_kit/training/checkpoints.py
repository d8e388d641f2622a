"""The checkpoints of a run: ``checkpoint-STEP`` folders, written aside and renamed, so that each is whole.

Each lists its files with sizes and hashes, which are checked before a run goes on from it. A run keeps the last one,
the one before, and the best: where the last is damaged, it goes on from the one before.
"""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from simcse_kit.errors import TrainingError, say_once
from simcse_kit.files import as_written, follow_umask, read_json, sync, write_json
from simcse_kit.search.blocks import file_checksum

STAGING = ".staging"
STATE = "trainer_state.json"
TRAINING_WEIGHTS = "training.safetensors"  # everything that trains, under the trainer's names
KEPT = 3  # the last, the one before, the best
_FILES = "files.json"
_NEEDED = (STATE, "optimizer*", "scheduler.pt", "rng_state*.pth", TRAINING_WEIGHTS, "*model*.safetensors")
_ARCHIVES = (".pt", ".pth", ".bin")  # of torch: a zip archive, whose end says what is in it
_NAME = re.compile(r"checkpoint-(\d+)")


def checkpoint_name(step: int) -> str:
    """Name of a step's checkpoint in the run's folder."""
    return f"checkpoint-{step}"


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint's name says."""
    found = _NAME.fullmatch(checkpoint.name)
    assert found is not None
    return int(found[1])


def checkpoints(run: Path) -> list[Path]:
    """The run's checkpoints, oldest first; only those that were whole once have such a name."""
    return sorted((path for path in run.glob("checkpoint-*") if _NAME.fullmatch(path.name)), key=step_of)


class FileMark(NamedTuple):
    """What a file of a checkpoint was when it was written."""

    bytes: int
    checksum: str  # xxh3


def seal_checkpoint(folder: Path) -> None:
    """Flush a checkpoint to the disk, with a list of its files, their sizes and hashes."""
    follow_umask(folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    with ThreadPoolExecutor(4) as pool:  # one file is hashed while the disk takes another
        marks = dict(
            zip((path.relative_to(folder).as_posix() for path in paths), pool.map(_flushed, paths), strict=True)
        )
    write_json(folder / _FILES, {name: mark._asdict() for name, mark in marks.items()})
    for path in (folder / _FILES, folder, *(path for path in folder.rglob("*") if path.is_dir())):
        sync(path)


def _flushed(path: Path) -> FileMark:
    mark = _mark(path)
    sync(path)
    return mark


def _mark(path: Path) -> FileMark:
    return FileMark(path.stat().st_size, file_checksum(path))


def damage(checkpoint: Path) -> str | None:
    """What is not as it was written; None where all is."""
    if not checkpoint.is_dir():
        return f"{checkpoint.name} is missing"
    if not (checkpoint / _FILES).is_file():
        earlier = [path for path in checkpoints(checkpoint.parent) if step_of(path) < step_of(checkpoint)]
        listed = any((path / _FILES).is_file() for path in earlier)
        return f"{_FILES} is missing" if listed else _damage_without_list(checkpoint)
    try:
        marks = {name: FileMark(**mark) for name, mark in read_json(checkpoint / _FILES, TrainingError).items()}
        for name, mark in marks.items():
            if not (checkpoint / name).is_file():
                return f"{name} is missing"
            if (found := (checkpoint / name).stat().st_size) != mark.bytes:
                return f"{name} has {found} bytes in place of {mark.bytes}"
            if _mark(checkpoint / name) != mark:
                return f"{name} has another hash than when it was written"
    except (TrainingError, TypeError, AttributeError, OSError) as error:
        return f"{_FILES} or what it lists cannot be read: {error}"
    return None


def _damage_without_list(checkpoint: Path) -> str | None:
    """Of a checkpoint that an earlier version wrote: what is not there, or has no proper end."""
    import safetensors

    for pattern in _NEEDED:
        if not any(checkpoint.glob(pattern)):
            return f"{pattern.replace('*', '')} is missing"
    for path in checkpoint.iterdir():
        if path.suffix in _ARCHIVES and not zipfile.is_zipfile(path):
            return f"{path.name} is cut off or damaged"
        try:
            if path.suffix == ".safetensors":
                with safetensors.safe_open(path, "np"):
                    pass
            elif path.suffix == ".json":
                read_json(path, TrainingError, object)  # ours and others: any value
        except (safetensors.SafetensorError, TrainingError) as error:
            return f"{path.name} cannot be read: {error}"
    return None


def last_whole(run: Path) -> Path | None:
    """The newest checkpoint that a run can go on from, with the best one that it names; None where the run has none.

    Raises:
        TrainingError: it has some, and all are damaged.
    """
    damaged: list[str] = []
    for checkpoint in reversed(checkpoints(run)):
        found = damage(checkpoint) or _damage_of_best(checkpoint)
        if found is None:
            if damaged:
                say_once(f"--resume: {'; '.join(damaged)}. The run goes on from {checkpoint}, the one before")
            if not (checkpoint / _FILES).is_file():
                say_once(
                    f"--resume: {checkpoint} has no {_FILES}, which earlier versions did not write: its files are "
                    "there and whole in form, but whether they are as they were written cannot be told"
                )
            return checkpoint
        damaged.append(f"{checkpoint} is damaged: {found}")
    if damaged:
        raise TrainingError(
            f"--resume: no checkpoint of {run} can be gone on from: {'; '.join(damaged)}. Bring back the files, or "
            "start again with --overwrite"
        )
    return None


def _damage_of_best(checkpoint: Path) -> str | None:
    """Of the best checkpoint so far, whose weights the run may end with."""
    best = best_step(checkpoint)
    if best is None or best == step_of(checkpoint):
        return None
    found = damage(checkpoint.parent / checkpoint_name(best))
    return None if found is None else f"in {checkpoint_name(best)}, the best until then, {found}"


def best_step(checkpoint: Path) -> int | None:
    """The step with the highest score when a checkpoint was written; None where no score was taken."""
    with as_written(checkpoint / STATE, TrainingError):
        step = read_json(checkpoint / STATE, TrainingError).get("best_global_step")
        return None if step is None else int(step)


def remove_checkpoints(run: Path, steps: set[int]) -> None:
    """Remove those of some steps; what a kill leaves of one has no checkpoint's name."""
    for checkpoint in checkpoints(run):
        if step_of(checkpoint) in steps:
            aside = run / STAGING / f"old-{checkpoint.name}"
            shutil.rmtree(aside, ignore_errors=True)
            aside.parent.mkdir(exist_ok=True)
            os.rename(checkpoint, aside)
            shutil.rmtree(aside)
    shutil.rmtree(run / STAGING, ignore_errors=True)


def rotate_checkpoints(run: Path) -> None:
    """Keep the last, the one before and the best; where the last is the best, the one that was the best before."""
    last = checkpoints(run)[-2:]
    kept = {step_of(checkpoint) for checkpoint in last}
    kept |= {best for checkpoint in last if (best := _best_or_none(checkpoint)) is not None}
    remove_checkpoints(run, {step_of(checkpoint) for checkpoint in checkpoints(run)} - kept)


def _best_or_none(checkpoint: Path) -> int | None:
    try:
        return best_step(checkpoint)
    except (OSError, ValueError):  # the one before may be damaged
        return None
