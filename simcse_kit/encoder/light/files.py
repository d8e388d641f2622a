"""Identity of a model's files: the key of a light form."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import xxhash

from simcse_kit.encoder.settings import is_model_file

_BLOCK = 1 << 20  # bytes per read


class FileStamp(NamedTuple):
    """File attributes that change whenever the file changes."""

    path: str  # in the model's folder
    size: int
    modified: int  # ns
    changed: int  # ns, which no tool can reset
    inode: int


def stamps_of(folder: Path) -> tuple[FileStamp, ...]:
    """A stamp of each of the model's files, except its README."""
    found = []
    for path in (*folder.glob("*"), *folder.glob("[0-9]*_*/*")):
        name = path.relative_to(folder).as_posix()
        if is_model_file(name) and name != "README.md" and path.is_file():
            status = os.stat(path)
            found.append(FileStamp(name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))
    return tuple(sorted(found))


def files_digest(folder: Path, stamps: tuple[FileStamp, ...]) -> str:
    """A checksum over names and bytes of the files."""
    digest = xxhash.xxh3_128()
    for stamp in stamps:
        digest.update(f"{stamp.path} {stamp.size}\n".encode())
        with (folder / stamp.path).open("rb", buffering=0) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()
