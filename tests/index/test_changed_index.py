"""An index that others change, rebuild or remove while it is open: vectors of different models are never compared."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simcse_kit import IndexChangedError, SearchIndexError, SentenceIndex, SimCSE
from simcse_kit.errors import ModelError
from support.tiny import make_model


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> SimCSE:
    """A folder with a model of the same width and other weights."""
    folder = tmp_path_factory.mktemp("other")
    SimCSE(make_model("bert", folder / "raw", seed=9), pooling="mean", device="cpu").save(folder / "model")
    return SimCSE(folder / "model", device="cpu")


@pytest.fixture
def opened(model: SimCSE, sentences: list[str], tmp_path: Path) -> SentenceIndex:
    """Of forty sentences, in tmp_path / "i"."""
    SentenceIndex.build(model, sentences).save(tmp_path / "i")
    return SentenceIndex.open(tmp_path / "i", model)


def rebuild(folder: Path, model: SimCSE, sentences: list[str]) -> None:
    shutil.rmtree(folder)
    SentenceIndex.build(model, sentences[::-1]).save(folder)


def test_an_index_of_another_model_is_not_taken_over(
    opened: SentenceIndex, model: SimCSE, other: SimCSE, sentences: list[str], tmp_path: Path
) -> None:
    """However often it is searched: it stays as it was, and cannot be saved over the new one."""
    before = opened.search(sentences[4], k=3)
    rebuild(tmp_path / "i", other, sentences)
    for _ in range(2):
        with pytest.raises(IndexChangedError, match="with another model"):
            opened.refresh()
        assert opened.search(sentences[4], k=3) == before
    opened.add_vectors(["foreign"], model.encode(["foreign"]))
    with pytest.raises(IndexChangedError):
        opened.save()
    with pytest.raises(IndexChangedError):
        opened.refresh(discard=True)
    assert len(SentenceIndex.open(tmp_path / "i", other)) == 40


def test_vectors_bear_the_fingerprint_of_their_model(opened: SentenceIndex, model: SimCSE, other: SimCSE) -> None:
    vectors, own = other.encode(["foreign"]), model.fingerprint()
    with pytest.raises(IndexChangedError, match="another model"):
        opened.search_vectors(vectors, fingerprint=other.fingerprint())
    with pytest.raises(IndexChangedError, match="another model"):
        opened.add_vectors(["foreign"], vectors, fingerprint=other.fingerprint())
    assert len(opened) == 40
    assert opened.search_vectors(model.encode(["x"]), fingerprint=own) == opened.search_vectors(model.encode(["x"]))
    assert opened.add_vectors(["own"], model.encode(["own"]), fingerprint=own) == [40]


def test_texts_that_were_encoded_before_a_change_are_not_added(
    opened: SentenceIndex, other: SimCSE, sentences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another model takes over the index while its own model encodes."""
    encode = opened.model.encode_document

    def slow(texts: list[str], **options: object) -> np.ndarray:
        rebuild(tmp_path / "i", other, sentences)
        opened._collection.adopt(SentenceIndex.open(tmp_path / "i", other)._collection)
        return encode(texts, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(opened.model, "encode_document", slow)
    with pytest.raises(IndexChangedError, match="another model"):
        opened.add(["foreign"])


def test_reopened_is_what_is_there_with_its_model(
    opened: SentenceIndex, other: SimCSE, sentences: list[str], tmp_path: Path
) -> None:
    rebuild(tmp_path / "i", other, sentences)
    from_disk = opened.reopened()
    assert from_disk.model is not other
    assert from_disk.model.name == str(Path(other.name).absolute())
    given = opened.reopened([other])
    assert given.model is other
    for index in (from_disk, given):
        assert [hit.text for hit in index.search(sentences[4], k=1)] == [sentences[4]]
    assert given.reopened().model is other


def test_reopening_takes_models_from_the_disk_only(
    opened: SentenceIndex, other: SimCSE, sentences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuild(tmp_path / "i", other, sentences)
    asked: list[dict[str, object]] = []

    def load(name: str, **how: object) -> SimCSE:
        asked.append(how)
        raise ModelError("not found")

    monkeypatch.setattr("simcse_kit.index.models.SimCSE.__init__", lambda self, name, **how: load(name, **how))
    with pytest.raises(SearchIndexError, match=r"cannot load its model .*: not found"):
        opened.reopened()
    (how,) = asked
    assert (how["local_files_only"], how["trust_remote_code"]) == (True, False)


# Changes: committed or not made


def test_a_commit_is_whole_or_not_at_all(opened: SentenceIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    assert opened.commit(lambda now: (now.add(["new"], [100]), now.delete([0]))) == (None, 1)
    assert len(opened) == 40
    assert opened.get([100])[0].text == "new"

    def halfway(now: SentenceIndex) -> None:
        now.add(["half"], [101])
        now.add(["taken"], [100])

    with pytest.raises(SearchIndexError, match="id 100 already exists"):
        opened.commit(halfway)
    with monkeypatch.context() as patch:
        patch.setattr("simcse_kit.search.collection.commit", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            opened.commit(lambda now: now.add(["half"], [101]))
    assert len(opened) == 40
    assert not opened.refresh()  # nothing to read, and no obstacle
    opened.commit(lambda now: now.add(["whole"], [101]))
    assert opened.folder is not None
    assert len(SentenceIndex.open(opened.folder, opened.model)) == 41


def test_a_commit_comes_after_those_of_others(opened: SentenceIndex, model: SimCSE, tmp_path: Path) -> None:
    """Another process commits before it starts, and while it runs."""
    others = [SentenceIndex.open(tmp_path / "i", model)]
    others[0].commit(lambda now: now.add(["before"]))

    def change(now: SentenceIndex) -> None:
        now.add(["mine"])
        if len(others) == 1:
            others.append(SentenceIndex.open(tmp_path / "i", model))
            others[1].commit(lambda now: now.add(["meanwhile"]))

    opened.commit(change)
    texts = [*SentenceIndex.open(tmp_path / "i", model).texts()]
    assert texts[40:] == ["before", "meanwhile", "mine"]
    assert [*opened.texts()] == texts


def test_a_commit_of_an_index_without_a_folder(model: SimCSE) -> None:
    made = SentenceIndex.build(model, ["a", "b"])
    made.commit(lambda now: now.add(["c"]))
    with pytest.raises(SearchIndexError):
        made.commit(lambda now: (now.add(["d"]), now.delete([9])))
    assert [*made.texts()] == ["a", "b", "c"]


def test_unsaved_changes_can_be_thrown_away(opened: SentenceIndex, model: SimCSE, tmp_path: Path) -> None:
    other = SentenceIndex.open(tmp_path / "i", model)
    other.commit(lambda now: now.add(["theirs"]))
    opened.add(["mine"])
    with pytest.raises(IndexChangedError):
        opened.save()
    assert not opened.refresh()
    assert opened.refresh(discard=True)
    assert [*opened.texts()][40:] == ["theirs"]
    opened.add(["mine"])
    opened.save()
    assert not opened.refresh(discard=True)


def test_a_search_meanwhile_is_without_the_change(opened: SentenceIndex, sentences: list[str]) -> None:
    found: list[int] = []

    def change(now: SentenceIndex) -> None:
        now.add(["a text of its own"])
        found.append(len(opened))
        assert len(opened.search(sentences[0], k=50)) == 40

    opened.commit(change)
    assert found == [40]
    assert len(opened) == 41


@pytest.mark.parametrize("gone", [shutil.rmtree, lambda folder: (folder / "manifest.json").unlink()])
def test_an_index_that_was_taken_away_is_named(
    gone: Callable[[Path], object], opened: SentenceIndex, tmp_path: Path
) -> None:
    gone(tmp_path / "i")
    with pytest.raises(IndexChangedError, match="no longer holds an index"):
        opened.refresh()
    assert opened.search("x", k=1)  # it keeps the version that it opened
