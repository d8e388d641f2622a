"""Which rows contain which words: tables beside the rows of a segment, in the same file.

Uses its own lists instead of FTS5. FTS5's bm25 counts within one table, so rankings would depend on how rows are split
into segments, and it computes row by row. Here lists become arrays, and BM25 takes a few array operations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import apsw
import numpy as np
from numpy.typing import NDArray

from simcse_kit.search.words import split_words

# A list covers consecutive rows from `first` on: offsets and counts of those that contain the word
SCHEMA = """
CREATE TABLE words (word TEXT, first INTEGER, offsets BLOB NOT NULL, counts BLOB NOT NULL, PRIMARY KEY (word, first))
WITHOUT ROWID;
CREATE TABLE lengths (first INTEGER PRIMARY KEY, lengths BLOB NOT NULL);
"""
ROWS = 1 << 12  # rows per list, so that writing needs little memory
_OFFSET, _COUNT, _LENGTH = "<u2", "u1", "<u4"
_MOST = 255  # largest stored count; higher counts change a score by less than 1 %


class Postings(NamedTuple):
    """Row numbers, ascending, with a count for each."""

    rows: NDArray[np.int64]
    counts: NDArray[np.int64]


def add_words(connection: apsw.Connection, first: int, texts: Sequence[str]) -> None:
    """Add the words of texts, whose rows have numbers from ``first`` on; replaces lists from there on."""
    for table in ("words", "lengths"):
        connection.execute(f"DELETE FROM {table} WHERE first >= ?", (first,)).fetchall()
    for at in range(0, len(texts), ROWS):
        _add_lists(connection, first + at, texts[at : at + ROWS])


def _add_lists(connection: apsw.Connection, first: int, texts: Sequence[str]) -> None:
    lists: dict[str, tuple[list[int], list[int]]] = {}
    lengths = np.zeros(len(texts), _LENGTH)
    for offset, text in enumerate(texts):
        counts = Counter(split_words(text, letters=True))
        lengths[offset] = counts.total()
        for word, count in counts.items():
            offsets, own = lists.setdefault(word, ([], []))
            offsets.append(offset)
            own.append(min(count, _MOST))
    connection.execute("INSERT INTO lengths VALUES (?, ?)", (first, lengths.tobytes())).fetchall()
    connection.executemany(
        "INSERT INTO words VALUES (?, ?, ?, ?)",
        (
            (word, first, np.array(offsets, _OFFSET).tobytes(), np.array(counts, _COUNT).tobytes())
            for word, (offsets, counts) in sorted(lists.items())
        ),
    )


def read_word(connection: apsw.Connection, word: str) -> Postings:
    """The rows that contain a word, including deleted ones, with counts."""
    found = connection.execute("SELECT first, offsets, counts FROM words WHERE word = ? ORDER BY first", (word,))
    return _joined([(first + np.frombuffer(offsets, _OFFSET), counts) for first, offsets, counts in found], _COUNT)


def read_lengths(connection: apsw.Connection) -> Postings:
    """Number of words of every row, including deleted ones."""
    found = connection.execute("SELECT first, lengths FROM lengths ORDER BY first")
    width = np.dtype(_LENGTH).itemsize
    return _joined([(first + np.arange(len(counts) // width), counts) for first, counts in found], _LENGTH)


def _joined(lists: Sequence[tuple[NDArray[np.int64], bytes]], kind: str) -> Postings:
    rows = [rows for rows, _ in lists]
    counts = np.frombuffer(b"".join(counts for _, counts in lists), kind).astype(np.int64)
    return Postings(np.concatenate(rows).astype(np.int64) if rows else np.zeros(0, np.int64), counts)
