"""Saving to Milvus: no pending row is lost, other collections are untouched, and errors are specific."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException, MilvusUnavailableException, ParamError

from simcse_kit import SearchIndexError
from simcse_kit.errors import MissingExtraError
from simcse_kit.search import IndexRow, new_collection, open_collection
from simcse_kit.search.milvus import MilvusCollection, remote, schema
from support.stores import Store, milvus_uri


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)


def filled(store: Store, count: int = 20, **options: Any) -> MilvusCollection:
    made = store.new(6, **options)
    assert isinstance(made, MilvusCollection)
    made.add([f"text {i}" for i in range(count)], vectors(count), metadata=[{"n": i} for i in range(count)])
    return made


def content(collection: Any) -> list[tuple[Any, ...]]:
    return [(*row, *vector.tolist()) for row, vector in collection.rows()]


class Flaky:
    """A client whose calls raise the error that ``fails`` returns for the method and its call number, from 1."""

    def __init__(self, client: Any, fails: Callable[[str, int], Exception | None], *, after: bool = False) -> None:
        self.client, self.fails, self.after = client, fails, after
        self.calls: dict[str, int] = {}
        self.sent: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)
        if name in ("create_schema", "prepare_index_params"):  # these ask no server
            return method

        def call(**arguments: Any) -> Any:
            self.calls[name] = self.calls.get(name, 0) + 1
            error = self.fails(name, self.calls[name])
            if error is not None and not self.after:
                raise error
            answer = method(**arguments)
            if name == "upsert":
                self.sent += [record["id"] for record in arguments["data"]]
            if error is not None:
                raise error
            return answer

        return call


@pytest.fixture
def flaky(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Flaky]:
    monkeypatch.setattr(remote, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(remote, "BATCH_ROWS", 7)

    def put(collection: MilvusCollection, fails: Callable[[str, int], Exception | None], **options: Any) -> Flaky:
        connection = collection._connected()
        made = Flaky(connection.client, fails, **options)
        monkeypatch.setattr(connection, "client", made)
        return made

    return put


@pytest.mark.parametrize("after", [False, True], ids=["before it", "its answer is lost"])
@pytest.mark.parametrize(
    "error", [MilvusUnavailableException(message="gone"), ConnectionError("gone"), MilvusException(8, "rate limit")]
)
def test_what_may_pass_is_tried_again(after: bool, error: Exception, store: Store, flaky: Callable[..., Flaky]) -> None:
    """Every call fails twice of three times; sending a row twice changes nothing."""
    collection = filled(store)
    flaky(collection, lambda name, call: error if call % 3 and name != "create_collection" else None, after=after)
    place = collection.save(store.place())
    collection.update(["new"], vectors(1, 9), [3])
    collection.delete([4, 5])
    collection.save()
    expected = filled(store)
    expected.update(["new"], vectors(1, 9), [3])
    expected.delete([4, 5])
    assert content(store.open(place)) == content(expected)
    store.open(place).verify()


def test_what_will_not_pass_is_not_tried_again(store: Store, flaky: Callable[..., Flaky]) -> None:
    collection = filled(store)
    client = flaky(collection, lambda name, _: ParamError(message="no such thing") if name == "upsert" else None)
    with pytest.raises(SearchIndexError, match="upsert: no such thing"):
        collection.save(store.place())
    assert client.calls["upsert"] == 1


def test_a_save_that_failed_goes_on(store: Store, flaky: Callable[..., Flaky], monkeypatch: pytest.MonkeyPatch) -> None:
    """From the batch that was not confirmed; meanwhile memory may change, and is searched as it is."""
    collection = filled(store)
    down = [True]

    def fails(name: str, call: int) -> Exception | None:
        return MilvusUnavailableException(message="gone") if name == "upsert" and call > 2 and down[0] else None

    client = flaky(collection, fails)
    place = store.place()
    with pytest.raises(SearchIndexError, match=r"tried 6 times\. Unsaved changes are still in memory: save again"):
        collection.save(place)
    assert client.sent == list(range(14))
    monkeypatch.setattr(remote, "ATTEMPTS", 1)
    with pytest.raises(SearchIndexError):
        collection.save()
    expected = filled(store)
    for one in (collection, expected):
        one.delete([2, 15])
        one.update(["new"], vectors(1, 9), [3])
        one.add(["more"], vectors(1, 10))
        assert len(one) == 19
    query = vectors(1, 5)
    assert collection.search(query, 30) == expected.search(query, 30)
    assert content(collection) == content(expected)
    assert collection.get([3])[0].text == "new"
    with pytest.raises(SearchIndexError, match="this index has no id 2"):
        collection.get([2])
    down[0] = False
    collection.save()
    assert client.sent == [*range(14), 14, *range(16, 20), 3, 20]  # 15 was deleted before it was sent
    assert content(store.open(place)) == content(collection) == content(expected)
    collection.verify()


def test_a_writer_that_died_is_noticed(store: Store, flaky: Callable[..., Flaky]) -> None:
    collection = filled(store)
    place = collection.save(store.place())
    collection.add([f"more {i}" for i in range(14)], vectors(14, 1))
    flaky(collection, lambda name, call: ParamError(message="dead") if name == "upsert" and call > 1 else None)
    with pytest.raises(SearchIndexError, match="dead"):
        collection.save()
    del collection
    with pytest.warns(match="has started and not finished: part of it is stored"):
        again = store.open(place)
    assert len(again) == 27
    with pytest.raises(SearchIndexError, match="has not finished"):
        again.verify()
    again.add(["after"], vectors(1, 2))  # with a new id, although the dead writer's ids are unknown
    again.save()
    again.verify()
    assert [row.id for row, _ in again.rows()] == [*range(27), 34]


def test_batches_have_few_rows_and_few_bytes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "BATCH_BYTES", 3000)
    collection = store.new(6)
    assert isinstance(collection, MilvusCollection)
    client = Flaky(collection._connected().client, lambda *_: None)
    monkeypatch.setattr(collection._connected(), "client", client)
    collection.add(["x" * 5000, *["y" * 100] * 12], vectors(13))
    place = collection.save(store.place())
    assert 3 <= client.calls["upsert"] <= 7
    assert content(store.open(place)) == content(collection)


def test_others_collections_are_left_alone(store: Store) -> None:
    client = MilvusClient(milvus_uri())
    place = store.place("theirs")
    client.create_collection(str(place), dimension=6)
    client.insert(str(place), [{"id": 1, "vector": [0.0] * 6}])
    with pytest.raises(SearchIndexError, match="already holds an index or other data"):
        filled(store).save(place)
    with pytest.raises(SearchIndexError, match="is not an index of simcse_kit"):
        store.open(place)
    assert client.query(str(place), output_fields=["count(*)"])[0]["count(*)"] == 1
    ours = filled(store).save(store.place())
    with pytest.raises(SearchIndexError, match="already holds an index"):
        filled(store).save(ours)
    address = re.escape(f"milvus:{milvus_uri()}/nope")
    with pytest.raises(
        SearchIndexError, match=f"does not exist; make one with: simcse-kit index build MODEL FILE {address}$"
    ):
        MilvusCollection.open("nope", uri=milvus_uri())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ('"format_version": 99', "written by a newer simcse_kit .format 99"),
        ('"format_version": 0', "written by an older simcse_kit"),
        ('"format_version": "x"', "is damaged"),
        ('"format_version": 1, "x', "is damaged"),
    ],
)
def test_other_formats_are_refused(change: str, text: str, store: Store) -> None:
    place = filled(store).save(store.place())
    client = MilvusClient(milvus_uri())
    noted = client.describe_collection(str(place))["properties"][schema.PROPERTY]
    changed = {schema.PROPERTY: noted.replace('"format_version": 1', change)}
    client.alter_collection_properties(str(place), changed)
    with pytest.raises(SearchIndexError, match=text):
        store.open(place)


def test_rows_that_somebody_changed_are_found(store: Store) -> None:
    collection = filled(store)
    place = collection.save(store.place())
    collection.verify()
    client = MilvusClient(milvus_uri())
    record = client.query(str(place), filter="id == 7", output_fields=["*"])[0]
    client.upsert(str(place), [record | {"text": "else"}])
    with pytest.raises(SearchIndexError, match="damaged: row 7 has changed since it was written"):
        collection.verify()
    row = IndexRow(99, record["text"], record["metadata"])
    client.upsert(str(place), [record, schema.record_of(row, 7, record["vector"])])
    with pytest.raises(SearchIndexError, match="two rows have the same number"):
        collection.verify()
    client.upsert(str(place), [schema.record_of(row, 900, record["vector"])])
    with pytest.raises(SearchIndexError, match="21 rows, 20 of them"):
        collection.verify()


def test_what_milvus_cannot_hold_is_named(store: Store) -> None:
    collection = store.new(6)
    with pytest.raises(SearchIndexError, match=r"text number 1 has 65,536 bytes, Milvus allows 65,535; .*--passages"):
        collection.add(["a", "é" * 32_768], vectors(2))
    with pytest.raises(SearchIndexError, match="the id of text number 0 has 70,000 bytes"):
        collection.add(["a"], vectors(1), ["i" * 70_000])
    with pytest.raises(SearchIndexError, match="metadata number 0: Milvus has no integers of more than 64 bits"):
        collection.add(["a"], vectors(1), metadata=[{"n": {"m": 2**70}}])
    with pytest.raises(SearchIndexError, match=r"metadata number 0 has .* bytes as JSON"):
        collection.add(["a"], vectors(1), metadata=[{"n": "x" * 70_000}])
    with pytest.raises(SearchIndexError, match="metadata number 0 needs 6,000 filter terms"):
        collection.add(["a"], vectors(1), metadata=[{str(i): 0 for i in range(2000)}])
    assert len(collection) == 0
    largest = "é" * 32_767
    collection.add([largest], vectors(1), ["x" * 60_000], metadata=[{"n": "y" * 60_000}])
    collection.save(store.place())
    assert [(row.text, len(str(row.id))) for row, _ in collection.rows()] == [(largest, 60_000)]


def test_strange_rows_come_back_equal(store: Store) -> None:
    metadata: list[dict[str, Any] | None] = [
        {"a": 2**63 - 1, "b": -(2**63), "c": 1.0, "d": 1e22, "e": 0.1, "f": 5e-324, "g": -0.0, "h": 2**64 - 1},
        {"ü\u2028": '\n"\\\x01', "": {"x": [1, None, {"y": True}]}, "list": [], "z": {}},
        None,
        {},
    ]
    strange = ["i\n\"'\\ü\x00", "", " ", "0"]
    collection = store.new(6)
    collection.add(["\x00\u2028", "", "\n", "'\""], vectors(4), strange, metadata)
    place = collection.save(store.place())
    again = store.open(place)
    assert [row.metadata for row in again.get(strange)] == metadata
    assert [row for row, _ in again.rows()] == [row for row, _ in collection.rows()]
    assert [type(again.get(strange[:1])[0].metadata[k]) for k in "acg"] == [int, float, float]  # type: ignore[index]
    again.update(["t"], vectors(1), [strange[0]], [None])
    again.delete([strange[1]])
    again.save()
    again.verify()
    assert [(row.id, row.metadata) for row, _ in store.open(place).rows()] == [
        (" ", None),
        ("0", {}),
        (strange[0], None),
    ]


def test_the_zero_vector_is_like_nothing(store: Store) -> None:
    collection = store.new(6)
    collection.add(["zero", "one"], np.array([[0.0] * 6, [1.0] + [0.0] * 5]))
    collection.save(store.place())
    assert [(hit.text, hit.score) for hit in collection.search(np.eye(6)[:1], 2)[0]] == [("one", 1.0), ("zero", 0.0)]


@pytest.mark.parametrize("kind", ["auto", "flat", "hnsw", "ivf", "int8"])
def test_kinds_find_the_nearest_with_exact_scores(kind: str, store: Store) -> None:
    """In the segments that a flush writes, each with its own index; and the recall is measured and kept."""
    draw = np.random.default_rng(0)
    given = draw.normal(size=(3000, 16)).astype(np.float32)
    collection = store.new(16, kind, target_recall=0.9)
    collection.add([f"t{i}" for i in range(3000)], given)
    place = collection.save(store.place())
    collection.compact()
    again = store.open(place)
    structure = again.info().structure
    if kind in ("auto", "flat"):
        assert structure is None
    else:
        assert structure is not None
        assert structure.recall >= 0.9
        assert (structure.kind, structure.rows, structure.queries) == (kind, 3000, 200)
    queries = draw.normal(size=(50, 16)).astype(np.float32)
    cosine = (queries / np.linalg.norm(queries, axis=1, keepdims=True)) @ (
        given / np.linalg.norm(given, axis=1, keepdims=True)
    ).T
    best = np.sort(cosine, axis=1)[:, ::-1][:, :10]
    found = 0
    for row, hits, wanted in zip(cosine, again.search(queries, 10), best, strict=True):
        np.testing.assert_allclose([hit.score for hit in hits], [row[hit.id] for hit in hits], atol=1e-5)  # type: ignore[call-overload]
        found += sum(hit.score >= wanted[-1] - 1e-6 for hit in hits)
    assert found / 500 >= 0.85


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("binary", "one of auto, flat, hnsw, ivf, int8, pq, rabitq .*; got 'binary'"),
        ("IVF64,PQ8", "one of auto, flat"),
        ("pq", "Milvus Lite does not support kind pq, only a Milvus server does; use auto, flat, hnsw, ivf, int8"),
        ("rabitq", "Milvus Lite does not support kind rabitq"),
    ],
)
def test_kinds_that_are_not_there(kind: str, text: str) -> None:
    with pytest.raises(SearchIndexError, match=text):
        MilvusCollection(6, kind, uri="x.db")


def test_places_that_are_refused(store: Store) -> None:
    with pytest.raises(SearchIndexError, match="no collection yet; name one"):
        filled(store).save()
    with pytest.raises(SearchIndexError, match=r"letters, digits and underscores .*; got 'my-index'"):
        filled(store).save("my-index")
    with pytest.raises(SearchIndexError, match=r"needs a uri: --uri FILE\.db or --uri http"):
        open_collection("i", store="milvus")
    with pytest.raises(SearchIndexError, match="--store milvus"):
        open_collection("i", uri="x.db")
    with pytest.raises(SearchIndexError, match="store must be one of folder, milvus; got 'redis'"):
        new_collection(6, store="redis")
    with pytest.raises(SearchIndexError, match=r"a file named \*.db or http"):
        open_collection("i", store="milvus", uri="file.sqlite")
    with pytest.raises(SearchIndexError, match="the folder /nowhere does not exist"):
        open_collection("i", store="milvus", uri="/nowhere/x.db")


def test_a_file_that_is_not_there_is_not_made(store: Store) -> None:
    with pytest.raises(SearchIndexError, match="does not exist"):
        open_collection("i", store="milvus", uri=str(store.folder / "x.db"))
    assert not (store.folder / "x.db").exists()


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "CONNECT", 0.5)
    with pytest.raises(SearchIndexError, match=r"cannot open Milvus at http://127\.0\.0\.1:9"):
        open_collection("i", store="milvus", uri="http://127.0.0.1:9")


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if "milvus" in name else real(name))
    with pytest.raises(MissingExtraError, match=r"an index in Milvus needs: pip install 'simcse-kit\[milvus\]'"):
        MilvusCollection.open("i", uri="x.db")
