"""Writing that survives: a folder appears whole or not at all, and a full disk is an error with a name."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from simcse_kit.errors import SimCSEKitError


class DiskFullError(SimCSEKitError, OSError):
    """The disk (or the quota) was full while writing; what was there before is untouched."""


def write_json(path: Path, value: Any) -> None:
    """Write JSON that people can read, in UTF-8."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path, error: type[SimCSEKitError] = SimCSEKitError) -> Any:
    """Read JSON; a missing or broken file is an ``error`` with its name."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as cause:
        raise error(f"{path} is missing") from cause
    except (UnicodeDecodeError, json.JSONDecodeError) as cause:
        raise error(f"{path} is not JSON: {cause}") from cause


def sync(path: Path) -> None:
    """Flush a file or folder entry to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """Write into a folder aside; on success it becomes ``target``, on any failure nothing there has changed.

    Where ``target`` exists, its other content stays and the new files replace their namesakes one by one, each whole.
    """
    exists = target.is_dir()
    staging = target / ".staging" if exists else target.parent / f".{target.name}.staging"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        with disk_full_named(target):
            staging.mkdir(parents=True)
            yield staging
            files = sorted(path for path in staging.rglob("*") if path.is_file())
            for path in files:
                sync(path)
            if not exists:
                os.rename(staging, target)
            else:
                for path in files:
                    place = target / path.relative_to(staging)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(path, place)
            sync(target)
            sync(target.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextlib.contextmanager
def staged_file(target: Path) -> Iterator[Path]:
    """A folder aside to work in: the file there with the name of ``target`` becomes it on success, the rest goes."""
    staging = target.parent / f".{target.name}.staging"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        with disk_full_named(target):
            staging.mkdir(parents=True)
            yield staging
            sync(staging / target.name)
            os.replace(staging / target.name, target)
            sync(target.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def write_json_lines(target: Path, values: Iterable[Any]) -> None:
    """Write a `.jsonl` file, there whole or not at all."""
    with staged_file(target) as folder, (folder / target.name).open("w", encoding="utf-8") as file:
        for value in values:
            file.write(json.dumps(value, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def only_writer(folder: Path, busy: SimCSEKitError) -> Iterator[None]:
    """Keep a folder to this process; where another one has it, ``busy`` is raised."""
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process, however that ends
        except BlockingIOError:
            raise busy from None
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def disk_full_named(target: Path) -> Iterator[None]:
    """Turn every library's way of saying that the disk is full into one error that names the place."""
    try:
        yield
    except Exception as error:
        if _is_disk_full(error, target):
            raise DiskFullError(
                f"no space left on the disk of {target} (free: {free_bytes(target) / 2**20:.0f} MiB); "
                "what was complete there is untouched"
            ) from error
        raise


def _is_disk_full(error: BaseException, target: Path) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    text = str(error)
    if "No space left" in text or "os error 28" in text:  # safetensors, pyarrow
        return True
    return isinstance(error, RuntimeError) and free_bytes(target) < 2**20  # torch.save does not say why it failed


def existing_parent(path: Path) -> Path:
    """The path itself, or its nearest parent that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def free_bytes(path: Path) -> int:
    """Bytes free on the disk that holds (or would hold) ``path``."""
    return shutil.disk_usage(existing_parent(path)).free
