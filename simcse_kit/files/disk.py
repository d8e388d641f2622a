"""Files and their modes; a full disk raises an error that names the place."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simcse_kit.errors import SimCSEKitError


class DiskFullError(SimCSEKitError, OSError):
    """The disk (or the quota) was full while writing; existing files are untouched."""


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON, in UTF-8."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path, error: type[SimCSEKitError] = SimCSEKitError, kind: type = dict) -> Any:
    """Read JSON, an object or, for ``kind=list``, an array. Anything else raises ``error`` with the file's name."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as cause:
        raise error(f"{path} is missing") from cause
    except OSError as cause:
        raise error(f"cannot read {path}: {cause.strerror}") from cause
    except (ValueError, RecursionError) as cause:  # not UTF-8, a number of 5,000 digits, ten thousand brackets
        raise error(f"{path} is not valid JSON: {cause}") from cause
    if not isinstance(value, kind):
        raise error(f"{path} is not in simcse_kit's format: it holds {type(value).__name__}, not {kind.__name__}")
    return value


@contextlib.contextmanager
def as_written(path: Path, error: type[SimCSEKitError] = SimCSEKitError) -> Iterator[None]:
    """Context for using values from `read_json`: a missing value, or one of another type, raises ``error``."""
    try:
        yield
    except SimCSEKitError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError) as cause:
        raise error(f"{path} is damaged, or from another version of simcse_kit: {cause!r}") from cause


def make_folder(path: Path) -> None:
    """Create a folder and its parents if missing, and flush their entries to the disk."""
    new = [parent for parent in (path, *path.parents) if not parent.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for made in new:
        sync(made.parent)


def sync(path: Path) -> None:
    """Flush a file or folder entry to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def follow_umask(path: Path) -> None:
    """Give a file, or all below a folder, the mode that the system gives new files.

    safetensors writes weights with mode 0600, SQLite with 0644. The mode is copied from a new file in the same place,
    so that the umask and the folder's own rules apply.
    """
    within = path if path.is_dir() else path.parent
    probe = within / f".mode-{secrets.token_hex(4)}"
    probe.mkdir()
    folder_mode = stat.S_IMODE(probe.stat().st_mode)
    probe.rmdir()
    probe.touch()
    file_mode = stat.S_IMODE(probe.stat().st_mode)
    probe.unlink()
    for found in path.rglob("*") if path.is_dir() else (path,):
        mode = folder_mode if found.is_dir() else file_mode
        if not found.is_symlink() and stat.S_IMODE(found.stat().st_mode) != mode:
            found.chmod(mode)


def sync_all(folder: Path) -> None:
    """Flush a folder and all below it to the disk."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            sync(path)


@contextlib.contextmanager
def disk_full_named(target: Path) -> Iterator[None]:
    """Turn every library's error for a full disk into one error that names the place."""
    try:
        yield
    except Exception as error:
        if _is_disk_full(error, target):
            raise DiskFullError(
                f"no space left on the disk of {target} (free: {free_bytes(target) / 2**20:.0f} MiB); complete "
                "files there are untouched"
            ) from error
        raise


def _is_disk_full(error: BaseException, target: Path) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    text = str(error)
    if "No space left" in text or "os error 28" in text:  # safetensors, pyarrow
        return True
    return isinstance(error, RuntimeError) and free_bytes(target) < 2**20  # torch.save does not report the reason


def existing_parent(path: Path) -> Path:
    """The path, or its nearest existing parent."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def free_bytes(path: Path) -> int:
    """Free bytes on the disk of ``path``, which need not exist."""
    return shutil.disk_usage(existing_parent(path)).free
