"""Checkpoints of a run: ``checkpoint-STEP`` folders, written elsewhere and renamed, so that each is complete.

Each checkpoint lists its files with sizes and hashes; they are checked before a run resumes from it. A run keeps the
last checkpoint, the one before and the best. If the last is damaged, it resumes from the one before.
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
TRAINING_WEIGHTS = "training.safetensors"  # all weights that train, under the trainer's names
KEPT = 3  # the last, the one before and the best
_FILES = "files.json"
_NEEDED = (STATE, "optimizer*", "scheduler.pt", "rng_state*.pth", TRAINING_WEIGHTS, "*model*.safetensors")
_ARCHIVES = (".pt", ".pth", ".bin")  # torch files: a zip archive, whose directory is at the end
_NAME = re.compile(r"checkpoint-(\d+)")


def checkpoint_name(step: int) -> str:
    """Name of a step's checkpoint in the run's folder."""
    return f"checkpoint-{step}"


def step_of(checkpoint: Path) -> int:
    """The step in a checkpoint's name."""
    found = _NAME.fullmatch(checkpoint.name)
    assert found is not None
    return int(found[1])


def checkpoints(run: Path) -> list[Path]:
    """The run's checkpoints, oldest first; only complete ones have such a name."""
    return sorted((path for path in run.glob("checkpoint-*") if _NAME.fullmatch(path.name)), key=step_of)


class FileMark(NamedTuple):
    """Size and hash of a checkpoint file when it was written."""

    bytes: int
    checksum: str  # xxh3


def seal_checkpoint(folder: Path) -> None:
    """Flush a checkpoint to the disk, with a list of its files, sizes and hashes."""
    follow_umask(folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    with ThreadPoolExecutor(4) as pool:  # hash one file while the disk writes another
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
    """The first difference from what was written; None if there is no difference."""
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
                return f"{name} has {found} bytes instead of {mark.bytes}"
            if _mark(checkpoint / name) != mark:
                return f"{name} has changed since it was written: its hash differs"
    except (TrainingError, TypeError, AttributeError, OSError) as error:
        return f"cannot read {_FILES} or a file in its list: {error}"
    return None


def _damage_without_list(checkpoint: Path) -> str | None:
    """For a checkpoint of an earlier version: a file that is missing or incomplete; else None."""
    import safetensors

    for pattern in _NEEDED:
        if not any(checkpoint.glob(pattern)):
            return f"{pattern.replace('*', '')} is missing"
    for path in checkpoint.iterdir():
        if path.suffix in _ARCHIVES and not zipfile.is_zipfile(path):
            return f"{path.name} is truncated or damaged"
        try:
            if path.suffix == ".safetensors":
                with safetensors.safe_open(path, "np"):
                    pass
            elif path.suffix == ".json":
                read_json(path, TrainingError, object)  # files of our own and others: any value
        except (safetensors.SafetensorError, TrainingError) as error:
            return f"cannot read {path.name}: {error}"
    return None


def last_whole(run: Path) -> Path | None:
    """The newest checkpoint from which a run can resume, and the best one that it names; None if the run has none.

    Raises:
        TrainingError: all checkpoints are damaged.
    """
    damaged: list[str] = []
    for checkpoint in reversed(checkpoints(run)):
        found = damage(checkpoint) or _damage_of_best(checkpoint)
        if found is None:
            if damaged:
                say_once(f"--resume: {'; '.join(damaged)}. The run resumes from {checkpoint}, the checkpoint before it")
            if not (checkpoint / _FILES).is_file():
                say_once(
                    f"--resume: {checkpoint} has no {_FILES}, because an earlier version wrote it: its files "
                    "are complete, but changes to them cannot be detected"
                )
            return checkpoint
        damaged.append(f"{checkpoint} is damaged: {found}")
    if damaged:
        raise TrainingError(
            f"--resume: no usable checkpoint in {run}: {'; '.join(damaged)}. Restore the files, or start again "
            "with --overwrite"
        )
    return None


def _damage_of_best(checkpoint: Path) -> str | None:
    """The fault of the best checkpoint so far, whose weights the run may save; None if there is no fault."""
    best = best_step(checkpoint)
    if best is None or best == step_of(checkpoint):
        return None
    found = damage(checkpoint.parent / checkpoint_name(best))
    return None if found is None else f"in {checkpoint_name(best)}, the best checkpoint so far, {found}"


def best_step(checkpoint: Path) -> int | None:
    """The step with the highest score when a checkpoint was written; None without scores."""
    with as_written(checkpoint / STATE, TrainingError):
        step = read_json(checkpoint / STATE, TrainingError).get("best_global_step")
        return None if step is None else int(step)


def remove_checkpoints(run: Path, steps: set[int]) -> None:
    """Remove the checkpoints of some steps. What a kill leaves of one does not have a checkpoint's name."""
    for checkpoint in checkpoints(run):
        if step_of(checkpoint) in steps:
            aside = run / STAGING / f"old-{checkpoint.name}"
            shutil.rmtree(aside, ignore_errors=True)
            aside.parent.mkdir(exist_ok=True)
            os.rename(checkpoint, aside)
            shutil.rmtree(aside)
    shutil.rmtree(run / STAGING, ignore_errors=True)


def rotate_checkpoints(run: Path) -> None:
    """Keep the last checkpoint, the one before and the best; if the last is the best, keep the previous best too."""
    last = checkpoints(run)[-2:]
    kept = {step_of(checkpoint) for checkpoint in last}
    kept |= {best for checkpoint in last if (best := _best_or_none(checkpoint)) is not None}
    remove_checkpoints(run, {step_of(checkpoint) for checkpoint in checkpoints(run)} - kept)


def _best_or_none(checkpoint: Path) -> int | None:
    try:
        return best_step(checkpoint)
    except (OSError, ValueError):  # the one before may be damaged
        return None
