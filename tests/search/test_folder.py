"""Index folders: commits never harm the previous one, and damage is reported."""

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

from simcse_kit import SearchIndexError
from simcse_kit.files import DiskFullError
from simcse_kit.search import Collection, segments, store


def vectors(count: int, seed: int = 0, dimension: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)


def texts(collection: Collection) -> list[str]:
    return [row.text for row, _ in collection.rows()]


def filled(count: int = 20, seed: int = 0) -> Collection:
    collection = Collection(6)
    collection.add([f"text {i}" for i in range(count)], vectors(count, seed))
    return collection


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


FAILURES = [("replace", "os", 1)]  # what fails, where, and at which call of a commit
FAILURES += [("sealed", "segments", nth) for nth in (1, 2)]
FAILURES += [("fsync", "os", nth) for nth in (1, 2, 3, 4)]  # vectors, rows, manifest, folder


@pytest.mark.parametrize(("name", "where", "nth"), FAILURES)
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), RuntimeError("no")], ids=repr)
def test_a_commit_that_fails_leaves_the_last_one(
    name: str, where: str, nth: int, failure: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = filled()
    collection.save(tmp_path / "i")
    before = snapshot(tmp_path / "i")
    collection.add(["new"], vectors(1, 7))
    target: Any = {"os": os, "segments": segments}[where]
    real: Callable[..., Any] = getattr(target, name)
    calls = 0

    def failing(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth:
            raise failure
        return real(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(target, name, failing)
        with pytest.raises(DiskFullError if isinstance(failure, OSError) else type(failure)):
            collection.save()
    assert calls >= nth
    assert snapshot(tmp_path / "i") == before
    assert len(Collection.open(tmp_path / "i")) == 20
    collection.save()  # the added rows are still in memory
    assert texts(Collection.open(tmp_path / "i"))[-1] == "new"


@pytest.mark.parametrize("change", ["add", "delete", "compact"])
def test_what_a_copy_commits_takes_the_place_of_none_of_its_files(change: str, tmp_path: Path) -> None:
    """The copy holds files of several commits, whose numbers its own commits must not use again."""
    collection = filled(40)
    collection.save(tmp_path / "i")
    collection.add(["more"], vectors(1, 7))
    collection.save()
    before = snapshot(tmp_path / "i")
    collection.save(tmp_path / "copy")
    expected = texts(collection)
    for number in range(4):
        if change == "add":
            collection.add([f"new {number}"], vectors(1, 20 + number))
            expected.append(f"new {number}")
        else:
            collection.delete([number])
            expected.remove(f"text {number}")
        collection.compact() if change == "compact" else collection.save()
        again = Collection.open(tmp_path / "copy")
        again.verify()
        assert texts(again) == texts(collection) == expected
    assert snapshot(tmp_path / "i") == before


def test_a_failure_after_the_rename_does_not_undo_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the rename on the new manifest is there, so its files must be too."""
    collection = filled()
    collection.save(tmp_path / "i")
    collection.add(["new"], vectors(1, 7))
    replaced = False
    real_replace, real_sync = os.replace, os.fsync

    def replace(*arguments: Any, **named: Any) -> None:
        nonlocal replaced
        real_replace(*arguments, **named)
        replaced = True

    def sync(descriptor: int) -> None:
        if replaced:
            raise OSError(errno.EIO, "broken disk")
        real_sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        patch.setattr(os, "fsync", sync)
        with pytest.raises(OSError, match="broken disk"):
            collection.save()
    assert len(Collection.open(tmp_path / "i")) == 21


def test_two_writers_at_once(tmp_path: Path) -> None:
    """The second writer waits, and then gets an error: no commit is lost silently."""
    filled().save(tmp_path / "i")
    writers = [Collection.open(tmp_path / "i") for _ in range(4)]
    said: list[str] = []

    def save(writer: Collection, name: str) -> None:
        writer.add([name] * 2000, vectors(2000))
        try:
            writer.save()
            said.append(name)
        except SearchIndexError as error:
            assert "another process changed" in str(error)  # noqa: PT017

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
    with pytest.raises(SearchIndexError, match="not empty and holds no index"):
        filled().save(tmp_path / "photos")
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.jpg"]
    with pytest.raises(SearchIndexError, match="does not exist; make one with: simcse-kit index build"):
        Collection.open(tmp_path / "nowhere")
    with pytest.raises(SearchIndexError, match="is not an index folder"):
        Collection.open(tmp_path / "photos")
    with pytest.raises(SearchIndexError, match="file"):
        Collection.open(tmp_path / "file")


@pytest.mark.parametrize("file", ["vectors", "rows"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "empty"])
def test_a_damaged_file_is_named(file: str, damage: str, tmp_path: Path) -> None:
    """At opening, or, where the flipped byte is of a vector, when it is read."""
    filled().save(tmp_path / "i")
    (path,) = (tmp_path / "i").glob(f"{file}-*")
    raw = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    else:
        raw[len(raw) // 2] ^= 1
        path.write_bytes({"flip": bytes(raw), "cut": bytes(raw[:-9]), "empty": b""}[damage])
    with pytest.raises(SearchIndexError, match=rf"{path.name} is (missing|damaged)"):
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
        (None, "manifest.json is not valid JSON"),
    ],
)
def test_a_damaged_manifest_is_named(change: dict[str, Any] | None, text: str, tmp_path: Path) -> None:
    filled().save(tmp_path / "i")
    path = tmp_path / "i" / "manifest.json"
    values = json.loads(path.read_text())
    changed = values | (change or {})
    path.write_text(json.dumps(changed | {"checksum": store.own_checksum(changed)}))
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
    (vectors_file,) = (tmp_path / "i").glob("vectors-*")
    vectors_file.rename(tmp_path / "outside.f32")
    values = json.loads(path.read_text().replace(vectors_file.name, "../outside.f32"))
    path.write_text(json.dumps(values | {"checksum": store.own_checksum(values)}))
    with pytest.raises(SearchIndexError, match="manifest"):
        Collection.open(tmp_path / "i")
