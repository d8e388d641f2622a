"""Ids, texts and metadata of a segment's rows, in a SQLite file that does not change once it is written."""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.errors import SearchIndexError
from simcse_kit.search.filters import Condition, to_sql
from simcse_kit.types import Id as Id  # for the modules of this folder too

JsonObject = dict[str, Any]
_SCHEMA = """
CREATE TABLE rows (row INTEGER PRIMARY KEY, id NOT NULL, text TEXT NOT NULL, metadata TEXT, checksum INTEGER NOT NULL);
CREATE INDEX by_id ON rows (id);
CREATE TABLE deleted (row INTEGER PRIMARY KEY);
"""
_MANY = 500  # values in one statement
_LONGEST = 504  # bytes of a path that SQLite opens


class IndexRow(NamedTuple):
    """A row of the index."""

    id: Id
    text: str
    metadata: JsonObject | None


class Hit(NamedTuple):
    """One answer: what is stored, and the cosine with the query."""

    id: Id
    text: str
    score: float
    metadata: JsonObject | None = None

    @classmethod
    def of(cls, row: IndexRow, score: float) -> Hit:
        """A row that was found."""
        return cls(row.id, row.text, float(score), row.metadata)


class RowTable:
    """Rows of an index by their numbers, and the numbers of rows, of any segment, that were deleted with them.

    Made in memory by `new` or in a file by `create`, read back by `open`. Calls may come from several threads.
    """

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection = connection
        self._name = name

    @classmethod
    def new(cls) -> RowTable:
        """None, in memory."""
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        connection.executescript(_SCHEMA)
        return cls(connection, "memory")

    @classmethod
    def open(cls, path: Path) -> RowTable:
        """A file, which must not change while it is open."""
        _check_length(path)
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        with _named(str(path)):
            connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
            rows = cls(connection, str(path))
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # opens it: it may be removed now
        return rows

    @classmethod
    @contextmanager
    def create(cls, path: Path) -> Iterator[RowTable]:
        """A new file, which is not there yet, closed at the end; the caller makes it durable."""
        _check_length(path)
        path.touch(exist_ok=False)  # with the mode that the umask says: SQLite has one of its own
        with _named(str(path)):
            connection = sqlite3.connect(path)
            try:
                connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _SCHEMA)
                yield cls(connection, str(path))
            finally:
                connection.close()

    def add(self, start: int, ids: Sequence[Id], texts: Sequence[str], metadata: Sequence[str | None]) -> None:
        """Add rows from number ``start``, in the place of any there; ``metadata`` is JSON."""
        rows = zip(
            range(start, start + len(ids)), ids, texts, metadata, map(_checksum, ids, texts, metadata), strict=True
        )
        with _named(self._name), self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?)", rows)

    def delete(self, numbers: Iterable[int]) -> None:
        """Note that rows, of any segment, are deleted."""
        with _named(self._name), self._connection:
            self._connection.executemany("INSERT OR IGNORE INTO deleted VALUES (?)", ((n,) for n in numbers))

    def take(self, other: RowTable, end: int) -> None:
        """Add the rows of another below number ``end``, under the same numbers, and its deleted numbers."""
        with _named(self._name), self._connection:
            found = other._connection.execute("SELECT * FROM rows WHERE row < ? ORDER BY row", (end,))
            self._connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?)", found)
            found = other._connection.execute("SELECT * FROM deleted ORDER BY row")
            self._connection.executemany("INSERT INTO deleted VALUES (?)", found)

    def take_live(self, other: RowTable, live: NDArray[np.bool_], numbers: Iterator[int]) -> None:
        """Add the rows of another that are ``live`` (by their numbers there), under the next of ``numbers``."""
        found = other._connection.execute("SELECT * FROM rows ORDER BY row")
        kept = ((next(numbers), *values) for number, *values in found if live[number])
        with _named(self._name), self._connection:
            self._connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?)", kept)

    def deleted(self) -> NDArray[np.int64]:
        """Numbers of deleted rows, ascending."""
        with _named(self._name):
            found = self._connection.execute("SELECT row FROM deleted ORDER BY row").fetchall()
        return np.array([number for (number,) in found], dtype=np.int64)

    def fetch(self, numbers: Sequence[int]) -> dict[int, IndexRow]:
        """Rows by number, each checked against its checksum; one that is not there is an error."""
        found: dict[int, IndexRow] = {}
        for values in self._select("*", "row", list(numbers)):
            found[values[0]] = self._row(*values)
        if missing := set(numbers) - found.keys():
            raise SearchIndexError(f"{self._name} is damaged: it lacks row {min(missing)}")
        return found

    def numbers(self, ids: Sequence[Id]) -> list[tuple[int, Id]]:
        """(number, id) of every row with one of the ids, deleted ones too."""
        return [(number, id_) for number, id_ in self._select("row, id", "id", list(ids))]

    def matching(self, condition: Condition) -> NDArray[np.int64]:
        """Numbers of the rows whose metadata meet a condition, deleted ones too, ascending."""
        text, values = to_sql(condition)
        with _named(self._name):
            found = self._connection.execute(f"SELECT row FROM rows WHERE {text} ORDER BY row", values).fetchall()
        return np.array([number for (number,) in found], dtype=np.int64)

    def __iter__(self) -> Iterator[tuple[int, IndexRow]]:
        """All rows with their numbers, deleted ones too, each checked."""
        with _named(self._name):
            for values in self._connection.execute("SELECT * FROM rows ORDER BY row"):
                yield values[0], self._row(*values)

    def verify(self) -> list[int]:
        """Check the whole file's structure, and each row; the rows' numbers, ascending."""
        with _named(self._name):
            (answer,) = self._connection.execute("PRAGMA integrity_check").fetchone()
        if answer != "ok":
            raise SearchIndexError(f"{self._name} is damaged: {answer}")
        return [number for number, _ in self]

    def _row(self, number: int, id_: Id, text: str, metadata: str | None, checksum: int) -> IndexRow:
        if checksum != _checksum(id_, text, metadata):
            raise SearchIndexError(f"{self._name} is damaged: row {number} is not what was written")
        return IndexRow(id_, text, None if metadata is None else json.loads(metadata))

    def _select(self, columns: str, key: str, values: list[Any]) -> Iterator[Any]:
        with _named(self._name):
            for at in range(0, len(values), _MANY):
                part = values[at : at + _MANY]
                marks = ",".join("?" * len(part))
                yield from self._connection.execute(f"SELECT {columns} FROM rows WHERE {key} IN ({marks})", part)


def _check_length(path: Path) -> None:
    if (size := len(os.fsencode(os.path.realpath(path)))) > _LONGEST:
        raise SearchIndexError(
            f"{path}: the path has {size} bytes, and SQLite opens at most {_LONGEST}: move the index"
        )


def _checksum(id_: Id, text: str, metadata: str | None) -> int:
    return zlib.crc32(f"{id_!r}\0{text}\0{metadata}".encode())


@contextmanager
def _named(name: str) -> Iterator[None]:
    """SQLite's errors as ours, with the file's name."""
    try:
        yield
    except (sqlite3.DatabaseError, OverflowError, UnicodeError, json.JSONDecodeError) as error:
        if "full" in str(error):  # the disk: `disk_full_named` says more
            raise OSError(28, str(error)) from error
        raise SearchIndexError(f"{name} is damaged: {error}") from error
