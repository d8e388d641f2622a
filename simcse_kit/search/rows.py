"""Ids, texts and metadata of a segment's rows, in a SQLite file that never changes once written."""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import numpy as np
from numpy.typing import NDArray

from simcse_kit.data.bounds import read_json_object
from simcse_kit.errors import DamagedIndexError, SearchIndexError
from simcse_kit.search.blocks import BlockFile
from simcse_kit.search.filters import Condition, to_sql
from simcse_kit.search.postings import ROWS as WORDS_AT_ONCE
from simcse_kit.search.postings import SCHEMA as WORDS_SCHEMA
from simcse_kit.search.postings import Postings, add_words, read_lengths, read_word
from simcse_kit.search.sqlite import BlockDatabase, Database, OneConnection, named, until
from simcse_kit.tabular import TabularList
from simcse_kit.types import Id as Id  # used by other modules of this folder

JsonObject = dict[str, Any]
_SCHEMA = """
CREATE TABLE rows (row INTEGER PRIMARY KEY, id NOT NULL, text TEXT NOT NULL, metadata TEXT, checksum INTEGER NOT NULL);
CREATE INDEX by_id ON rows (id);
CREATE TABLE deleted (row INTEGER PRIMARY KEY);
"""
_MANY = 500  # values per statement
_READ = 1000  # rows per read
_LONGEST = 504  # longest path in bytes that SQLite opens


class IndexRow(NamedTuple):
    """A row of the index."""

    id: Id
    text: str
    metadata: JsonObject | None


class Ranks(NamedTuple):
    """Ranks of a hit by meaning and by words, from 1; None: not in this ranking."""

    dense: int | None
    keyword: int | None


class Hit(NamedTuple):
    """One hit: the stored row and its score, which is the cosine with the query in search by meaning."""

    id: Id
    text: str
    score: float
    metadata: JsonObject | None = None
    ranks: Ranks | None = None  # None: search by meaning

    @classmethod
    def of(cls, row: IndexRow, score: float, ranks: Ranks | None = None) -> Hit:
        """The row of the hit."""
        return cls(row.id, row.text, float(score), row.metadata, ranks)

    def to_dict(self) -> JsonObject:
        """Its fields, with one field per rank if there are ranks."""
        values = self._asdict()
        ranks = values.pop("ranks")
        return values if ranks is None else values | {"dense_rank": ranks.dense, "keyword_rank": ranks.keyword}


class Hits(TabularList[Hit]):
    """The hits of one query, best first."""

    def _records(self) -> Iterator[JsonObject]:
        return (hit.to_dict() for hit in self)


class RowTable:
    """Rows of an index by number, and the numbers of deleted rows (of any segment) stored with them.

    `new` makes one in memory, `create` in a file, and `open` reads a file. Methods may be called from several threads.
    """

    def __init__(self, database: Database, name: str, *, words: bool = False) -> None:
        self._database = database
        self._name = name
        self._words = words  # whether `add` adds words too

    @classmethod
    def new(cls, *, words: bool = False) -> RowTable:
        """In memory, empty; ``words``: with keyword tables."""
        return cls(OneConnection.in_memory(_SCHEMA + WORDS_SCHEMA * words), "memory", words=words)

    @classmethod
    def open(cls, file: BlockFile) -> RowTable:
        """Open a file; every page is checked before its first use."""
        with named(str(file.path)):
            return cls(BlockDatabase(file), str(file.path))

    @classmethod
    @contextmanager
    def create(cls, path: Path, *, words: bool = False) -> Iterator[RowTable]:
        """Write a new file, closed at the end; the caller makes it durable.

        ``words``: with keyword tables, for `index_words`.
        """
        _check_length(path)
        path.touch(exist_ok=False)  # with the mode of the umask; SQLite would use its own
        with named(str(path)), OneConnection.to_new_file(path, _SCHEMA + WORDS_SCHEMA * words) as database:
            yield cls(database, str(path))

    @contextmanager
    def _connection(self) -> Iterator[apsw.Connection]:
        with named(self._name), self._database.connection() as connection:
            yield connection

    def add(self, start: int, ids: Sequence[Id], texts: Sequence[str], metadata: Sequence[str | None]) -> None:
        """Add rows from number ``start`` on, replacing existing ones; ``metadata`` is JSON text."""
        rows = zip(
            range(start, start + len(ids)), ids, texts, metadata, map(_checksum, ids, texts, metadata), strict=True
        )
        with self._connection() as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?)", rows)
            if self._words:
                add_words(connection, start, texts)

    def index_words(self) -> None:
        """Add keywords of rows that were copied from others; their numbers are consecutive."""
        rows = self._since(0)
        while some := list(islice(rows, WORDS_AT_ONCE)):
            with self._connection() as connection, connection:
                add_words(connection, some[0][0], [text for _, _, text, *_ in some])

    def postings(self, word: str) -> Postings:
        """The rows that contain a word, including deleted ones."""
        with self._connection() as connection:
            return read_word(connection, word)

    def lengths(self) -> Postings:
        """Number of words of every row, including deleted ones."""
        with self._connection() as connection:
            return read_lengths(connection)

    def delete(self, numbers: Iterable[int]) -> None:
        """Record that rows, of any segment, are deleted."""
        with self._connection() as connection, connection:
            connection.executemany("INSERT OR IGNORE INTO deleted VALUES (?)", ((n,) for n in numbers))

    def take(self, other: RowTable, end: int) -> None:
        """Copy the rows of another below number ``end``, with the same numbers, and its deleted numbers."""
        with self._connection() as connection, connection, other._connection() as source:
            found = source.execute("SELECT * FROM rows WHERE row < ? ORDER BY row", (end,))
            connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?)", found)
            found = source.execute("SELECT * FROM deleted ORDER BY row")
            connection.executemany("INSERT INTO deleted VALUES (?)", found)

    def take_live(self, other: RowTable, live: NDArray[np.bool_], numbers: Iterator[int]) -> None:
        """Copy the ``live`` rows of another (by their numbers there), under the next of ``numbers``."""
        with self._connection() as connection, connection, other._connection() as source:
            found = source.execute("SELECT * FROM rows ORDER BY row")
            kept = ((next(numbers), *values) for number, *values in found if live[number])
            connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?)", kept)

    def deleted(self) -> NDArray[np.int64]:
        """Numbers of deleted rows, ascending."""
        with self._connection() as connection:
            found = connection.execute("SELECT row FROM deleted ORDER BY row").fetchall()
        return np.array([number for (number,) in found], dtype=np.int64)

    def fetch(self, numbers: Sequence[int]) -> dict[int, IndexRow]:
        """Rows by number, each checked against its checksum. Raises an error for a missing row."""
        found: dict[int, IndexRow] = {}
        for values in self._select("*", "row", list(numbers)):
            found[values[0]] = self._row(*values)
        if missing := set(numbers) - found.keys():
            raise DamagedIndexError(f"{self._name} is damaged: it lacks row {min(missing)}")
        return found

    def numbers(self, ids: Sequence[Id]) -> list[tuple[int, Id]]:
        """(number, id) of every row with one of the ids, including deleted ones."""
        return [(number, id_) for number, id_ in self._select("row, id", "id", list(ids))]

    def matching(self, condition: Condition, deadline: float = math.inf) -> NDArray[np.int64]:
        """Numbers of the rows whose metadata match a condition, including deleted ones, ascending.

        Raises:
            TimeoutError: the deadline, by `time.monotonic`, has passed.
        """
        text, values = to_sql(condition)
        with self._connection() as connection, until(deadline, connection):
            found = connection.execute(f"SELECT row FROM rows WHERE {text} ORDER BY row", values).fetchall()
        return np.array([number for (number,) in found], dtype=np.int64)

    def __iter__(self) -> Iterator[tuple[int, IndexRow]]:
        """All rows with their numbers, including deleted ones, each checked."""
        return self.since(0)

    def since(self, number: int) -> Iterator[tuple[int, IndexRow]]:
        """The rows from a number on."""
        return ((values[0], self._row(*values)) for values in self._since(number))

    def among(self, live: NDArray[np.bool_]) -> Iterator[tuple[int, IndexRow]]:
        """The rows whose numbers are ``live``; JSON of other rows is not parsed."""
        kept = (values for values in self._since(0) if values[0] < len(live) and live[values[0]])
        return ((values[0], self._row(*values)) for values in kept)

    def _since(self, number: int) -> Iterator[Any]:
        while True:
            with self._connection() as connection:  # do not hold the database while the caller works
                found: list[Any] = connection.execute(
                    "SELECT * FROM rows WHERE row >= ? ORDER BY row LIMIT ?", (number, _READ)
                ).fetchall()
            yield from found
            if len(found) < _READ:
                return
            number = found[-1][0] + 1

    def verify(self) -> list[int]:
        """Check the structure of the whole file, and each row; returns the row numbers, ascending."""
        with self._connection() as connection:
            ((answer,), *_) = connection.execute("PRAGMA integrity_check").fetchall()
        if answer != "ok":
            raise DamagedIndexError(f"{self._name} is damaged: {answer}")
        numbers: list[int] = []
        for values in self._since(0):
            self._check(*values)
            numbers.append(values[0])
        return numbers

    def _check(self, number: int, id_: Id, text: str, metadata: str | None, checksum: int) -> None:
        if checksum != _checksum(id_, text, metadata):
            raise DamagedIndexError(f"{self._name} is damaged: row {number} has changed since it was written")

    def _row(self, number: int, id_: Id, text: str, metadata: str | None, checksum: int) -> IndexRow:
        self._check(number, id_, text, metadata, checksum)
        try:
            return IndexRow(id_, text, None if metadata is None else read_json_object(metadata))
        except ValueError as error:
            raise SearchIndexError(
                f"cannot read the metadata of the row with id {id_!r}: {error}; update the row, or delete it"
            ) from error

    def _select(self, columns: str, key: str, values: list[Any]) -> Iterator[Any]:
        for at in range(0, len(values), _MANY):
            part = values[at : at + _MANY]
            marks = ",".join("?" * len(part))
            with self._connection() as connection:
                found = connection.execute(f"SELECT {columns} FROM rows WHERE {key} IN ({marks})", part).fetchall()
            yield from found


def _check_length(path: Path) -> None:
    if (size := len(os.fsencode(os.path.realpath(path)))) > _LONGEST:
        raise SearchIndexError(
            f"{path}: the path has {size} bytes, but SQLite opens at most {_LONGEST}: move the index"
        )


def _checksum(id_: Id, text: str, metadata: str | None) -> int:
    return zlib.crc32(f"{id_!r}\0{text}\0{metadata}".encode())
