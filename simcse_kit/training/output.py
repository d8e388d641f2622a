"""The working folder of a run: its output folder, or one beside it until the run is complete.

A run works beside it if it replaces an earlier run, or if it may be rejected: a model that `adapt` has not checked.
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
    """The folder that a run works in: ``target``, or another folder if ``target`` holds a run to replace.

    A run that was stopped in another folder resumes there. ``apart``: a new run always works in another folder.
    """
    places = _places(target)
    if (apart and not resume) or (overwrite and target.is_dir() and any(target.iterdir())):
        return places[0]
    return next((place for place in places if resume and (place / MARK).is_file()), target)


@contextmanager
def run_folder(target: Path, folder: Path, *, resume: bool) -> Iterator[None]:
    """Lock a run's folder for this process. If the run works in another folder, it becomes ``target`` at the end.

    Raises:
        TrainingError: another process is training in ``target``.
    """
    with owned(target, lambda who: _busy(target, who)):
        if not resume:
            for place in _places(target):
                shutil.rmtree(place, ignore_errors=True)  # of a run that was to replace another and was given up
            if folder != target:
                folder.mkdir(parents=True)
                (folder / MARK).touch()
        yield
        if folder != target:
            replace_folder(folder, target)


def check_owner(target: Path) -> None:
    """Check that no other process trains in this folder."""
    who = owner(target)
    if who is not None:
        raise _busy(target, who)


def check_stopped(target: Path) -> None:
    """Check that no stopped run is waiting to become ``target``: a new run would delete it."""
    stopped = next((place for place in _places(target) if (place / MARK).is_file()), None)
    if stopped is not None:
        raise TrainingError(
            f"a run for {target} was stopped; it is in {stopped}. Use --resume to continue it or --overwrite to "
            "start again"
        )


def _busy(target: Path, who: str) -> TrainingError:
    return TrainingError(
        f"another run is training in {target}: {who}. Wait for its end, or choose another output folder"
    )


def _places(target: Path) -> list[Path]:
    """Folder beside the target; inside it if the target is a mount of its own, or its parent is not writable."""
    real = Path(os.path.realpath(target))
    places = [real.parent / f".{real.name}{_NAME}", real / _NAME]
    if real.is_dir() and (real.stat().st_dev != real.parent.stat().st_dev or not os.access(real.parent, os.W_OK)):
        places.reverse()
    return places


def check_output(output_dir: Path, *, resume: bool, overwrite: bool) -> None:
    """Check that the output folder is writable and that nothing in it would be lost."""
    if resume and overwrite:
        raise TrainingError("use either --resume, to continue a run, or --overwrite, to replace it")
    if output_dir.is_file():
        raise TrainingError(f"output folder {output_dir} is a file")
    holds = output_dir.is_dir() and not all(map(at_work, output_dir.iterdir()))
    if holds and not (resume or overwrite):
        raise TrainingError(
            f"{output_dir} is not empty; use --resume to continue the run in it or --overwrite to replace it"
        )
    if holds and not (output_dir / RUN_RECORD).is_file():
        refused = "nothing can be resumed" if resume else "--overwrite does not replace it: empty the folder yourself"
        raise TrainingError(f"{output_dir} is not a training run ({RUN_RECORD} is missing), so {refused}")
    parent = existing_parent(output_dir)
    try:
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        raise TrainingError(f"cannot write to {parent}: {error.strerror}") from error


def check_overwrite(output_dir: Path, reads: Sequence[object]) -> None:
    """Check that the run reads nothing from the folder that it replaces."""
    target = output_dir.resolve()
    for source in reads:
        if isinstance(source, str | Path) and Path(source).resolve().is_relative_to(target):
            raise TrainingError(
                f"--overwrite would delete {source}, which this run needs; choose another output folder"
            )
