"""Replaces files of a folder at one instant, even if the process is killed at any time.

If the system can exchange two folders (renameat2's RENAME_EXCHANGE, macOS's RENAME_SWAP), the new folder gets links to
all files that stay, and is exchanged with the old one. Otherwise, or if nothing old would be lost, or if very many
files stay, a journal is put into the folder by one rename. From then on the files count as the new ones, because the
next process that loads the folder completes the journal.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import re
import secrets
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from simcse_kit.errors import SimCSEKitError
from simcse_kit.files.disk import as_written, read_json, sync, sync_all, write_json
from simcse_kit.files.locks import LOCK, changing

JOURNAL = ".placing"
MARK = ".unfinished"  # in a folder that will replace another one, see `replace_folder`
_STEPS = ".steps.json"  # file name of a journal
_JOURNALS = re.compile(re.escape(JOURNAL) + "-[0-9a-f]{8}")
_LINKED = 10_000  # maximum number of files that stay in an exchanged folder: each needs a link


class Steps(NamedTuple):
    """Changes of a folder; paths in it, in POSIX form."""

    place: list[str]  # new files, in order of placement
    remove: list[str]  # old files to remove

    @classmethod
    def read(cls, path: Path) -> Steps:
        """The steps of a journal, which change nothing outside the folder. Raises an error for an invalid journal."""
        with as_written(path):
            steps = cls(**read_json(path))
            for name in (*steps.place, *steps.remove):
                if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\0" in name:
                    raise SimCSEKitError(
                        f"{path} names {name}, which is not in its folder: simcse_kit did not write it"
                    )
            return steps

    def touches(self, path: str) -> bool:
        """Whether a folder holds a file to place or remove."""
        return any(step.startswith(f"{path}/") for step in (*self.place, *self.remove))


def put(staging: Path, target: Path, replaces: Callable[[str], bool]) -> None:
    """Move the files of ``staging`` into ``target``; remove files that are only there if ``replaces`` says so.

    ``staging`` is beside or inside it, and is flushed to the disk.
    """
    while not _renamed(staging, target):
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(changing(target))
            except FileNotFoundError:  # it has just been removed
                continue
            _complete(target)
            new = _files(staging)
            place = sorted(new, key=lambda path: (path.count("/"), path), reverse=True)  # place config.json late
            old = _files(target, but=staging)
            steps = Steps(place, sorted(path for path in old if path not in new and replaces(path)))
            exchanges = (bool(steps.remove) or not new.isdisjoint(old)) and len(old) <= _LINKED
            if len(place) == 1 and not steps.remove:
                _place(staging, target, steps)
            elif not (exchanges and _exchange_keeping(staging, target, steps)):
                _by_journal(staging, target, steps)
            sync(target)
            return


def _renamed(staging: Path, target: Path) -> bool:
    """Whether ``staging`` became ``target`` by a simple rename, because nothing was there."""
    if target.exists():
        return False
    try:
        os.rename(staging, target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # another writer was first
            return False
        raise
    sync(target.parent)
    return True


def replace_folder(new: Path, target: Path) -> None:
    """Replace ``target`` by ``new``, a folder beside or inside it; nothing of the old one stays.

    The file `MARK` in ``new`` means that it is not in place yet. It is removed last: until then, a kill leaves the old
    folder.
    """
    target = Path(os.path.realpath(target))
    (target / MARK).unlink(missing_ok=True)
    sync_all(new)
    with changing(target):
        _complete(target)
        try:
            _check_exchange(new, target)
            exchange(new, target)
        except OSError:
            files = _files(new) - {MARK}
            _by_journal(new, target, Steps(sorted(files), sorted(_files(target, but=new) - files - {LOCK})))
        else:
            shutil.rmtree(new)
        (target / MARK).unlink(missing_ok=True)
        sync(target)
    with contextlib.suppress(OSError):
        sync(target.parent)


def complete(folder: Path) -> None:
    """Complete what a killed writer had started in a folder; does nothing if there is nothing to do.

    Raises:
        OSError: the folder cannot be written to.
    """
    if _journals(folder):
        with changing(folder):
            _complete(folder)


def moved_beside(target: Path, inside: Path) -> Path:
    """Move an empty folder out of ``target``; if that is impossible (a mount, a parent of others), it stays inside."""
    outside = target.parent / f".{target.name}{inside.name}"
    try:
        os.rename(inside, outside)
    except OSError:
        return inside
    return outside


def exchange(one: Path, other: Path) -> None:
    """Exchange two folders at one instant. Raises an `OSError` if system or file system cannot."""
    function = _exchange_function()
    if function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if function(os.fsencode(one), os.fsencode(other)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(one), None, str(other))


@cache
def _exchange_function() -> Callable[[bytes, bytes], int] | None:
    library = ctypes.CDLL(None, use_errno=True)
    if platform.system() == "Darwin":
        swap = getattr(library, "renamex_np", None)
        return None if swap is None else lambda one, other: int(swap(one, other, 2))  # RENAME_SWAP
    rename = getattr(library, "renameat2", None)
    here = -100  # AT_FDCWD: paths are absolute, or relative to the current folder
    return None if rename is None else lambda one, other: int(rename(here, one, here, other, 2))  # RENAME_EXCHANGE


def _files(folder: Path, *, but: Path | None = None) -> set[str]:
    """Files and links below a folder, except in one folder inside it."""
    found: set[str] = set()
    for root, folders, names in os.walk(folder):
        here = Path(root)
        folders[:] = [name for name in folders if here / name != but]
        links = [name for name in folders if (here / name).is_symlink()]
        found |= {(here / name).relative_to(folder).as_posix() for name in (*names, *links)}
    return found


# By exchange


def _check_exchange(staging: Path, target: Path) -> None:
    """Raise an `OSError` if the folders are not beside each other, or this process works inside ``target``."""
    if staging.parent != target.parent or Path.cwd().is_relative_to(target):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def _exchange_keeping(staging: Path, target: Path, steps: Steps) -> bool:
    """Exchange the folders, keeping all files that stay; False if that is not possible and nothing has changed."""
    try:
        _check_exchange(staging, target)
        linked = _link_rest(staging, target, steps)
        sync_all(staging)
        exchange(staging, target)
    except OSError:
        return False
    with contextlib.suppress(OSError):
        sync(target.parent)
    _bring_along(staging, target, linked, steps)
    return True


def _link_rest(staging: Path, target: Path, steps: Steps) -> dict[str, int]:
    """Link all files that stay into ``staging``; returns the inodes by path."""
    goes, linked = {*steps.place, *steps.remove}, {}
    for root, folders, names in os.walk(target, onerror=_raise):
        here = Path(root)
        at = staging / here.relative_to(target)
        inside = here.relative_to(target).as_posix()
        if inside != "." and not at.is_dir() and not (steps.touches(inside) and _all_go(here, target, goes)):
            at.mkdir()
        if at.is_dir():
            shutil.copystat(here, at)
        for name in (*names, *(name for name in folders if (here / name).is_symlink())):
            path = (here / name).relative_to(target).as_posix()
            if path not in goes:
                os.link(target / path, staging / path, follow_symlinks=False)
                linked[path] = (target / path).lstat().st_ino
    return linked


def _raise(error: OSError) -> None:
    raise error


def _all_go(folder: Path, target: Path, goes: set[str]) -> bool:
    prefix = folder.relative_to(target).as_posix()
    return all(f"{prefix}/{path}" in goes for path in _files(folder))


def _bring_along(old: Path, target: Path, linked: dict[str, int], steps: Steps) -> None:
    """Restore folders that stay as they were, with files added between linking and exchange."""
    for path in list(old.iterdir()):
        if path.is_dir() and not path.is_symlink() and not steps.touches(path.name):
            with contextlib.suppress(OSError):
                exchange(path, target / path.name)
    for name in _files(old) - {*steps.place, *steps.remove}:
        place = target / name
        now = place.lstat().st_ino if place.exists() or place.is_symlink() else None
        if (old / name).lstat().st_ino != linked.get(name) and now == linked.get(name):
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(old / name, place)


# By a journal


def _by_journal(staging: Path, target: Path, steps: Steps) -> None:
    write_json(staging / _STEPS, steps._asdict())
    sync(staging / _STEPS)
    sync(staging)
    journal = target / f"{JOURNAL}-{secrets.token_hex(4)}"
    try:
        os.rename(staging, journal)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        part = target / f".staging-{secrets.token_hex(4)}"
        shutil.copytree(staging, part, symlinks=True)
        sync_all(part)
        os.rename(part, journal)
        shutil.rmtree(staging)
    sync(target)
    _complete(target)


def _journals(folder: Path) -> list[Path]:
    found = (path for path in folder.iterdir() if _JOURNALS.fullmatch(path.name))
    return sorted(path for path in found if path.is_dir() and not path.is_symlink())


def _complete(folder: Path) -> None:
    for journal in _journals(folder):
        if (journal / _STEPS).is_file():  # else it is complete, and was being removed
            _place(journal, folder, Steps.read(journal / _STEPS))
            sync(folder)
            (journal / _STEPS).unlink()
        shutil.rmtree(journal)


def _place(source: Path, folder: Path, steps: Steps) -> None:
    """Do the remaining steps; follows no link inside the folder."""
    for path in (*steps.place, *steps.remove):
        for above in (folder / path).relative_to(folder).parents:
            if (folder / above).is_symlink() and above.name:
                raise SimCSEKitError(
                    f"{folder / above} is a link to a place outside the folder; replace it by a folder"
                )
    for path in steps.place:
        if (source / path).exists() or (source / path).is_symlink():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(source / path, folder / path)
    for path in steps.remove:
        (folder / path).unlink(missing_ok=True)
        for above in (folder / path).relative_to(folder).parents:
            if above.name:
                with contextlib.suppress(OSError):  # it holds other files
                    (folder / above).rmdir()
    for above in {(folder / path).parent for path in steps.place}:
        sync(above)
