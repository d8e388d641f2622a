"""A flipped bit anywhere in an index is reported, or changes no answer; no silent wrong answers.

Here all rows count as large, so that opening an index reads none of them for checks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcse_kit import SearchIndexError
from simcse_kit.errors import DamagedIndexError
from simcse_kit.search import Collection, store

pytestmark = pytest.mark.slow

COUNT, DIMENSION = 4000, 16
FLIPS = {"manifest.json": 20, "rows-*": 50, "vectors-*": 20, "structure-*": 60}  # of each file; 220 of an index


def vectors(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)


def filled(kind: str, folder: Path) -> None:
    """Two segments; the second has its own rows and deletes rows of the first."""
    index = Collection(DIMENSION, kind, hybrid=True)
    metadata = [{"n": n, "lang": "en" if n % 3 else "de", "tags": {"kind": f"k{n % 7}"}} for n in range(COUNT)]
    index.add([f"text {n}" for n in range(COUNT)], vectors(COUNT, 0), [f"id{n}" for n in range(COUNT)], metadata)
    index.save(folder)
    index.add([f"later {n}" for n in range(50)], vectors(50, 1), [f"later{n}" for n in range(50)])
    index.delete([f"id{n}" for n in range(0, COUNT, 10)])
    index.save()
    assert index.info().segments == 2


def answers(folder: Path) -> list[Any]:
    """Answers of an index to all kinds of questions."""
    index = Collection.open(folder)
    queries = vectors(3, 2)
    found: list[Any] = [len(index), index.id_type, index.fields]
    found += [index.search(queries, k) for k in (1, 10, 100)]
    found.append(index.search(queries, 10, filter={"lang": "de", "n": {"$lt": 2000}}))
    found.append(index.search(queries, 5, filter={"tags.kind": {"$in": ["k1", "k2"]}}))
    found.append(index.search_words(["text 17", "later 3999 text", "no such"], 20))
    found.append(index.search_words(["text 7", "later 9", "3210"], 10, {"lang": "de"}, vectors=queries))
    found.append(index.similar("id7", 5))
    found.append(index.get(["id3", "id3999", "later7"]))
    found.append(index.vectors_of(["id11", "later1"]).tolist())
    for gone in ("id0", "id3990", "no"):
        with pytest.raises(SearchIndexError, match="this index has no id"):
            index.get([gone])
    found.append(index.delete(["id1", "id2"]))
    found.append(index.delete(filter={"n": {"$gte": 3000}, "lang": "en"}))
    found.append(sorted(str(row.id) for row, _ in index.rows()))
    return found


@pytest.mark.parametrize("kind", ["int8", "pq", "hnsw"])
def test_no_wrong_answer_in_silence(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_CHECKED_AT_ONCE", 0)
    folder = tmp_path / "i"
    filled(kind, folder)
    right, draw = answers(folder), np.random.default_rng(list(kind.encode()))
    flips = named = 0
    for pattern, count in FLIPS.items():
        for path in sorted(folder.glob(pattern)):
            raw = path.read_bytes()
            for at in draw.integers(0, len(raw), count).tolist():
                changed = bytearray(raw)
                changed[at] ^= 1 << int(draw.integers(8))
                path.write_bytes(bytes(changed))
                flips += 1
                try:
                    assert answers(folder) == right, f"byte {at} of {path.name}: another answer, and no error"
                except SearchIndexError as error:
                    named += 1
                    damage = isinstance(error, DamagedIndexError) and path.name in str(error)
                    assert damage or path.name == "manifest.json", error  # noqa: PT017  # which is no JSON then
                else:  # it was not read; verifying finds it
                    with pytest.raises(DamagedIndexError, match=path.name):
                        Collection.open(folder).verify()
            path.write_bytes(raw)
    assert flips >= 200
    assert named >= flips // 2
    assert answers(folder) == right


@pytest.mark.parametrize("at", [0, 1 << 16, -9])
def test_rows_that_are_large_are_checked_where_they_are_read(at: int, tmp_path: Path) -> None:
    """Over 16 MiB, read on demand: opening reads only little, and reads are checked."""
    index = Collection(2)
    count = 40_000
    index.add(["x" * 400] * count, np.ones((count, 2)), [f"id{n}" for n in range(count)])
    index.save(tmp_path / "i")
    (path,) = (tmp_path / "i").glob("rows-*")
    raw = bytearray(path.read_bytes())
    assert len(raw) > 1 << 24
    raw[at] ^= 1
    path.write_bytes(bytes(raw))
    with pytest.raises(DamagedIndexError, match=path.name):
        list(Collection.open(tmp_path / "i").rows())
