"""Rebuilding an index with another model: one commit of the same folder; other writers' commits are not lost."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcse_kit import IndexChangedError, Notice, SearchIndexError, SentenceIndex, SimCSE, rebuild_index
from simcse_kit.index import rebuild as rebuilding
from simcse_kit.index.sync import one_update
from simcse_kit.search import exchanging
from support.commands import run
from support.tiny import SENTENCES, make_model

IDS = list(range(10, 50))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> SimCSE:
    """A model of other weights, in a folder."""
    folder = tmp_path_factory.mktemp("other")
    SimCSE(make_model("bert", folder / "raw", seed=9), pooling="mean", device="cpu").save(folder / "model")
    return SimCSE(folder / "model", device="cpu")


@pytest.fixture
def index(model: SimCSE, tmp_path: Path) -> SentenceIndex:
    """Forty sentences, one of them deleted."""
    made = SentenceIndex.build(model, SENTENCES, IDS, [{"n": i} for i in range(40)])
    made._collection.source = {
        "columns": ["text"],
        "id_column": "id",
        "metadata_columns": ["n"],
        "passages": False,
        "language": "en",
    }
    made.save(tmp_path / "i")
    made.delete([49])
    made.save()
    return made


def content(index: SentenceIndex) -> list[Any]:
    return [tuple(row) for row, _ in index._collection.rows()]


def test_a_rebuild_is_a_build_with_the_new_model(index: SentenceIndex, other: SimCSE, tmp_path: Path) -> None:
    made = rebuild_index(tmp_path / "i", other)
    again = SentenceIndex.open(tmp_path / "i")  # the manifest names the new model
    again.verify()
    for one in (made, again):
        assert content(one) == content(index)
        assert one.info().generation == index.info().generation + 1
        assert (one.info().source, one.fields) == (index.info().source, index.fields)
    fresh = SentenceIndex.build(other, SENTENCES[:39], IDS[:39])
    np.testing.assert_allclose(made.vectors_of(IDS[:39]), fresh.vectors_of(IDS[:39]), atol=1e-6)
    assert again.search(SENTENCES[4], 1)[0].id == 14
    assert again._collection._next_id == index._collection._next_id == 50
    named = {"manifest.json", *(file.name for file in again._collection._content.files())}  # type: ignore[attr-defined]
    assert {path.name for path in (tmp_path / "i").iterdir()} == named
    assert [path.name for path in tmp_path.iterdir()] == ["i"]


def test_who_has_opened_it_before_gets_an_error_and_reads_on(index: SentenceIndex, other: SimCSE) -> None:
    assert index.folder is not None
    stale = SentenceIndex.open(index.folder, index.model)
    rebuild_index(index.folder, other)
    with pytest.raises(IndexChangedError, match="with another model"):
        index.refresh()
    assert index.search(SENTENCES[4], 1)[0].id == 14
    stale.add(["late"])
    with pytest.raises(IndexChangedError, match="another process changed"):
        stale.save()
    with pytest.raises(IndexChangedError, match="with another model"):
        index.sync(["late"], [3])
    assert index.reopened([other]).search(SENTENCES[4], 1)[0].score > 0.999


@pytest.mark.parametrize("rounds", [0, 3])
def test_commits_that_come_meanwhile_are_encoded_or_fail(
    rounds: int, index: SentenceIndex, other: SimCSE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first comes while all rows are encoded; the second waits while the index is exchanged, and then fails."""
    encode, exchange, said = other.encode_document, rebuilding.exchange_rows, list[str]()
    writer = SentenceIndex.open(tmp_path / "i", index.model)
    threads: list[threading.Thread] = []

    def first(*given: Any, **named: Any) -> Any:
        monkeypatch.setattr(other, "encode_document", encode)
        writer.commit(lambda now: (now.add(["A zebra."], [100]), now.delete([11]), now.update(["Other."], [12])))
        return encode(*given, **named)

    def second() -> None:
        try:
            writer.commit(lambda now: now.add(["late"], [101]))
        except IndexChangedError as error:
            said.append(str(error))

    def slowly(*given: Any) -> Any:
        with monkeypatch.context() as patch:
            commit = exchanging.Collection._commit

            def waited_for(*own: Any) -> Any:
                threads.append(threading.Thread(target=second))
                threads[0].start()
                threads[0].join(0.2)
                assert threads[0].is_alive()
                return commit(*own)

            patch.setattr(exchanging.Collection, "_commit", waited_for)
            return exchange(*given)

    monkeypatch.setattr(other, "encode_document", first)
    monkeypatch.setattr(rebuilding, "exchange_rows", slowly if rounds else exchange)
    monkeypatch.setattr(rebuilding, "_ROUNDS", rounds)
    made = rebuild_index(tmp_path / "i", other)
    expected = dict(zip(IDS[:39], SENTENCES, strict=False)) | {100: "A zebra.", 12: "Other."}
    del expected[11]
    for one in (made, SentenceIndex.open(tmp_path / "i", other)):
        assert {id_: text for id_, text, _ in content(one)} == expected
        assert [hit.score > 0.999 for hit in one.search("Other.", 1)] == [True]
    for thread in threads:
        thread.join(60)
    assert ["with another model" in text for text in said] == [True] * bool(rounds)


def test_what_a_rebuild_refuses(index: SentenceIndex, model: SimCSE, other: SimCSE, tmp_path: Path) -> None:
    with pytest.raises(SearchIndexError, match=r"already uses the model"):
        rebuild_index(tmp_path / "i", model)
    with pytest.raises(SearchIndexError, match="is in Milvus, where all rows cannot change at one instant"):
        rebuild_index("milvus:there.db/things", other)
    with pytest.raises(SearchIndexError, match="does not exist"):
        rebuild_index(tmp_path / "nothing", other)
    with one_update(tmp_path / "i"), pytest.raises(SearchIndexError, match="is being updated by process"):
        rebuild_index(tmp_path / "i", other)
    commit = exchanging.Collection._commit

    def failing(self: Any, *given: Any) -> Any:
        return commit(self, *given) if given[0].folder.name == "index" else 1 / 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("simcse_kit.search.exchanging.Collection._commit", failing)
        with pytest.raises(ZeroDivisionError):
            rebuild_index(tmp_path / "i", other)
    again = SentenceIndex.open(tmp_path / "i", model)
    again.verify()
    assert content(again) == content(index)
    assert [path.name for path in tmp_path.iterdir()] == ["i"]


def test_a_tuned_structure_is_made_again(model: SimCSE, other: SimCSE, tmp_path: Path) -> None:
    texts = [f"{text} {i}" for i in range(10) for text in SENTENCES]
    index = SentenceIndex.build(model, texts, kind="int8")
    index.tune_by(SENTENCES)
    index.save(tmp_path / "i")
    with pytest.warns(Notice, match="was tuned with your queries and is now tuned with its own rows"):
        found = rebuild_index(tmp_path / "i", other).info()
    assert found.structure is not None
    assert (found.structure.kind, found.structure.given, found.unindexed) == ("int8", False, 0)
    found = rebuild_index(tmp_path / "i", model, queries=SENTENCES[:20]).info()
    assert found.structure is not None
    assert (found.structure.given, found.structure.queries) == (True, 20)


def test_the_command(index: SentenceIndex, other: SimCSE, tmp_path: Path) -> None:
    done = run("index", "rebuild", "i", "--model", other.name, cwd=tmp_path)
    assert "39 sentences of i encoded with" in done.stdout, done.stderr
    again = run("index", "rebuild", "i", "--model", other.name, cwd=tmp_path)
    assert (again.returncode, "already" in again.stderr) == (1, True)
    assert SentenceIndex.open(tmp_path / "i", other).search(SENTENCES[4], 1)[0].id == 14
