"""Reranking: the order is the cross-encoder's, and the search's scores stay readable."""

from __future__ import annotations

from pathlib import Path

import pytest

from simcse_kit import CrossEncoder, Hit, SearchIndexError, SentenceIndex, SimCSE, rerank
from simcse_kit.index.reranking import candidates_for
from support.tiny import SENTENCES, make_cross_encoder


class Lengths:
    """Scores a pair by the length of its text."""

    def predict(self, inputs: list[tuple[str, str]], /) -> list[int]:
        assert {query for query, _ in inputs} == {"q"}
        return [len(text) for _, text in inputs]


HITS = [Hit(1, "ab", 0.9), Hit(2, "abcd", 0.8, {"lang": "en"}), Hit(3, "cd", 0.7), Hit(4, "a", 0.6)]


def test_hits_come_in_the_order_of_the_scores_and_equal_ones_in_that_of_the_search() -> None:
    found = rerank(Lengths(), "q", HITS, 3)
    assert found.hits == [Hit(2, "abcd", 4.0, {"lang": "en"}), Hit(1, "ab", 2.0), Hit(3, "cd", 2.0)]
    assert (found.search_scores, found.pairs) == ([0.8, 0.9, 0.7], 4)
    assert 0 <= found.seconds < 10
    assert len(rerank(Lengths(), "q", HITS).hits) == 4
    assert rerank(Lengths(), "q", [], 3)[:3] == ([], [], 0)
    with pytest.raises(SearchIndexError, match="k must be at least 1"):
        rerank(Lengths(), "q", HITS, 0)


def test_how_many_candidates() -> None:
    assert [candidates_for(*asked) for asked in ((5, None), (60, None), (5, 5), (5, 200))] == [50, 60, 5, 200]
    with pytest.raises(SearchIndexError, match="candidates must be at least the 5 requested hits"):
        candidates_for(5, 4)


def test_a_cross_encoder_reranks_what_an_index_finds(model: SimCSE, tmp_path: Path) -> None:
    encoder = CrossEncoder(make_cross_encoder("bert", tmp_path / "cross"), device="cpu")
    hits = SentenceIndex.build(model, SENTENCES).search("Where is the guitar?", 20)
    found = rerank(encoder, "Where is the guitar?", hits, 5)
    ranked = encoder.rank("Where is the guitar?", [hit.text for hit in hits], top_k=5)
    assert [hit.text for hit in found.hits] == [hits[one["corpus_id"]].text for one in ranked]
    assert [hit.score for hit in found.hits] == pytest.approx([one["score"] for one in ranked])
