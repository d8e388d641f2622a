"""How far a run has come, on the disk: the vectors of whole shards, and a record that names them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcse_kit.errors import DataError
from simcse_kit.files import only_writer, read_json, sync

_RECORD = "journal.json"
_VECTORS = "vectors"


@dataclass
class Progress:
    """What the record says."""

    run: dict[str, Any]  # what the vectors depend on
    rows: int = 0  # whose vectors are on the disk
    digest: str = ""  # of these rows, see `source.Shard`
    blank: int = 0  # rows without a text
    finished: bool = False  # the output is whole, but for its name


class Journal:
    """A folder beside the output. Between two calls of `append` a process may die at any instant.

    ``front`` bytes before the vectors are left free, for a header.
    """

    def __init__(self, folder: Path, run: dict[str, Any], *, front: int, replace: bool = False) -> None:
        self.folder = folder
        self.vectors = folder / _VECTORS
        self.front = front
        self._row_bytes = int(run["row_bytes"])
        self.progress = self._found(run, replace=replace)
        if self.vectors.exists() and not self.progress.finished:
            os.truncate(self.vectors, self._end)  # what a shard that was cut off had written goes

    def _found(self, run: dict[str, Any], *, replace: bool) -> Progress:
        """The progress of an interrupted run, or that of a new one; ``replace`` forgets a run of another kind."""
        record = self.folder / _RECORD
        if not record.is_file():
            return Progress(run)
        found = Progress(**read_json(record, DataError))
        other = [name for name, value in run.items() if found.run.get(name) != value]
        if not other:
            return found
        if not replace:
            name = other[0]
            raise DataError(
                f"{self.folder} holds an interrupted run with another {name.replace('_', ' ')} "
                f"({found.run.get(name)!r} then, {run[name]!r} now): go on as it began, or start anew with --overwrite "
                "(overwrite=True)"
            )
        for path in self.folder.iterdir():
            path.unlink()
        return Progress(run)

    @property
    def _end(self) -> int:
        return self.front + self.progress.rows * self._row_bytes

    def append(self, vectors: NDArray[Any], digest: str, blank: int) -> None:
        """Keep a shard's vectors (M, ...); the digest is that of all rows up to its end, ``blank`` of M are blank."""
        self.vectors.touch()
        with self.vectors.open("r+b") as file:
            file.seek(self._end)
            file.write(np.ascontiguousarray(vectors).tobytes())
            file.flush()
            os.fsync(file.fileno())
        self.progress.rows += len(vectors)
        self.progress.digest = digest
        self.progress.blank += blank
        self._write()

    def finish(self) -> None:
        """From here on only the output's name is missing."""
        self.progress.finished = True
        self._write()

    def _write(self) -> None:
        part = self.folder / f"{_RECORD}.part"
        part.write_text(json.dumps(asdict(self.progress)), encoding="utf-8")
        sync(part)
        os.replace(part, self.folder / _RECORD)
        sync(self.folder)

    def blocks(self, rows: int) -> Iterator[bytes]:
        """The vectors' bytes, at most ``rows`` rows at a time."""
        with self.vectors.open("rb") as file:
            file.seek(self.front)
            while block := file.read(rows * self._row_bytes):
                yield block


@contextmanager
def working_folder(output: Path) -> Iterator[Path]:
    """The folder of an output's journal, for one process at a time; gone afterwards where nothing is in it."""
    folder = output.parent / f".{output.name}.encoding"
    folder.mkdir(exist_ok=True)
    with only_writer(folder, DataError(f"another process is writing {output}")):
        try:
            yield folder
            shutil.rmtree(folder)  # the output is whole
        except BaseException:
            with suppress(OSError):
                folder.rmdir()
            raise
