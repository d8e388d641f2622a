"""Writes a folder or file elsewhere and moves it into place when it is complete."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from simcse_kit.files.disk import disk_full_named, follow_umask, sync, sync_all
from simcse_kit.files.locks import LOCK, try_lock
from simcse_kit.files.replacing import JOURNAL, MARK, moved_beside, put

_STAGING = ".staging"


def at_work(path: Path) -> bool:
    """Whether an entry of a folder belongs to a writer at work, or to a killed one: it is no content."""
    return path.name in (LOCK, MARK) or path.name.startswith((_STAGING, JOURNAL))


@contextlib.contextmanager
def staged_folder(target: Path, *, replaces: Callable[[str], bool] = lambda path: False) -> Iterator[Path]:
    """Write into a separate folder; on success it becomes ``target``, on any failure nothing has changed there.

    If ``target`` exists, the new files replace those of the same name and all others for which ``replaces`` (by path in
    the folder) is true; the rest stays. A kill at any instant leaves the old files or the new ones; of two writers at
    once one wins; see `replacing`.
    """
    target = Path(os.path.realpath(target))
    with _aside(target, within=target.is_dir()) as staging:
        yield staging
        follow_umask(staging)
        sync_all(staging)
        put(staging, target, replaces)


@contextlib.contextmanager
def staged_file(target: Path) -> Iterator[Path]:
    """A separate folder to work in: on success the file in it with the name of ``target`` becomes ``target``."""
    with _aside(target) as staging:
        yield staging
        follow_umask(staging / target.name)
        sync(staging / target.name)
        os.replace(staging / target.name, target)
        sync(target.parent)


def write_json_lines(target: Path, values: Iterable[Any]) -> None:
    """Write a `.jsonl` file, atomically."""
    with staged_file(target) as folder, (folder / target.name).open("w", encoding="utf-8") as file:
        for value in values:
            file.write(json.dumps(value, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def _aside(target: Path, *, within: bool = False) -> Iterator[Path]:
    """A new temporary folder on the disk of ``target``: beside it, or inside it if its parent is not writable.

    It is locked while its writer lives, so that the next writer can remove leftovers of a killed one.
    """
    _remove_leftovers(target)
    with disk_full_named(target), contextlib.ExitStack() as closing:
        staging, descriptor = _new(target, within=within)
        closing.callback(os.close, descriptor)
        closing.callback(shutil.rmtree, staging, ignore_errors=True)
        yield staging


def _new(target: Path, *, within: bool) -> tuple[Path, int]:
    """A folder with a unique name, and its locked descriptor."""
    while True:
        name = f"{_STAGING}-{secrets.token_hex(4)}"
        made = target / name if within else target.parent / f".{target.name}{name}"
        made.mkdir(parents=True)
        with contextlib.suppress(FileNotFoundError):  # another writer took it for a leftover
            descriptor = os.open(made, os.O_RDONLY)
            if try_lock(descriptor) is not False:
                staging = moved_beside(target, made) if within else made
                if staging.exists():  # else another writer has just replaced the folder with it inside
                    return staging, descriptor
            os.close(descriptor)


def _remove_leftovers(target: Path) -> None:
    """Remove leftovers of dead writers of ``target``."""
    for place, name in ((target.parent, f".{target.name}{_STAGING}"), (target, _STAGING)):
        form = re.compile(re.escape(name) + "(-[0-9a-f]{8})?")
        for path in list(place.iterdir()) if place.is_dir() else []:
            if not form.fullmatch(path.name):
                continue
            with contextlib.suppress(OSError):  # its writer has just finished
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    if try_lock(descriptor):
                        shutil.rmtree(path)
                finally:
                    os.close(descriptor)
