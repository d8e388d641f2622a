"""`SentenceIndex`: adds sentences, returns hits, and is bound to its model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simcse_kit import Hit, SearchIndexError, SentenceIndex, SimCSE
from support.plain import unit
from support.stores import MILVUS, Store


def test_search_is_the_cosine_of_encode(model: SimCSE, sentences: list[str], store: Store) -> None:
    index = SentenceIndex.build(model, sentences, **store.options)
    cosine = unit(model.encode(sentences[:3])) @ unit(model.encode(sentences)).T
    for row, hits in zip(cosine, index.search(sentences[:3], k=6), strict=True):
        np.testing.assert_allclose([hit.score for hit in hits], np.sort(row)[::-1][:6], atol=1e-5)
        assert [hit.text for hit in hits] == [sentences[hit.id] for hit in hits]
    one = index.search(sentences[0], k=6)
    assert isinstance(one[0], Hit)
    assert one[0].text == sentences[0]
    assert [hit.id for hit in one] == [hit.id for hit in index.search(sentences[:1], k=6)[0]]
    assert index.search([]) == []
    assert len(index.search(sentences[0], k=99)) == len(sentences)
    assert all(hit.score >= 0.9 for hit in index.search(sentences[0], k=99, threshold=0.9))


def test_building_in_parts_on_disk_is_building_at_once(model: SimCSE, sentences: list[str], store: Store) -> None:
    SentenceIndex.build(model, sentences[:25], **store.options).save(store.place("i"))
    index = SentenceIndex.open(store.place("i"), model, **store.options)
    index.add(sentences[25:])
    index.save()
    again = SentenceIndex.open(store.place("i"), **store.options)
    assert len(again) == len(sentences)
    whole = SentenceIndex.build(model, sentences, **store.options)
    for a, b in zip(again.search(sentences, k=4), whole.search(sentences, k=4), strict=True):
        assert [hit.text for hit in a] == [hit.text for hit in b]
        np.testing.assert_allclose([hit.score for hit in a], [hit.score for hit in b], atol=1e-5)


def test_what_was_not_saved_is_not_there(model: SimCSE, sentences: list[str], store: Store) -> None:
    """A process that dies after `add` and before `save` leaves the commit before it."""
    index = SentenceIndex.build(model, sentences[:5], ids=["a", "b", "c", "d", "e"], **store.options)
    index.save(store.place("i"))
    index.add(["new"], ids=["f"])
    del index
    again = SentenceIndex.open(store.place("i"), model, **store.options)
    assert len(again) == 5
    assert again.search(sentences[2], k=1)[0].id == "c"


def test_open_loads_the_model_of_the_manifest(model_folder: Path, sentences: list[str], store: Store) -> None:
    SentenceIndex.build(model_folder, sentences, **store.options).save(store.place("i"))
    index = SentenceIndex.open(store.place("i"), **store.options)
    assert Path(index.model.name) == model_folder
    assert index.search(sentences[4])[0].text == sentences[4]
    assert len(index.search(sentences[4], k=3)) == 3


def test_open_makes_the_model_as_it_was(
    tiny_model: Callable[[str], Path],
    sentences: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    store: Store,
) -> None:
    """Pooling and length that were arguments then, a relative path, another working directory now."""
    shutil.copytree(tiny_model("roberta"), tmp_path / "m")
    monkeypatch.chdir(tmp_path)
    saved, opened = (store.place("i"), store.place("i")) if MILVUS else (Path("i"), Path("../i"))
    SentenceIndex.build(
        SimCSE("m", pooling="avg_top2", max_seq_length=30, device="cpu"), sentences, **store.options
    ).save(saved)
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    index = SentenceIndex.open(opened, **store.options)
    assert (index.model.pooling, index.model.max_seq_length) == ("avg_top2", 30)
    index.add(["The cat again."])
    place = index.save()
    assert place == saved if MILVUS else place.resolve() == tmp_path / "i"


def test_another_model_is_refused(
    model: SimCSE,
    tiny_model: Callable[[str], Path],
    sentences: list[str],
    tmp_path: Path,
    model_folder: Path,
    store: Store,
) -> None:
    SentenceIndex.build(model, sentences, **store.options).save(store.place("i"))
    others = [
        SimCSE(model_folder, pooling="max", device="cpu"),
        SimCSE(model_folder, max_seq_length=9, device="cpu"),
        SimCSE(tiny_model("distilbert"), pooling="mean", device="cpu"),
    ]
    for other in others:
        with pytest.raises(SearchIndexError, match=r"was built with another model: .* build the index again"):
            SentenceIndex.open(store.place("i"), other, **store.options)
    shutil.copytree(model_folder, tmp_path / "copy")
    assert len(SentenceIndex.open(store.place("i"), tmp_path / "copy", **store.options)) == len(sentences)


def test_a_model_that_changed_since_is_refused(
    tiny_model: Callable[[str], Path], sentences: list[str], store: Store
) -> None:
    import torch

    model = SimCSE(tiny_model("bert"), pooling="mean", device="cpu")
    index = SentenceIndex.build(model, sentences, **store.options)
    index.save(store.place("i"))
    with torch.no_grad():
        next(model.encoder.parameters()).mul_(1.5)
    with pytest.raises(SearchIndexError, match="another model"):
        SentenceIndex.open(store.place("i"), model, **store.options)
    with pytest.raises(SearchIndexError, match="changed"):
        index.add(["new"])
    with pytest.raises(SearchIndexError, match="changed"):
        index.search("new")


def test_a_model_that_is_gone_is_named(model_folder: Path, sentences: list[str], tmp_path: Path, store: Store) -> None:
    shutil.copytree(model_folder, tmp_path / "m")
    SentenceIndex.build(tmp_path / "m", sentences, **store.options).save(store.place("i"))
    shutil.rmtree(tmp_path / "m")
    with pytest.raises(
        SearchIndexError, match=rf"cannot load its model {tmp_path / 'm'}: .*; if it has moved, name its new path"
    ):
        SentenceIndex.open(store.place("i"), **store.options)
    index = SentenceIndex.open(store.place("i"), model_folder, **store.options)
    assert index.search(sentences[1], k=1)[0].text == sentences[1]


def test_query_and_document_prompts_are_used(model_folder: Path, sentences: list[str], store: Store) -> None:
    model = SimCSE(model_folder, device="cpu")
    model.prompts.update({"query": "where is ", "document": "it is said: "})
    index = SentenceIndex.build(model, sentences, **store.options)
    cosine = unit(model.encode_query(sentences[:1])) @ unit(model.encode_document(sentences)).T
    assert index.search(sentences[0], k=1)[0].score == pytest.approx(float(cosine.max()), abs=1e-5)


def test_an_empty_index(model: SimCSE, store: Store) -> None:
    index = SentenceIndex.build(model, [], **store.options)
    assert index.search("The cat.") == []
    index.save(store.place("i"))
    again = SentenceIndex.open(store.place("i"), model, **store.options)
    again.add(["The cat."])
    assert again.search("The cat.")[0].id == 0


def test_one_string_is_not_a_list_of_sentences(model: SimCSE, store: Store) -> None:
    with pytest.raises(TypeError, match="a list of sentences"):
        SentenceIndex.build(model, "The cat.", **store.options)


def test_a_reader_that_meets_a_commit_reads_again(
    model: SimCSE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from simcse_kit.search import collection as module

    SentenceIndex.build(model, ["A cat."]).save(tmp_path / "index")
    real, commits = module.read_manifest, []

    def read(folder: Path) -> object:
        manifest = real(folder)
        if not commits:  # a writer commits between the reader's look at the manifest and at the files
            commits.append(True)
            other = SentenceIndex.open(tmp_path / "index", model)
            other.add(["A dog."])
            other.save()
        return manifest

    monkeypatch.setattr(module, "read_manifest", read)
    assert len(SentenceIndex.open(tmp_path / "index", model)) == 2


def test_a_moved_model_is_loaded_as_it_was(
    tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path, store: Store
) -> None:
    there = shutil.copytree(tiny_model("bert"), tmp_path / "there")
    SentenceIndex.build(SimCSE(there, pooling="mean", max_seq_length=20), sentences, **store.options).save(
        store.place("index")
    )
    moved = there.rename(tmp_path / "moved")
    with pytest.raises(SearchIndexError, match="if it has moved, name its new path"):
        SentenceIndex.open(store.place("index"), **store.options)
    assert (
        SentenceIndex.open(store.place("index"), moved, **store.options).search(sentences[0], k=1)[0].text
        == sentences[0]
    )


def test_a_search_that_has_begun_stays_with_its_rows(
    model: SimCSE, sentences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While its queries are encoded, another commits and the index is refreshed."""
    writer = SentenceIndex.build(model, sentences[:5])
    writer.save(tmp_path / "i")
    reader = SentenceIndex.open(tmp_path / "i", model)
    writer.delete([2])
    writer.compact()
    encode_query = model.encode_query

    def slow(*arguments: object) -> np.ndarray:
        assert reader.refresh()
        return encode_query(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(model, "encode_query", slow)
    assert reader.search(sentences[2], k=1)[0].id == 2
    monkeypatch.setattr(model, "encode_query", encode_query)
    assert reader.search(sentences[2], k=1)[0].id != 2
