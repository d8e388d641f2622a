"""Rows in SQLite: a damaged page raises an error before SQLite reads it, threads do not wait, errors name the cause."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcse_kit import SearchIndexError
from simcse_kit.errors import DamagedIndexError, SlowFilterError
from simcse_kit.search import Collection, content, store
from simcse_kit.search.blocks import BLOCK, BlockFile, seal
from simcse_kit.search.filters import parse_filter
from simcse_kit.search.rows import RowTable

COUNT = 3000


def written(path: Path) -> BlockFile:
    """Rows in a block file of some blocks; every tenth is deleted."""
    with RowTable.create(path) as rows:
        numbers = range(COUNT)
        metadata = [f'{{"n": {n}, "lang": "{"en" if n % 3 else "de"}"}}' for n in numbers]
        rows.add(0, [f"id{n}" for n in numbers], [f"text {n} " + "x" * 100 for n in numbers], metadata)
        rows.delete(range(0, COUNT, 10))
    return BlockFile.open(path, *seal(path))


def answers(file: BlockFile) -> list[Any]:
    rows = RowTable.open(file)
    return [
        rows.deleted().tolist(),
        rows.numbers(["id7", "id2999", "no"]),
        rows.matching(parse_filter({"lang": "de", "n": {"$lt": 100}})).tolist(),
        rows.fetch([5, 2990]),
    ]


def test_a_flipped_bit_anywhere_is_named_or_was_not_read(tmp_path: Path) -> None:
    file = written(tmp_path / "rows")
    size, right, raw = len(file.content), answers(file), (tmp_path / "rows").read_bytes()
    assert size > 5 * BLOCK
    draw, refused = np.random.default_rng(0), 0
    for at in draw.integers(0, size, 60).tolist():
        changed = bytearray(raw)
        changed[at] ^= 1 << int(draw.integers(8))
        (tmp_path / "rows").write_bytes(bytes(changed))
        damaged = BlockFile(file.path, np.frombuffer(changed, np.uint8)[:size], file._checksums)
        try:
            assert answers(damaged) == right
        except DamagedIndexError as error:
            refused += 1
            assert "rows is damaged: bytes" in str(error)  # noqa: PT017
    assert refused >= 50  # the filter reads nearly all


def test_only_what_is_read_is_checked(tmp_path: Path) -> None:
    file = written(tmp_path / "rows")
    assert RowTable.open(file).fetch([2990])[2990].id == "id2990"
    assert not file.checked
    assert int(file._unchecked.sum()) >= len(file._unchecked) - 4  # the head and the way down a tree


def test_a_thread_that_reads_keeps_no_other_one_waiting(tmp_path: Path) -> None:
    rows = RowTable.open(written(tmp_path / "rows"))
    begun, done, answer = threading.Event(), threading.Event(), []

    def long() -> None:
        with rows._connection() as connection:
            connection.execute("SELECT * FROM rows").fetchone()
            begun.set()
            done.wait(10)

    reader = threading.Thread(target=long)
    reader.start()
    begun.wait(10)
    answer = rows.numbers(["id7"])
    assert reader.is_alive()
    done.set()
    reader.join()
    assert answer == [(7, "id7")]


def test_rows_in_memory_may_be_read_from_threads_while_they_are_read(tmp_path: Path) -> None:
    rows = RowTable.new()
    rows.add(0, list(range(5000)), ["t"] * 5000, [None] * 5000)
    found: list[int] = []
    for number, _ in rows:
        if number == 1500:
            thread = threading.Thread(target=lambda: found.extend(n for n, _ in rows.numbers([3])))
            thread.start()
            thread.join(10)
    assert found == [3]


def test_a_statement_is_stopped_at_the_deadline(tmp_path: Path) -> None:
    rows = RowTable.open(written(tmp_path / "rows"))
    began = time.monotonic()
    many = parse_filter({"$or": [{"n": {"$gt": COUNT + n}} for n in range(3000)]})
    with pytest.raises(TimeoutError):
        rows.matching(many, began + 0.05)
    assert time.monotonic() - began < 2
    assert rows.matching(parse_filter({"n": 7})).tolist() == [7]  # the connection stays open


def test_a_filter_that_takes_too_long_is_an_error_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = Collection(4)
    index.add(["t"] * COUNT, np.ones((COUNT, 4)), metadata=[{"n": n} for n in range(COUNT)])
    index.save(tmp_path / "i")
    slow = {"$or": [{"n": {"$gt": COUNT + n}} for n in range(2000)]}
    monkeypatch.setattr(content, "_LEAST_SECONDS", 0.05)
    monkeypatch.setattr(content, "_SECONDS_OF_A_ROW", 0)
    with pytest.raises(SlowFilterError, match=r"stopped at its time limit of 0 s for 3,000 rows; use fewer"):
        index.search(np.ones((1, 4)), filter=slow)
    monkeypatch.undo()
    assert len(index.search(np.ones((1, 4)), filter={"n": {"$lt": 3}})[0]) == 3


def test_what_sqlite_refuses_is_not_called_damage(tmp_path: Path) -> None:
    rows = RowTable.open(written(tmp_path / "rows"))
    with pytest.raises(SearchIndexError, match=r"SQLite cannot query .*rows: .*too many SQL") as refused:
        list(rows._select("row", f"row IN ({','.join('?' * 40_000)}) OR row", [1]))
    assert not isinstance(refused.value, DamagedIndexError)


def test_large_files_of_rows_are_not_read_whole_to_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = Collection(4)
    index.add([f"text {n} " + "x" * 100 for n in range(COUNT)], np.ones((COUNT, 4)))
    index.save(tmp_path / "i")
    (path,) = (tmp_path / "i").glob("rows-*")
    raw = bytearray(path.read_bytes())
    raw[3 * BLOCK] ^= 1
    path.write_bytes(bytes(raw))
    with pytest.raises(DamagedIndexError, match="is damaged: bytes 196608 to"):
        Collection.open(tmp_path / "i")
    monkeypatch.setattr(store, "_CHECKED_AT_ONCE", 0)
    opened = Collection.open(tmp_path / "i")
    with pytest.raises(DamagedIndexError, match="is damaged: bytes 196608 to"):
        list(opened.rows())
    with pytest.raises(DamagedIndexError, match="is damaged: bytes 196608 to"):
        opened.verify()
