"""Where a run works: in its output folder, or beside it until it is ready.

Beside it works what replaces an earlier run, and what may yet be refused: a model that `adapt` has not checked.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from simcse_kit.errors import TrainingError
from simcse_kit.files import MARK, at_work, existing_parent, owned, owner, replace_folder

RUN_RECORD = "run.json"
_NAME = ".running"


def folder_of_run(target: Path, *, resume: bool, overwrite: bool, apart: bool = False) -> Path:
    """The folder that a run works in: ``target``, or another one where ``target`` holds a run that is replaced.

    A run that was stopped in another folder is gone on with where it is. ``apart``: a new run works in another folder
    in any case.
    """
    places = _places(target)
    if (apart and not resume) or (overwrite and target.is_dir() and any(target.iterdir())):
        return places[0]
    return next((place for place in places if resume and (place / MARK).is_file()), target)


@contextmanager
def run_folder(target: Path, folder: Path, *, resume: bool) -> Iterator[None]:
    """Keep a run's folder to this process; where it works in another one, that becomes ``target`` at the end.

    Raises:
        TrainingError: another process is training in ``target``.
    """
    with owned(target, lambda who: _busy(target, who)):
        if not resume:
            for place in _places(target):
                shutil.rmtree(place, ignore_errors=True)  # of a run that was to replace another one, and was given up
            if folder != target:
                folder.mkdir(parents=True)
                (folder / MARK).touch()
        yield
        if folder != target:
            replace_folder(folder, target)


def check_owner(target: Path) -> None:
    """No other process is training there."""
    who = owner(target)
    if who is not None:
        raise _busy(target, who)


def check_stopped(target: Path) -> None:
    """No run was stopped that would become ``target``: a new one would delete it."""
    stopped = next((place for place in _places(target) if (place / MARK).is_file()), None)
    if stopped is not None:
        raise TrainingError(
            f"a run for {target} was stopped; it lies in {stopped}. --resume goes on with it, --overwrite starts again"
        )


def _busy(target: Path, who: str) -> TrainingError:
    return TrainingError(
        f"another run is training in {target}: {who}. Wait until it has ended, or choose another output folder"
    )


def _places(target: Path) -> list[Path]:
    """Beside the target; first inside it where it is a disk of its own, or its parent cannot be written to."""
    real = Path(os.path.realpath(target))
    places = [real.parent / f".{real.name}{_NAME}", real / _NAME]
    if real.is_dir() and (real.stat().st_dev != real.parent.stat().st_dev or not os.access(real.parent, os.W_OK)):
        places.reverse()
    return places


def check_output(output_dir: Path, *, resume: bool, overwrite: bool) -> None:
    """The output folder can be written and holds nothing that would be lost."""
    if resume and overwrite:
        raise TrainingError("--resume goes on with a run, --overwrite replaces it: give one of them")
    if output_dir.is_file():
        raise TrainingError(f"output folder {output_dir} is a file")
    holds = output_dir.is_dir() and not all(map(at_work, output_dir.iterdir()))
    if holds and not (resume or overwrite):
        raise TrainingError(f"{output_dir} is not empty; --resume goes on with the run there, --overwrite replaces it")
    if holds and not (output_dir / RUN_RECORD).is_file():
        refused = "it cannot be resumed" if resume else "it is not overwritten: empty it yourself"
        raise TrainingError(f"{output_dir} is not a training run ({RUN_RECORD} is missing), so {refused}")
    parent = existing_parent(output_dir)
    try:
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        raise TrainingError(f"cannot write in {parent}: {error.strerror}") from error


def check_overwrite(output_dir: Path, reads: Sequence[object]) -> None:
    """Nothing that the run reads lies in the folder that it replaces."""
    target = output_dir.resolve()
    for source in reads:
        if isinstance(source, str | Path) and Path(source).resolve().is_relative_to(target):
            raise TrainingError(
                f"--overwrite would delete {source}, which this run needs; choose another output folder"
            )
