"""`Collection` and its folder: exact cosine search, and commits that never harm the one before them."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcse_kit import SearchIndexError
from simcse_kit.files import DiskFullError
from simcse_kit.search import Collection, Hit, segments, store


def vectors(count: int, seed: int = 0, dimension: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)


def texts(collection: Collection) -> list[str]:
    return [row.text for row, _ in collection.rows()]


def filled(count: int = 20, seed: int = 0) -> Collection:
    collection = Collection(6)
    collection.add([f"text {i}" for i in range(count)], vectors(count, seed))
    return collection


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(0, 40),
    k=st.integers(1, 50),
    seed=st.integers(0, 99),
    threshold=st.sampled_from([None, -0.5, 0.3]),
)
def test_search_is_brute_force_cosine(count: int, k: int, seed: int, threshold: float | None) -> None:
    collection = filled(count, seed)
    queries = vectors(3, seed + 1000)
    cosine = np.array(
        [[q @ v / (np.linalg.norm(q) * np.linalg.norm(v)) for v in vectors(count, seed)] for q in queries]
    ).reshape(3, count)
    for row, hits in zip(cosine, collection.search(queries, k, threshold), strict=True):
        best = [i for i in np.argsort(-row, kind="stable")[:k] if threshold is None or row[i] >= threshold]
        assert [hit.id for hit in hits] == best
        assert [hit.text for hit in hits] == [f"text {i}" for i in best]
        np.testing.assert_allclose([hit.score for hit in hits], row[best], atol=1e-5)


def test_queries_are_left_as_they_are_and_hits_are_plain_values() -> None:
    queries = vectors(2, 5)
    before = queries.copy()
    hit = filled().search(queries, 1)[0][0]
    np.testing.assert_array_equal(queries, before)
    assert (type(hit.id), type(hit.text), type(hit.score)) == (int, str, float)
    assert isinstance(hit, Hit)


def test_adding_in_parts_is_adding_at_once() -> None:
    parts = Collection(6)
    parts.add([f"text {i}" for i in range(8)], vectors(20)[:8])
    parts.add([], vectors(0))
    parts.add([f"text {i}" for i in range(8, 20)], vectors(20)[8:])
    assert parts.search(vectors(3, 9), 20) == filled().search(vectors(3, 9), 20)
    assert [row.id for row, _ in parts.rows()] == list(range(20))


def test_equal_texts_and_vectors_are_kept_apart() -> None:
    collection = Collection(2)
    collection.add(["same", "same"], np.ones((2, 2), np.float32))
    assert {(hit.id, hit.text) for hit in collection.search(np.ones((1, 2)), 5)[0]} == {(0, "same"), (1, "same")}


@pytest.mark.parametrize("ids", [["b", "a"], [7, -3], np.array([5, 2**40])])
def test_ids_of_the_users(ids: Any, tmp_path: Path) -> None:
    collection = Collection(2)
    collection.add(["x", "y"], np.eye(2, dtype=np.float32), ids)
    collection.save(tmp_path / "i")
    for one in (collection, Collection.open(tmp_path / "i")):
        assert [hit.id for hit in one.search(np.array([[1.0, 0.1]]), 2)[0]] == list(ids)
    if not isinstance(ids[0], str):
        collection.add(["z"], np.ones((1, 2), np.float32))
        assert [row.id for row, _ in collection.rows()][-1] == max(ids) + 1


@pytest.mark.parametrize(
    ("first", "ids", "text"),
    [
        (None, [0], "id 0 is taken"),
        (None, ["a"], "all integers or all strings"),
        (["x", "y"], None, "name the ids"),
        (["x", "y"], ["y"], "id 'y' is taken"),
        (None, [1.5], "an integer or a string; got 1.5"),
        (None, [True], "an integer or a string; got True"),
        (None, [5, 6], "1 texts need 1 ids; got 2"),
    ],
)
def test_ids_that_are_refused_change_nothing(first: Any, ids: Any, text: str) -> None:
    collection = Collection(2)
    collection.add(["x", "y"], np.eye(2, dtype=np.float32), first)
    with pytest.raises(SearchIndexError, match=text):
        collection.add(["z"], np.ones((1, 2), np.float32), ids)
    assert len(collection) == 2
    assert len(collection.search(np.ones((1, 2)), 9)[0]) == 2


def test_ids_repeated_within_one_call() -> None:
    with pytest.raises(SearchIndexError, match="id 4 is taken"):
        Collection(2).add(["x", "y"], np.eye(2, dtype=np.float32), [4, 4])
    with pytest.raises(SearchIndexError, match="all integers or all strings"):
        Collection(2).add(["x", "y"], np.eye(2, dtype=np.float32), [4, "4"])


def test_wrong_shapes_and_values() -> None:
    with pytest.raises(SearchIndexError, match=r"2 texts need vectors of \(2, 6\); got \(1, 6\)"):
        Collection(6).add(["a", "b"], vectors(1))
    with pytest.raises(SearchIndexError, match="text number 1 is not finite"):
        Collection(6).add(["a", "b"], vectors(2) * np.array([[1], [np.nan]]))
    with pytest.raises(SearchIndexError, match="6 dimensions; the query has 5"):
        filled().search(vectors(1)[:, :5])
    with pytest.raises(SearchIndexError, match="k must be at least 1"):
        filled().search(vectors(1), 0)


def test_an_empty_index(tmp_path: Path) -> None:
    collection = Collection(6)
    assert collection.search(vectors(2)) == [[], []]
    collection.save(tmp_path / "i")
    again = Collection.open(tmp_path / "i")
    assert len(again) == 0
    again.add(["a"], vectors(1), ["x"])
    again.save()
    assert [row.id for row, _ in Collection.open(tmp_path / "i").rows()] == ["x"]


# On disk


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_saving_then_opening_changes_nothing(tmp_path: Path) -> None:
    collection = filled()
    strange = "zwei\nZeilen, 안녕 \t \u2028 end\x00"
    metadata = {"a b": [1, 2.5, None, {"ü": True}], "": "x"}
    collection.add([strange], vectors(1, 9), metadata=[metadata])
    collection.model = {"name": "m", "fingerprint": "f"}
    assert collection.save(tmp_path / "deep" / "i") == tmp_path / "deep" / "i"
    again = Collection.open(tmp_path / "deep" / "i")
    assert again.get([20])[0] == (20, strange, metadata)
    assert [row for row, _ in again.rows()] == [row for row, _ in collection.rows()]
    assert (again.model, len(again)) == (collection.model, 21)
    assert again.search(vectors(4, 3), 7) == collection.search(vectors(4, 3), 7)


def test_memory_is_not_the_disk_until_save(tmp_path: Path) -> None:
    collection = filled()
    collection.save(tmp_path / "i")
    collection.add(["new"], vectors(1, 7))
    assert len(Collection.open(tmp_path / "i")) == 20
    collection.save()
    assert len(Collection.open(tmp_path / "i")) == 21


FAILURES = [("replace", "os", 1), ("write_json", "store", 1)]  # what fails, where, and at which call of a commit
FAILURES += [("seal", "segments", 1), ("file_checksum", "segments", 1)]
FAILURES += [("sync", "store", nth) for nth in (1, 2, 3, 4)]


@pytest.mark.parametrize(("name", "where", "nth"), FAILURES)
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), RuntimeError("no")], ids=repr)
def test_a_commit_that_fails_leaves_the_last_one(
    name: str, where: str, nth: int, failure: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = filled()
    collection.save(tmp_path / "i")
    before = snapshot(tmp_path / "i")
    collection.add(["new"], vectors(1, 7))
    target: Any = {"os": os, "store": store, "segments": segments}[where]
    real: Callable[..., Any] = getattr(target, name)
    calls = 0

    def failing(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth:
            raise failure
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(target, name, failing)
        with pytest.raises(DiskFullError if isinstance(failure, OSError) else type(failure)):
            collection.save()
    assert calls >= nth
    assert snapshot(tmp_path / "i") == before
    assert len(Collection.open(tmp_path / "i")) == 20
    collection.save()  # what was added is still in memory
    assert texts(Collection.open(tmp_path / "i"))[-1] == "new"


def test_a_failure_after_the_rename_does_not_undo_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the rename on the new manifest is there, so its files must be too."""
    collection = filled()
    collection.save(tmp_path / "i")
    collection.add(["new"], vectors(1, 7))
    replaced = False
    real_replace, real_sync = os.replace, store.sync

    def replace(*arguments: Any) -> None:
        nonlocal replaced
        real_replace(*arguments)
        replaced = True

    def sync(path: Path) -> None:
        if replaced:
            raise OSError(errno.EIO, "broken disk")
        real_sync(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        patch.setattr(store, "sync", sync)
        with pytest.raises(OSError, match="broken disk"):
            collection.save()
    assert len(Collection.open(tmp_path / "i")) == 21


def test_leftovers_of_a_killed_commit_are_cleared(tmp_path: Path) -> None:
    filled().save(tmp_path / "i")
    (tmp_path / "i" / "vectors-000002.f32").write_bytes(b"half")
    (tmp_path / "i" / "rows-000007.sqlite").write_bytes(b"half")
    (tmp_path / "i" / "structure-000002.faiss").write_bytes(b"half")
    (tmp_path / "i" / "manifest.json.new").write_bytes(b"{")
    again = Collection.open(tmp_path / "i")
    again.add(["new"], vectors(1, 7))
    again.save()
    assert len(Collection.open(tmp_path / "i")) == 21
    assert sorted(path.name for path in (tmp_path / "i").iterdir()) == [
        "manifest.json",
        "rows-000001.sqlite",
        "rows-000002.sqlite",
        "vectors-000001.f32",
        "vectors-000002.f32",
    ]


def test_two_writers(tmp_path: Path) -> None:
    """The second one to save would drop what the first one added: it is refused, and told."""
    filled().save(tmp_path / "i")
    one, two = Collection.open(tmp_path / "i"), Collection.open(tmp_path / "i")
    one.add(["one"], vectors(1, 1))
    two.add(["two"], vectors(1, 2))
    one.save()
    with pytest.raises(SearchIndexError, match="changed by somebody else since it was opened"):
        two.save()
    assert texts(Collection.open(tmp_path / "i"))[-1] == "one"


def test_two_writers_at_once(tmp_path: Path) -> None:
    """Whoever comes second waits, and is then refused: nobody's commit is lost without a word."""
    filled().save(tmp_path / "i")
    writers = [Collection.open(tmp_path / "i") for _ in range(4)]
    said: list[str] = []

    def save(writer: Collection, name: str) -> None:
        writer.add([name] * 2000, vectors(2000))
        try:
            writer.save()
            said.append(name)
        except SearchIndexError as error:
            assert "changed by somebody else" in str(error)  # noqa: PT017

    threads = [threading.Thread(target=save, args=(w, f"writer {i}")) for i, w in enumerate(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 1
    assert texts(Collection.open(tmp_path / "i"))[20:] == said * 2000


def test_a_reader_is_not_disturbed_by_a_writer(tmp_path: Path) -> None:
    filled().save(tmp_path / "i")
    reader, writer = Collection.open(tmp_path / "i"), Collection.open(tmp_path / "i")
    expected = reader.search(vectors(2, 4), 5)
    writer.add(["new"], vectors(1, 7))
    writer.save()
    assert reader.search(vectors(2, 4), 5) == expected


def test_places_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SearchIndexError, match="no folder yet"):
        filled().save()
    filled().save(tmp_path / "i")
    with pytest.raises(SearchIndexError, match="already holds an index"):
        filled().save(tmp_path / "i")
    (tmp_path / "file").write_text("")
    with pytest.raises(SearchIndexError, match="is a file"):
        filled().save(tmp_path / "file")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("")
    with pytest.raises(SearchIndexError, match="not empty and not an index"):
        filled().save(tmp_path / "photos")
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.jpg"]
    with pytest.raises(SearchIndexError, match="does not exist; make one with: simcse-kit index build"):
        Collection.open(tmp_path / "nowhere")
    with pytest.raises(SearchIndexError, match="is not an index folder"):
        Collection.open(tmp_path / "photos")
    with pytest.raises(SearchIndexError, match="file"):
        Collection.open(tmp_path / "file")


def test_saving_elsewhere_is_a_copy(tmp_path: Path) -> None:
    collection = filled()
    collection.save(tmp_path / "a")
    collection.save(tmp_path / "b")
    collection.add(["new"], vectors(1, 7))
    collection.save()
    assert (len(Collection.open(tmp_path / "a")), len(Collection.open(tmp_path / "b"))) == (20, 21)


@pytest.mark.parametrize("file", ["vectors-000001.f32", "rows-000001.sqlite"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "empty"])
def test_a_damaged_file_is_named(file: str, damage: str, tmp_path: Path) -> None:
    """At opening, or, where the flipped byte is of a vector, when it is read."""
    filled().save(tmp_path / "i")
    path = tmp_path / "i" / file
    raw = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    else:
        raw[len(raw) // 2] ^= 1
        path.write_bytes({"flip": bytes(raw), "cut": bytes(raw[:-9]), "empty": b""}[damage])
    with pytest.raises(SearchIndexError, match=rf"{file} is (missing|damaged)"):
        Collection.open(tmp_path / "i").search(vectors(1))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"format_version": 99}, "written by a newer simcse_kit .format 99"),
        ({"format": "else"}, "is not the manifest of an index"),
        ({"count": 3}, "the manifest counts 3 sentences"),
        ({"segments": []}, "the manifest counts 20 sentences"),
        ({"segments": 3}, "manifest.json is damaged"),
        ({"segments": [{}]}, "manifest.json is damaged"),
        ({"dimension": 7}, "manifest"),
        ({"format_version": 1}, "written by an older simcse_kit"),
        ({"generation": None}, "manifest.json is damaged"),
        ({"id_type": "int", "format_version": "x"}, "manifest.json is damaged"),
        (None, "manifest.json is not JSON"),
    ],
)
def test_a_damaged_manifest_is_named(change: dict[str, Any] | None, text: str, tmp_path: Path) -> None:
    filled().save(tmp_path / "i")
    path = tmp_path / "i" / "manifest.json"
    values = json.loads(path.read_text())
    changed = values | (change or {})
    path.write_text(json.dumps(changed | {"checksum": store._own_checksum(changed)}))
    if change is None:
        path.write_text(path.read_text()[:-20])
    with pytest.raises(SearchIndexError, match=text):
        Collection.open(tmp_path / "i")


def test_a_manifest_that_was_changed_by_hand_is_refused(tmp_path: Path) -> None:
    filled().save(tmp_path / "i")
    path = tmp_path / "i" / "manifest.json"
    path.write_text(path.read_text().replace('"count": 20', '"count": 21'))
    with pytest.raises(SearchIndexError, match=r"manifest\.json is damaged: its content"):
        Collection.open(tmp_path / "i")


def test_a_manifest_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    filled().save(tmp_path / "i")
    path = tmp_path / "i" / "manifest.json"
    (tmp_path / "i" / "vectors-000001.f32").rename(tmp_path / "outside.f32")
    values = json.loads(path.read_text().replace("vectors-000001.f32", "../outside.f32"))
    path.write_text(json.dumps(values | {"checksum": store._own_checksum(values)}))
    with pytest.raises(SearchIndexError, match="manifest"):
        Collection.open(tmp_path / "i")
