"""Search by words and meaning with a model: hits that meaning alone misses, and errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from simcse_kit import SearchIndexError, SentenceIndex, SimCSE, build_index
from simcse_kit.search.modes import MODES, SearchMode

CODES = [f"0x8007{number:04d}" for number in range(100)]
CODE = "the update ended with error 0x80070057"


@pytest.fixture(scope="module")
def hybrid(model: SimCSE, sentences: list[str]) -> SentenceIndex:
    """Sentences, and reports that differ only by their codes."""
    reports = [f"error {code} appeared when the update of the machine ended" for code in CODES]
    return SentenceIndex.build(model, [*sentences, *reports], hybrid=True)


def test_codes_that_meaning_does_not_find_are_found_by_both(hybrid: SentenceIndex) -> None:
    def share(mode: SearchMode) -> float:
        """The codes whose report is the first hit."""
        answers = hybrid.search([f"What does error {code} mean?" for code in CODES], 1, mode=mode)
        return sum(code in hits[0].text for code, hits in zip(CODES, answers, strict=True)) / len(CODES)

    assert share("dense") < 0.2
    assert share("keyword") == share("hybrid") == 1


def test_one_query_and_several(hybrid: SentenceIndex) -> None:
    for mode in MODES:
        together = hybrid.search(["the cat", "error"], 3, mode=mode)
        assert together == [hybrid.search("the cat", 3, mode=mode), hybrid.search("error", 3, mode=mode)]
        assert all((hit.ranks is None) == (mode == "dense") for hits in together for hit in hits)


def test_a_mode_or_threshold_that_cannot_be_is_an_error(hybrid: SentenceIndex) -> None:
    with pytest.raises(SearchIndexError, match="mode must be one of dense, keyword, hybrid; got 'both'"):
        hybrid.search("the cat", mode="both")  # type: ignore[call-overload]
    for mode in ("keyword", "hybrid"):
        with pytest.raises(SearchIndexError, match=f"threshold is a cosine, but mode {mode}"):
            hybrid.search("the cat", threshold=0.5, mode=mode)  # type: ignore[call-overload]


def test_keywords_are_added_without_encoding(
    model: SimCSE, sentences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SentenceIndex.build(model, sentences).save(tmp_path / "index")
    index = SentenceIndex.open(tmp_path / "index", model)
    with pytest.raises(SearchIndexError, match="no keywords"):
        index.search("the cat", mode="keyword")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("nothing is encoded")

    with monkeypatch.context() as patched:
        patched.setattr(SimCSE, "encode_document", refuse)
        patched.setattr(SimCSE, "encode_query", refuse)
        index.compact(hybrid=True)
        assert index.search("cat", mode="keyword")
    fresh = SentenceIndex.build(model, sentences, hybrid=True)
    assert index.search("the cat", mode="hybrid") == fresh.search("the cat", mode="hybrid")


def test_files_become_a_hybrid_index_that_later_rows_join(model: SimCSE, sentences: list[str], tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(sentences), encoding="utf-8")
    index, _ = build_index(model, tmp_path / "texts.txt", tmp_path / "index", hybrid=True)
    index.commit(lambda now: now.add([CODE]))
    opened = SentenceIndex.open(tmp_path / "index", model)
    assert opened.info().keywords
    assert opened.search("0x80070057", mode="keyword")[0].text == CODE
    assert opened.search("0x80070057", mode="hybrid")[0].text == CODE


def test_a_moved_index_keeps_its_keywords(hybrid: SentenceIndex, tmp_path: Path) -> None:
    expected = hybrid.search("0x80070057", mode="hybrid")
    hybrid.save(tmp_path / "index")
    assert SentenceIndex.open(tmp_path / "index", hybrid.model).search("0x80070057", mode="hybrid") == expected
