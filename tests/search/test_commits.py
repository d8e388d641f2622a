"""Commits to a folder: what they write, what they leave, and that they replace only the opened commit, by its id."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simcse_kit import IndexChangedError, SearchIndexError
from simcse_kit.search import Collection, collection
from simcse_kit.search.store import own_checksum


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)


def filled(count: int, seed: int = 0) -> Collection:
    made = Collection(6)
    made.add([f"text {i}" for i in range(count)], vectors(count, seed))
    return made


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def as_0_1_0(folder: Path) -> None:
    """Give an index's files the names, and its manifest the keys, that version 0.1.0 wrote."""
    path = folder / "manifest.json"
    values = json.loads(path.read_text())
    text = json.dumps({key: value for key, value in values.items() if key not in ("commit", "identity")})
    for file in folder.glob("*-*-*"):
        stem, generation, _ = file.name.split("-")
        old = f"{stem}-{generation}{file.suffix}"
        text = text.replace(file.name, old)
        file.rename(folder / old)
    path.write_text(json.dumps(json.loads(text) | {"checksum": own_checksum(json.loads(text))}))


def test_a_commit_writes_what_was_added(tmp_path: Path) -> None:
    """Adding one row to an index of 3,000 writes less than a hundredth of it, and its other files stay."""
    filled(3000).save(tmp_path / "i")
    before = {path.name: path.stat() for path in (tmp_path / "i").iterdir()}
    again = Collection.open(tmp_path / "i")
    again.add(["new"], vectors(1, 5))
    again.delete([17])
    again.save()
    after = {path.name: path.stat() for path in (tmp_path / "i").iterdir()}
    new = [name for name in after if name not in before]
    assert before.keys() - after.keys() == set()
    assert all(after[name].st_ino == before[name].st_ino for name in before if name != "manifest.json")
    assert sum(after[name].st_size for name in new if name.startswith("vectors")) < 100
    assert len(Collection.open(tmp_path / "i")) == 3000


def test_many_small_commits_are_few_files(tmp_path: Path) -> None:
    made = filled(4)
    made.save(tmp_path / "i")
    for i in range(100):
        made.add([f"one {i}"], vectors(1, i))
        made.save()
    assert made.info().segments <= 9  # about the logarithm
    assert len(Collection.open(tmp_path / "i")) == 104
    for i in range(50):
        made.delete([i])
        made.save()
    assert made.info().segments <= 12
    assert [row.id for row, _ in Collection.open(tmp_path / "i").rows()] == list(range(50, 104))
    files = 1 + sum(1 for _ in made._content.files())
    assert len(list((tmp_path / "i").iterdir())) == files


def test_a_copy_goes_on_like_any_index(tmp_path: Path) -> None:
    """Its files have other names than those of its later commits."""
    made = filled(3000)
    made.save(tmp_path / "i")
    for i in range(3):
        made.add([f"one {i}"], vectors(1, i))
        made.save()
    made.save(tmp_path / "copy")
    copy = Collection.open(tmp_path / "copy")
    for i in range(6):
        copy.add([f"other {i}"], vectors(1, i))
        copy.save()
    copy.verify()
    assert len(Collection.open(tmp_path / "copy")) == 3009
    assert len(Collection.open(tmp_path / "i")) == 3003


# Rows of the structure


def rebuild(folder: Path) -> None:
    shutil.rmtree(folder)
    filled(7, seed=3).save(folder)


def restore(folder: Path) -> None:
    """A backup of the first commit, and one commit after it: as many commits as the writer has seen."""
    shutil.rmtree(folder)
    shutil.copytree(folder.with_name("backup"), folder)
    other = Collection.open(folder)
    other.delete([0])
    other.save()


def commit(folder: Path) -> None:
    other = Collection.open(folder)
    other.delete([0])
    other.save()


def take_away(folder: Path) -> None:
    shutil.rmtree(folder)


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


CHANGES = [rebuild, restore, commit, take_away, empty]
WRITES: list[Callable[[Collection, Path], object]] = [
    lambda writer, folder: writer.save(),
    lambda writer, folder: writer.compact(),
    lambda writer, folder: writer.save(folder),
    lambda writer, folder: (writer.refresh(), writer.save()),
]


@pytest.mark.parametrize("write", WRITES, ids=["save", "compact", "save there", "refresh and save"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_stale_writer_gets_an_error_and_writes_nothing(
    change: Callable[[Path], None], write: Callable[[Collection, Path], object], tmp_path: Path
) -> None:
    folder = tmp_path / "i"
    filled(20).save(folder)
    shutil.copytree(folder, tmp_path / "backup")
    writer = Collection.open(folder)
    writer.add(["second"], vectors(1, 8))
    writer.save()
    writer.add(["stale"], vectors(1, 9))
    change(folder)
    before = content(folder) if folder.exists() else None
    for _ in range(2):
        with pytest.raises(IndexChangedError, match=r"another process|removed"):
            write(writer, folder)
    assert (content(folder) if folder.exists() else None) == before
    if before:
        Collection.open(folder).verify()


@pytest.mark.parametrize("moment", ["write_segment", "compacted", "commit", "replace"])
def test_a_folder_that_is_exchanged_while_it_is_written_is_left_alone(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is on the old folder; the new index in its place gets nothing."""
    folder = tmp_path / "i"
    filled(20).save(folder)
    filled(7, seed=3).save(tmp_path / "next")
    before = content(tmp_path / "next")
    writer = Collection.open(folder)
    writer.delete([0])
    module = os if moment == "replace" else collection
    real = getattr(module, moment)

    def exchanged(*arguments: object, **named: object) -> object:
        folder.rename(tmp_path / "old")
        (tmp_path / "next").rename(folder)
        return real(*arguments, **named)

    if moment == "compacted":
        writer.save()
    monkeypatch.setattr(module, moment, exchanged)
    if moment == "replace":  # checked just before: the commit is in the locked folder
        writer.save()
        with pytest.raises(IndexChangedError, match="another process changed"):
            writer.compact()
    else:
        with pytest.raises(IndexChangedError, match=r"another process removed .* during the write"):
            writer.compact() if moment == "compacted" else writer.save()
    assert content(folder) == before
    Collection.open(tmp_path / "old").verify()


def test_a_stale_writer_cannot_copy_what_it_no_longer_has(tmp_path: Path) -> None:
    filled(20).save(tmp_path / "i")
    writer = Collection.open(tmp_path / "i")
    rebuild(tmp_path / "i")
    writer.add(["stale"], vectors(1, 9))
    with pytest.raises(IndexChangedError, match="is missing: the index has changed"):
        writer.save(tmp_path / "copy")
    assert list((tmp_path / "copy").iterdir()) == []


def test_a_reader_that_meets_a_rebuilt_index_reads_one_of_the_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another index of the same size, with the same number of commits, comes between manifest and files."""
    filled(20).save(tmp_path / "i")
    filled(20, seed=4).save(tmp_path / "other")
    real, calls = collection.read_manifest, []

    def read(folder: Path) -> object:
        manifest = real(folder)
        if not calls:
            shutil.rmtree(tmp_path / "i")
            shutil.copytree(tmp_path / "other", tmp_path / "i")
        calls.append(folder)
        return manifest

    monkeypatch.setattr(collection, "read_manifest", read)
    found = Collection.open(tmp_path / "i")
    found.verify()
    np.testing.assert_array_equal(found.vectors_of([3]), Collection.open(tmp_path / "other").vectors_of([3]))


# An index of version 0.1.0


def test_an_index_of_0_1_0_is_read_and_gone_on_with(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    first = filled(20)
    first.save(folder)
    as_0_1_0(folder)
    assert sorted(content(folder)) == ["manifest.json", "rows-000001.sqlite", "vectors-000001.f32"]
    old, stale = Collection.open(folder), Collection.open(folder)
    old.verify()
    assert list(old.rows())[3][0].text == "text 3"
    old.add(["new"], vectors(1, 5))
    old.save()
    assert "vectors-000001.f32" in content(folder)  # unchanged files are not written again
    stale.delete([0])
    with pytest.raises(IndexChangedError):
        stale.save()
    old.compact()
    assert len(content(folder)) == 3
    assert not {"rows-000001.sqlite", "vectors-000001.f32"} & content(folder).keys()
    assert [row.text for row, _ in Collection.open(folder).rows()] == [f"text {i}" for i in range(20)] + ["new"]


def test_a_commit_by_0_1_0_is_another_commit(tmp_path: Path) -> None:
    """It keeps the number of commits and drops the id."""
    filled(20).save(tmp_path / "i")
    writer = Collection.open(tmp_path / "i")
    writer.add(["stale"], vectors(1, 5))
    as_0_1_0(tmp_path / "i")
    with pytest.raises(IndexChangedError):
        writer.save()


# What is not the index's

MINE = ["manifest.json.bak", "manifest.json.new", "rows-of-mine.csv", "vectors-000001.f32", "structure-final.faiss"]
MINE += [".writing-of-mine", ".writing-0123456789abcdef", "rows-000002-0123456789abcdef.sqlite", "notes.txt"]


def test_a_commit_leaves_the_files_of_others_alone(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    made = filled(20)
    made.save(folder)
    for name in MINE:
        (folder / name).write_text("mine")
    (own,) = folder.glob("rows-000001-*")
    copy = folder / f"{own.name}.bak"
    shutil.copy(own, copy)
    bytes_before = made.info().bytes
    made.add(["new"], vectors(1, 5))
    made.save()
    made.compact()
    assert all((folder / name).read_text() == "mine" for name in MINE)
    assert copy.exists()
    assert made.info().bytes < 2 * bytes_before  # theirs are not counted
    Collection.open(folder).verify()


def test_nothing_is_written_through_a_link_in_the_folder(tmp_path: Path) -> None:
    folder, victim = tmp_path / "i", tmp_path / "victim"
    made = filled(20)
    made.save(folder)
    victim.write_text("mine")
    (own,) = folder.glob("rows-000001-*")
    identity = own.stem.rpartition("-")[2]
    names = [f"{stem}-000002-{identity}{end}" for stem, end in (("rows", ".sqlite"), ("vectors", ".f32"))]
    names += [f"manifest-000002-{identity}.json", "manifest.json.new", "rows-000002.sqlite", "vectors-000002.f32"]
    for name in names:
        (folder / name).symlink_to(victim)
    made.add(["new"], vectors(1, 5))
    made.save()
    made.compact()
    assert victim.read_text() == "mine"
    Collection.open(folder).verify()


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "i").symlink_to(tmp_path / "real")
    filled(20).save(tmp_path / "i")
    again = Collection.open(tmp_path / "i")
    again.add(["new"], vectors(1, 5))
    again.save()
    assert (tmp_path / "i").is_symlink()
    assert len(Collection.open(tmp_path / "real")) == 21


# What a killed one leaves


def test_leftovers_of_killed_commits_go(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    filled(20).save(folder)
    (own,) = folder.glob("rows-000001-*")
    identity = own.stem.rpartition("-")[2]
    for name in (
        "vectors-000002-{}.f32",
        "rows-000007-{}.sqlite",
        "structure-000002-{}.faiss",
        "manifest-000002-{}.json",
    ):
        (folder / name.format(identity)).write_bytes(b"half")
    again = Collection.open(folder)
    again.add(["new"], vectors(1, 7))
    again.save()
    assert len(list(folder.iterdir())) == 5
    assert len(Collection.open(folder)) == 21


def test_a_first_save_that_was_killed_starts_over(tmp_path: Path) -> None:
    (tmp_path / "i").mkdir()
    (tmp_path / "i" / ".writing-0123456789abcdef").touch()
    (tmp_path / "i" / "vectors-000001-0123456789abcdef.f32").write_bytes(b"half")
    filled(20).save(tmp_path / "i")
    assert len(list((tmp_path / "i").iterdir())) == 3
    Collection.open(tmp_path / "i").verify()


def test_half_a_save_of_0_1_0_is_named(tmp_path: Path) -> None:
    """Nothing marks it as part of an index, so it stays."""
    (tmp_path / "i").mkdir()
    (tmp_path / "i" / "vectors-000001.f32").write_bytes(b"half")
    with pytest.raises(SearchIndexError, match=r"not empty .*it contains vectors-000001\.f32"):
        filled(20).save(tmp_path / "i")


# Paths


@pytest.mark.parametrize("size", [300, 440, 455, 470, 600, 3000])
def test_a_long_path_works_or_is_named(size: int, tmp_path: Path) -> None:
    folder = tmp_path
    while (left := size - len(str(folder))) > 1:
        folder /= "d" * min(200, left - 1)
    if size <= 460:  # and 43 of the file's name
        filled(20).save(folder)
        Collection.open(folder).verify()
        return
    with pytest.raises(
        SearchIndexError, match=r"the path has \d+ bytes, but SQLite opens at most 504|File name too long"
    ):
        filled(20).save(folder)


def test_a_place_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for place in (tmp_path / "file" / "i", tmp_path / "link", tmp_path / ("n" * 300)):
        with pytest.raises(SearchIndexError, match=r"cannot hold an index"):
            filled(2).save(place)
    with pytest.raises(SearchIndexError, match=r"File name too long"):
        Collection.open(tmp_path / ("n" * 300))


def test_the_stamp_of_a_commit_is_not_its_time_alone(tmp_path: Path) -> None:
    """A backup that is copied over with its times is another commit for a reader that is open."""
    filled(20).save(tmp_path / "i")
    reader = Collection.open(tmp_path / "i")
    manifest = tmp_path / "i" / "manifest.json"
    found = manifest.stat()
    filled(9, seed=2).save(tmp_path / "other")
    time.sleep(0.02)
    for path in (tmp_path / "other").iterdir():
        with (tmp_path / "i" / path.name).open("r+b" if path.name == manifest.name else "wb") as file:
            file.write(path.read_bytes())
            file.truncate()
    os.utime(manifest, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert reader.refresh()
    assert len(reader) == 9
