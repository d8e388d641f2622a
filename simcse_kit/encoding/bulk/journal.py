"""Progress of a run on the disk: the vectors of complete shards, and a record of them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from simcse_kit.errors import DataError, say_once
from simcse_kit.files import as_written, only_writer, read_json, sync

_RECORD = "journal.json"
_SHARDS = "shards.jsonl"
_VECTORS = "vectors"
_READ = 1 << 20  # bytes compared at a time


class ShardRecord(NamedTuple):
    """Record of a shard."""

    rows: int
    digest: str  # of the texts of all rows up to its end, see `source.Shard`
    vectors: str  # hash of the vectors' bytes
    blank: int = 0  # rows without a text
    truncated: int = 0  # rows longer than the model's limit


class Journal:
    """A folder beside the output. The process may die at any instant between two calls of `append`.

    ``front`` bytes before the vectors are reserved for a header. A shard counts when its record is written. If a
    shard's vectors do not match its record, it and all later shards are encoded again, with a notice.
    """

    def __init__(self, folder: Path, run: dict[str, Any], *, front: int, replace: bool = False) -> None:
        self.folder = folder
        self.vectors = folder / _VECTORS
        self.front = front
        self._row_bytes = int(run["row_bytes"])
        self._run = run
        self.finished = False  # the output is complete, except for its name
        recorded = self._recorded() if self._is_found(replace=replace) else []
        self.shards = recorded[: self._whole(recorded)]
        if len(self.shards) < len(recorded):
            self.finished = False
            again = sum(shard.rows for shard in recorded[len(self.shards) :])
            say_once(
                f"{self.vectors} has changed since an interrupted run wrote it, from row {self.rows} on: the "
                f"last {again} of its {self.rows + again} rows are encoded again"
            )
        if not self.finished:
            self._keep_only(self.shards)

    @property
    def rows(self) -> int:
        """Rows whose vectors are on the disk."""
        return sum(shard.rows for shard in self.shards)

    def _is_found(self, *, replace: bool) -> bool:
        """Whether there is an interrupted run of this kind; ``replace`` deletes one of another kind."""
        record = self.folder / _RECORD
        if not record.is_file():
            return False
        with as_written(record, DataError):
            found = read_json(record, DataError)
            before, finished = dict(found["run"]), bool(found["finished"])
        other = [name for name, value in self._run.items() if before.get(name) != value]
        if not other:
            self.finished = finished
            return True
        if not replace:
            name = other[0]
            raise DataError(
                f"{self.folder} holds an interrupted run with another {name.replace('_', ' ')} "
                f"({before.get(name)!r} before, {self._run[name]!r} now): use the same settings, or start again "
                "with --overwrite (overwrite=True)"
            )
        for path in self.folder.iterdir():
            path.unlink()
        return False

    def _recorded(self) -> list[ShardRecord]:
        """Records of the shards, without a truncated last one."""
        path = self.folder / _SHARDS
        content = path.read_bytes() if path.is_file() else b""
        shards = []
        for line in content[: content.rfind(b"\n") + 1].splitlines():
            try:
                shards.append(ShardRecord(**json.loads(line)))
            except (ValueError, TypeError) as error:
                raise DataError(f"{path}, line {len(shards) + 1} is damaged ({error}); delete {self.folder}") from error
        return shards

    def _whole(self, shards: list[ShardRecord]) -> int:
        """How many shards, from the first on, match their records."""
        if not self.vectors.is_file():
            return len(shards) if self.finished else 0
        with self.vectors.open("rb") as file:
            file.seek(self.front)
            for number, shard in enumerate(shards):
                if _hash_of(file, shard.rows * self._row_bytes) != shard.vectors:
                    return number
        return len(shards)

    def _keep_only(self, shards: list[ShardRecord]) -> None:
        """Truncate after these shards: removes an incomplete or damaged shard."""
        ends = {
            self.folder / _SHARDS: sum(len(_line(shard)) for shard in shards),
            self.vectors: self._end,
        }
        for path, end in ends.items():
            if path.exists() and path.stat().st_size > end:
                os.truncate(path, end)

    @property
    def _end(self) -> int:
        return self.front + self.rows * self._row_bytes

    def append(self, vectors: NDArray[Any], digest: str, blank: int, truncated: int = 0) -> None:
        """Store a shard's vectors (M, ...) and its record, see `ShardRecord`."""
        if not self.shards:
            self._write()
        content = np.ascontiguousarray(vectors).tobytes()
        shard = ShardRecord(len(vectors), digest, xxhash.xxh3_128(content).hexdigest(), blank, truncated)
        _put(self.vectors, self._end, content)
        _put(self.folder / _SHARDS, sum(len(_line(one)) for one in self.shards), _line(shard))
        if not self.shards:
            sync(self.folder)
        self.shards.append(shard)

    def finish(self) -> None:
        """From here on, only the output's name is missing."""
        self.finished = True
        self._write()

    def _write(self) -> None:
        part = self.folder / f"{_RECORD}.part"
        part.write_text(json.dumps({"run": self._run, "finished": self.finished}), encoding="utf-8")
        sync(part)
        os.replace(part, self.folder / _RECORD)
        sync(self.folder)

    def blocks(self) -> Iterator[bytes]:
        """The vectors' bytes of each shard."""
        with self.vectors.open("rb") as file:
            file.seek(self.front)
            for shard in self.shards:
                yield file.read(shard.rows * self._row_bytes)


def _line(shard: ShardRecord) -> bytes:
    return json.dumps(shard._asdict()).encode() + b"\n"


def _put(path: Path, at: int, content: bytes) -> None:
    path.touch()
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _hash_of(file: BinaryIO, size: int) -> str:
    """Hash of the next bytes; of fewer at the end of the file."""
    found = xxhash.xxh3_128()
    while size and (block := file.read(min(size, _READ))):
        found.update(block)
        size -= len(block)
    return found.hexdigest()


@contextmanager
def working_folder(output: Path) -> Iterator[Path]:
    """Folder of an output's journal, locked for one process; removed afterwards if it is empty."""
    folder = output.parent / f".{output.name}.encoding"
    folder.mkdir(exist_ok=True)
    with only_writer(folder, DataError(f"another process is writing {output}")):
        try:
            yield folder
            shutil.rmtree(folder)  # the output is complete
        except BaseException:
            with suppress(OSError):
                folder.rmdir()
            raise
