"""Locks of the operating system: they end with the process that holds them, even after a crash."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

from simcse_kit.errors import SimCSEKitError, say_once

LOCK = ".lock"  # name of a folder's lock for long jobs: the lock moves with the folder if that is replaced


def try_lock(descriptor: int, *, wait: bool = False) -> bool | None:
    """Whether this process now holds the lock of an open file or folder; None if the file system has no locks."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@contextlib.contextmanager
def only_writer(folder: Path, busy: SimCSEKitError) -> Iterator[None]:
    """Lock a folder for this process; raises ``busy`` if another process holds the lock."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        held = try_lock(descriptor)
        if held is False:
            raise busy
        if held is None:
            _say_no_locks(folder)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def changing(folder: Path) -> Iterator[int]:
    """Wait for other writers of an existing folder, and lock it for a short time; gives its descriptor.

    Raises:
        FileNotFoundError: the folder does not exist (any more).
    """
    while True:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            try_lock(descriptor, wait=True)
            if leads_to(folder, descriptor):  # else it was replaced in the meantime
                yield descriptor
                return
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def owned(folder: Path, busy: Callable[[str], SimCSEKitError], *, wait: bool = False) -> Iterator[None]:
    """Lock a folder for a whole job of this process; creates it if missing.

    Locks a file in the folder, not the folder itself, which may be replaced during the job. ``busy`` makes the error
    from words about the other process; with ``wait`` it waits for that process. A folder that was created and is empty
    at the end is removed.
    """
    path, made = folder / LOCK, not folder.exists()
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except FileNotFoundError:  # another process has just removed the folder
            continue
        held = try_lock(descriptor, wait=wait)
        if held is False:
            who = _who(path)
            os.close(descriptor)
            raise busy(who)
        if leads_to(path, descriptor):
            break
        os.close(descriptor)  # its owner has just removed it
    if held is None:
        _say_no_locks(folder)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps({"process": os.getpid(), "host": platform.node()}).encode())
        yield
    finally:
        if leads_to(path, descriptor):
            path.unlink()
        os.close(descriptor)
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _say_no_locks(folder: Path) -> None:
    say_once(f"the file system of {folder} has no locks: a second process working there would not be noticed")


def owner(folder: Path) -> str | None:
    """Words about the process that holds a folder by `owned`; None if no living process does."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return None
    try:
        return _who(folder / LOCK) if try_lock(descriptor) is False else None
    finally:
        os.close(descriptor)


def _who(path: Path) -> str:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return f"process {found['process']} on {found['host']}"
    except (OSError, ValueError, KeyError, TypeError):  # it is being written
        return "another process"


def leads_to(path: Path, descriptor: int) -> bool:
    """Whether a path still names the open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False
