"""Structures find what an exact search finds, with the requested recall, from a mapped file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcse_kit import Notice, SearchIndexError
from simcse_kit.search import KINDS, Collection, collection, structure, tuning
from simcse_kit.search.kinds import InvertedLists, get_kind
from simcse_kit.search.kinds._factory import FactoryKind
from simcse_kit.search.structure import resolve_kinds

COUNT, DIMENSION = 4000, 32


def clustered(count: int = COUNT, seed: int = 0) -> np.ndarray:
    """Vectors in groups, as those of sentences are."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(60, DIMENSION))
    return (centres[draw.integers(0, 60, count)] + 0.6 * draw.normal(size=(count, DIMENSION))).astype(np.float32)


def filled(kind: str, folder: Path, **options: Any) -> Collection:
    made = Collection(DIMENSION, kind, **options)
    made.add([f"t{i}" for i in range(COUNT)], clustered(), metadata=[{"group": i % 10} for i in range(COUNT)])
    made.save(folder)
    return Collection.open(folder)


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return filled("flat", tmp_path_factory.mktemp("flat") / "i")


def recall(found: Collection, exact: Collection, **options: Any) -> float:
    queries = clustered(200, seed=1)
    wanted, answers = exact.search(queries, 10, **options), found.search(queries, 10, **options)
    for hits, right in zip(answers, wanted, strict=True):
        score = {hit.id: hit.score for hit in right}
        for hit in hits:  # scores are exact, whatever was compressed
            assert hit.score == pytest.approx(score.get(hit.id, hit.score), abs=1e-5)
    pairs = zip(answers, wanted, strict=True)
    return float(np.mean([len({h.id for h in a} & {h.id for h in w}) / len(w) for a, w in pairs]))


@pytest.mark.parametrize("kind", [*(kind for kind in KINDS if kind != "flat"), "IVF32,PQ16x4fs", "HNSW16"])
def test_recall_is_what_was_asked_for(kind: str, exact: Collection, tmp_path: Path) -> None:
    index = filled(kind, tmp_path / "i")
    entry = index.info().structure
    assert entry is not None
    assert entry.recall >= 0.99
    assert entry.rows == COUNT  # rows held out for tuning are in it too
    assert recall(index, exact) >= 0.975  # other queries than those of the tuning
    index.verify()
    # deleted rows are not found, a filter is obeyed, new rows are found at once
    index.delete(list(range(0, COUNT, 4)))
    exact_ids = {hit.id for hits in index.search(clustered(50, 2), 10) for hit in hits}
    assert all(int(i) % 4 for i in exact_ids)
    hits = index.search(clustered(20, 3), 10, filter={"group": {"$in": [1, 3, 5, 7, 9]}})
    assert all(hit.metadata["group"] % 2 for found in hits for hit in found if hit.metadata)
    assert all(len(found) == 10 for found in hits)
    index.add(["new"], clustered(1, 5), metadata=[{"group": 1}])
    assert index.search(clustered(1, 5), 1)[0][0].text == "new"


def test_a_filter_by_a_structure_finds_what_an_exact_search_finds(
    exact: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simcse_kit.search.content.AUTO_FLAT", 0)  # otherwise so few rows are compared one by one
    index = filled("int8", tmp_path / "i")
    assert recall(index, exact, filter={"group": {"$lt": 5}}) >= 0.97
    assert recall(index, exact, filter={"group": 3}) >= 0.97


def test_compacting_leaves_the_same_rows_and_covers_all(tmp_path: Path) -> None:
    index = filled("int8", tmp_path / "i")
    index.delete(list(range(1000)))
    index.add([f"new {i}" for i in range(500)], clustered(500, 9))
    index.save()
    assert (index.info().deleted, index.info().unindexed) == (1000, 500)
    before = {row.id: row.text for row, _ in index.rows()}
    index.compact()
    again = Collection.open(tmp_path / "i")
    assert (again.info().deleted, again.info().unindexed, again.info().segments) == (0, 0, 1)
    assert {row.id: row.text for row, _ in again.rows()} == before
    again.verify()
    for (row, vector), (other, same) in zip(index.rows(), again.rows(), strict=True):
        assert row == other
        np.testing.assert_array_equal(vector, same)


def test_auto_is_exact_until_it_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = [resolve_kinds("auto", n)[0].name for n in (0, 20_000, 20_001, 40_000_000)]
    assert first == ["flat", "flat", "pq", "pq"]
    monkeypatch.setattr(structure, "AUTO_FLAT", 3000)
    entry = filled("auto", tmp_path / "i").info().structure
    assert entry is not None
    assert (entry.kind, entry.recall >= 0.99) == ("pq", True)


def test_auto_takes_what_finds_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 12 candidates by half a byte for 4 dimensions too few are right; one byte a dimension is enough."""
    monkeypatch.setattr(structure, "AUTO_FLAT", 3000)
    monkeypatch.setattr(tuning, "_CANDIDATES", (12,))
    entry = filled("auto", tmp_path / "i").info().structure
    assert entry is not None
    assert (entry.kind, entry.recall >= 0.99) == ("int8", True)


def test_many_rows_that_no_structure_covers_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "AUTO_FLAT", 100)
    index = filled("int8", tmp_path / "i")
    index.add([f"new {i}" for i in range(1500)], clustered(1500, 9))
    with pytest.warns(Notice, match=r"1500 of 5500 rows .* compared one by one"):
        index.save()


def test_a_recall_that_cannot_be_had_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_CANDIDATES", (10,))
    with pytest.warns(Notice, match="binary reaches a recall of .* of the 10 nearest"):
        index = filled("binary", tmp_path / "i")
    entry = index.info().structure
    assert entry is not None
    assert 0.1 < entry.recall < 0.99


_CHOICES = r"an index's kind must be one of flat, hnsw, ivf, int8, pq, rabitq, binary; got"
_BESIDES = r" Also allowed: auto, or a FAISS factory string that starts with IVF or HNSW$"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("fast", rf"^{_CHOICES} 'fast'; did you mean flat\?{_BESIDES}"),
        ("Flat", rf"^{_CHOICES} 'Flat'; did you mean flat\?{_BESIDES}"),
        (
            "IVF0,Flat",
            "^'IVF0,Flat' is not a plain IVF or HNSW index; hits are rescored anyway",
        ),
        ("IVF8,Nonsense", "^FAISS does not know 'IVF8,Nonsense' for 32 dimensions: "),
        ("IVF8,SQ8,RFlat", "^'IVF8,SQ8,RFlat' is not a plain IVF or HNSW index"),
    ],
)
def test_kinds_that_do_not_exist(kind: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(SearchIndexError, match=text):
        filled(kind, tmp_path / "i")
    with pytest.raises(SearchIndexError, match="target_recall must be between 0 and 1"):
        Collection(4, target_recall=1.5)


@pytest.mark.parametrize("dimension", [1, 7, 30, 384])
@pytest.mark.parametrize("kind", ["ivf", "int8", "pq", "rabitq", "hnsw"])
def test_every_dimension_has_a_factory_string(kind: str, dimension: int) -> None:
    import faiss

    made = get_kind(kind)
    assert isinstance(made, FactoryKind)
    assert faiss.index_factory(dimension, made.factory(1000, dimension)).d == dimension


def test_the_factory_strings() -> None:
    """By hand: 4 lists for each row's square root, a power of two, and 50 rows a list at least."""
    made = {name: get_kind(name) for name in ("ivf", "int8", "pq", "rabitq")}
    strings = {name: kind.factory(100_000, 384) for name, kind in made.items() if isinstance(kind, InvertedLists)}
    assert strings == {
        "ivf": "IVF1024,Flat",
        "int8": "IVF1024,SQ8",
        "pq": "IVF1024,PQ96x4fs",
        "rabitq": "IVF1024,RaBitQ",
    }
    int8 = made["int8"]
    assert isinstance(int8, InvertedLists)
    assert [int8.factory(n, 384) for n in (40, 1_000_000, 40_000_000)] == ["IVF1,SQ8", "IVF4096,SQ8", "IVF8192,SQ8"]


@pytest.mark.parametrize("kind", ["hnsw", "int8", "pq", "rabitq", "binary"])
def test_a_flipped_bit_is_an_error_or_changes_nothing_that_counts(kind: str, tmp_path: Path) -> None:
    """Of a structure's file: never a crash, and a score is exact whatever the candidates are."""
    filled(kind, tmp_path / "i")
    (path,) = (tmp_path / "i").glob("structure-*")
    raw = path.read_bytes()
    right = filled("flat", tmp_path / "flat")
    queries = clustered(5, 1)
    scores = {hit.id: hit.score for hits in right.search(queries[:1], COUNT) for hit in hits}
    draw, refused = np.random.default_rng(0), 0
    for at in [0, 3, 9, 40, 100, *draw.integers(0, len(raw), 40).tolist()]:
        changed = bytearray(raw)
        changed[at] ^= 1 << int(draw.integers(8))
        path.write_bytes(bytes(changed))
        try:
            index = Collection.open(tmp_path / "i")
            for hit in index.search(queries, 10)[0]:
                assert hit.score == pytest.approx(scores[hit.id], abs=1e-5)
        except SearchIndexError as error:
            refused += 1
            assert "damaged" in str(error)  # noqa: PT017
        else:
            with pytest.raises(SearchIndexError, match="damaged"):
                index.verify()
    assert refused >= 5


@pytest.mark.parametrize("kind", ["int8", "hnsw"])
def test_it_is_tuned_by_queries_that_are_given(kind: str, exact: Collection, tmp_path: Path) -> None:
    """Anywhere, not near the groups: harder than the rows themselves."""
    anywhere = np.random.default_rng(3).normal(size=(400, DIMENSION))
    anywhere = (anywhere / np.linalg.norm(anywhere, axis=1, keepdims=True)).astype(np.float32)
    truth = [{hit.id for hit in hits} for hits in exact.search(anywhere[200:], 10)]

    def found(index: Collection) -> float:
        return float(
            np.mean(
                [
                    len({h.id for h in hits} & right) / 10
                    for hits, right in zip(index.search(anywhere[200:], 10), truth, strict=True)
                ]
            )
        )

    by_rows = filled(kind, tmp_path / "rows", target_recall=0.95)
    index = Collection.open(tmp_path / "rows")
    index.queries = anywhere[:200]
    index.compact()
    entry = Collection.open(tmp_path / "rows").info().structure
    assert entry is not None
    assert (entry.given, entry.queries) == (True, 200)
    assert entry.recall >= 0.95
    assert found(index) >= 0.93
    assert found(index) >= found(by_rows) - 0.01  # several threads build a graph, with a different result each time
    index.queries = None
    with pytest.warns(Notice, match="tuned with your queries and is now tuned with its own rows"):
        index.compact()
    entry = index.info().structure
    assert entry is not None
    assert not entry.given
