"""Locks of the operating system: they end with the process that holds them, however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

from simcse_kit.errors import SimCSEKitError, say_once

LOCK = ".lock"  # of a folder that is kept for long: it goes with the folder where that is exchanged


def try_lock(descriptor: int, *, wait: bool = False) -> bool | None:
    """Whether an open file or folder is ours now; None where its file system has no locks."""
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
    """Keep a folder to this process; where another one has it, ``busy`` is raised."""
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
    """Wait for other writers of a folder that exists, and keep it for a moment; its descriptor.

    Raises:
        FileNotFoundError: it is not there, or no longer.
    """
    while True:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            try_lock(descriptor, wait=True)
            if leads_to(folder, descriptor):  # else it was exchanged for another one in the meantime
                yield descriptor
                return
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def owned(folder: Path, busy: Callable[[str], SimCSEKitError], *, wait: bool = False) -> Iterator[None]:
    """Keep a folder, made where it is missing, to this process for a whole job.

    A file in it is locked, not the folder itself, which may be exchanged for another one during the job. ``busy`` makes
    the error from words for the process that has it; with ``wait`` its end is waited for. A folder that was made and is
    empty at the end goes.
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
    say_once(f"the file system of {folder} has no locks: a second process at work there would not be noticed")


def owner(folder: Path) -> str | None:
    """Words for the process that has a folder to itself by `owned`; None where no living one has."""
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
    except (OSError, ValueError, KeyError, TypeError):  # it is just being written
        return "another process"


def leads_to(path: Path, descriptor: int) -> bool:
    """Whether a path still leads to what is open."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False
