"""Long documents: nothing is lost, no passage exceeds the model's limit, and hits name their document."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcse_kit import SearchIndexError, SimCSE, add_files, build_index
from simcse_kit.index.passages import cut_passages
from support.stores import Store
from support.tiny import SENTENCES


@pytest.fixture(scope="module")
def model(tiny_model: Callable[[str], Path]) -> SimCSE:
    return SimCSE(tiny_model("bert"), pooling="mean", device="cpu", max_seq_length=24)


def tokens(model: SimCSE, text: str) -> int:
    return len(model.tokenizer(text, verbose=False)["input_ids"])


@settings(max_examples=40, deadline=None)
@given(
    parts=st.lists(
        st.one_of(st.sampled_from(SENTENCES), st.text(min_size=1, max_size=80), st.just("x" * 300)),
        min_size=1,
        max_size=25,
    )
)
def test_every_word_is_in_a_passage_that_fits(parts: list[str], model: SimCSE) -> None:
    text = " ".join(" ".join(part.split()) for part in parts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (found,) = cut_passages([text], model)
        assert all(tokens(model, passage) <= 24 for passage in found)
    rest = "".join(text.split())
    for passage in found:  # each starts where the previous one ended, or repeats some of it
        own = "".join(passage.split())
        fits = max(n for n in range(len(own) + 1) if rest.startswith(own[len(own) - n :]))
        rest = rest[fits:]
    assert rest == ""


def test_what_fits_stays_whole_and_passages_overlap(model: SimCSE) -> None:
    short = f"{SENTENCES[0]}\n{SENTENCES[0][:5]}"
    text = "It rains. " * 40
    whole, pieces = cut_passages([short, text], model)
    assert whole == [short]
    assert len(pieces) > 3
    for one, other in itertools.pairwise(pieces):
        assert other.startswith("It rains.")
        assert one.endswith("It rains.")
    total = sum(passage.count("It rains.") for passage in pieces)
    assert 40 < total <= 60


def test_a_document_is_found_by_its_passage(model: SimCSE, tmp_path: Path, store: Store) -> None:
    long = " ".join(f"{text}" for text in SENTENCES)
    rows = [f'd1,"{long}",en', f'd2,"{SENTENCES[3]}",de']
    (tmp_path / "docs.csv").write_text("\n".join(["key,text,lang", *rows, ""]), encoding="utf-8")
    index, counts = build_index(
        model,
        tmp_path / "docs.csv",
        store.place("i"),
        columns=["text"],
        id_column="key",
        metadata_columns=["lang"],
        passages=True,
        **store.options,
    )
    assert counts.documents == 2
    assert counts.rows == len(index) > 10
    last = index.get([f"d1#{counts.rows - 2}"])[0]
    assert last.metadata == {"lang": "en", "document": "d1", "passage": counts.rows - 2, "passages": counts.rows - 1}
    assert last.text.endswith(SENTENCES[-1])
    hit = index.search(last.text, 1)[0]
    assert (hit.id, hit.metadata) == (last.id, last.metadata)
    assert index.get(["d2#0"])[0].text == SENTENCES[3]
    assert index.delete(filter={"document": "d1"}) == counts.rows - 1
    numbered, _ = build_index(
        model, tmp_path / "docs.csv", store.place("n"), columns=["text"], passages=True, **store.options
    )
    with pytest.raises(SearchIndexError, match="name the column of the documents' ids"):
        add_files(numbered, tmp_path / "docs.csv")


def test_cutting_leaves_the_tokenizer_of_the_model_alone(model: SimCSE) -> None:
    """A tokenizer stores whether it cuts texts, and another thread may encode meanwhile."""
    text = " ".join(SENTENCES)
    expected = cut_passages([text], model)
    model.tokenize([text])
    kept = model.tokenizer.backend_tokenizer
    before = kept.truncation
    assert before["max_length"] == 24
    assert cut_passages([text], model) == expected
    assert kept.truncation == before
    assert cut_passages([], model) == []
