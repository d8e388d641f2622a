"""Hard negatives: a plain loop over all similarities, and sentence-transformers' function, select the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcse_kit import SimCSE
from simcse_kit.data import read_examples
from simcse_kit.errors import DataError
from simcse_kit.training import negatives as module
from simcse_kit.training.negatives import prepare_negatives

Triplet = tuple[str, ...]


@pytest.fixture(scope="module")
def tiny(tiny_model: Callable[[str], Path]) -> SimCSE:
    return SimCSE(tiny_model("bert"), pooling="mean")


@pytest.fixture
def pairs(sentences: list[str]) -> list[tuple[str, str]]:
    """Neighbours, two anchors with two positives each, and one pair twice."""
    rows = list(zip(sentences[::2], sentences[1::2], strict=True))
    return [*rows, (sentences[0], sentences[5]), (sentences[8], sentences[3]), rows[4]]


def by_loop(
    pairs: list[tuple[str, str]],
    model: SimCSE,
    *,
    num_negatives: int,
    range_max: int,
    range_min: int = 0,
    max_score: float = np.inf,
    min_score: float = -np.inf,
    absolute_margin: float = -np.inf,
    relative_margin: float = -np.inf,
) -> list[Triplet]:
    """All cosines, one anchor at a time."""
    corpus = list(dict.fromkeys(positive for _, positive in pairs))
    anchors = list(dict.fromkeys(anchor for anchor, _ in pairs))
    cosine = model.similarity(model.encode(anchors), model.encode(corpus)).numpy()
    window = range_max + max(sum(a == anchor for a, _ in pairs) for anchor in anchors)
    triplets: list[Triplet] = []
    for anchor, scores in zip(anchors, cosine, strict=True):
        own = list(dict.fromkeys(positive for a, positive in pairs if a == anchor))
        farthest = min(scores[corpus.index(positive)] for positive in own)
        near = sorted((i for i in range(len(corpus)) if corpus[i] != anchor), key=lambda i: -scores[i])[:window]
        left = [
            i
            for i in near
            if corpus[i] not in own
            and min_score <= scores[i] <= max_score
            and scores[i] + absolute_margin <= farthest
            and (relative_margin == -np.inf or scores[i] <= farthest - abs(farthest) * relative_margin)
        ][:range_max][range_min:][:num_negatives]
        triplets += [(anchor, positive, corpus[i]) for positive in own for i in left]
    return triplets


def mined(pairs: list[tuple[str, str]], model: SimCSE, output: Path, **arguments: Any) -> list[Triplet]:
    counts = prepare_negatives(pairs, output, model, overwrite=True, **arguments)
    rows = read_examples(output).rows
    assert counts.written == len(rows)
    return rows


LIMITS: list[dict[str, Any]] = [
    {"num_negatives": 1, "range_max": 5},
    {"num_negatives": 3, "range_min": 2, "range_max": 8},
    {"num_negatives": 3, "range_max": 12, "max_score": 0.3, "min_score": 0.05},
    {"num_negatives": 2, "range_max": 15, "absolute_margin": 0.2},
    {"num_negatives": 2, "range_min": 1, "range_max": 15, "relative_margin": 0.3, "max_score": 0.5},
    {"num_negatives": 4, "range_max": 100, "max_score": 0.1},  # more than there are texts
]


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("queries", [3, 1024])
def test_the_top_ones_are_those_of_a_plain_loop(
    limits: dict[str, Any],
    queries: int,
    pairs: list[tuple[str, str]],
    minilm: SimCSE,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "QUERIES", queries)
    expected = by_loop(pairs, minilm, **limits)
    assert expected
    assert mined(pairs, minilm, tmp_path / "out.csv", **limits) == expected


@pytest.fixture(scope="module")
def peer() -> Any:
    from sentence_transformers import SentenceTransformer

    from simcse_kit.encoder.known import packaged_minilm

    if packaged_minilm() is None:
        pytest.skip("needs the extra offline")
    return SentenceTransformer(str(packaged_minilm()), device="cpu")


@pytest.mark.parametrize("limits", [{"num_negatives": 2}, {"num_negatives": 2, "relative_margin": 0.1}, *LIMITS])
def test_the_same_as_sentence_transformers(
    limits: dict[str, Any], pairs: list[tuple[str, str]], minilm: SimCSE, peer: Any, tmp_path: Path
) -> None:
    from datasets import Dataset
    from sentence_transformers.util import mine_hard_negatives

    data = Dataset.from_dict({"anchor": [a for a, _ in pairs], "positive": [p for _, p in pairs]})
    theirs = mine_hard_negatives(data, peer, output_format="triplet", verbose=False, **limits)
    expected = {(row["anchor"], row["positive"], row["negative"]) for row in theirs}
    assert expected
    assert set(mined(pairs, minilm, tmp_path / "out.csv", **limits)) == expected


def test_a_corpus_adds_texts_to_choose_from(minilm: SimCSE, tmp_path: Path) -> None:
    pairs = [("The cat sleeps.", "A cat is asleep."), ("It rains.", "Rain falls.")]
    corpus = ["The dog sleeps.", "It snows.", "The cat sleeps."]
    assert mined(pairs, minilm, tmp_path / "out.csv", corpus=corpus) == [
        ("The cat sleeps.", "A cat is asleep.", "The dog sleeps."),  # and not the anchor itself, which is nearer
        ("It rains.", "Rain falls.", "It snows."),
    ]


def test_random_ones_are_drawn_by_the_seed_from_the_candidates(
    pairs: list[tuple[str, str]], tiny: SimCSE, tmp_path: Path
) -> None:
    limits: dict[str, Any] = {"range_min": 1, "range_max": 5}
    allowed = set(mined(pairs, tiny, tmp_path / "all.csv", num_negatives=4, **limits))
    drawn: set[Triplet] = set()
    for seed in range(30):
        arguments = limits | {"num_negatives": 2, "sampling_strategy": "random", "seed": seed}
        rows = mined(pairs, tiny, tmp_path / "out.csv", **arguments)
        assert len(rows) == len(allowed) // 2  # two of the four, never one twice
        assert len(set(rows)) == len(rows)
        assert mined(pairs, tiny, tmp_path / "again.csv", **arguments) == rows
        drawn.update(rows)
    assert drawn == allowed


def test_shuffled_pairs_give_the_same_triplets(pairs: list[tuple[str, str]], tiny: SimCSE, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"num_negatives": 2, "absolute_margin": 0.0}
    rows = mined(pairs, tiny, tmp_path / "out.csv", **arguments)
    random.Random(0).shuffle(pairs)
    assert sorted(mined(pairs, tiny, tmp_path / "out.csv", **arguments)) == sorted(rows)


def test_every_pair_and_anchor_is_accounted_for(minilm: SimCSE, tmp_path: Path) -> None:
    pairs = [("The cat sleeps.", "A cat is asleep."), ("It rains.", "Rain falls."), ("It rains.", "Rain falls.")]
    counts = prepare_negatives([*pairs, ("", "")], tmp_path / "out.csv", minilm, num_negatives=2)
    # each anchor has only one other text: one negative where two are requested
    assert counts._asdict() == dict.fromkeys(counts._fields, 0) | {
        "pairs": 2,
        "empty_rows": 1,
        "repeated_pairs": 1,
        "anchors": 2,
        "corpus": 2,
        "anchors_short": 2,
        "written": 2,
    }
    with pytest.raises(DataError, match=r"no anchor has a negative within these limits .*max_score -1"):
        prepare_negatives(pairs, tmp_path / "none.csv", minilm, max_score=-1)
    assert not (tmp_path / "none.csv").exists()
    cosines = minilm.similarity(["The cat sleeps.", "It rains."], ["A cat is asleep.", "Rain falls."])
    limit = float(cosines[0, 1] + cosines[1, 0]) / 2  # one anchor's candidate is above, the other's below
    counts = prepare_negatives(pairs, tmp_path / "half.csv", minilm, max_score=limit)
    assert (counts.skipped_max_score, counts.anchors_without, counts.written) == (1, 1, 1)


def test_what_cannot_be_meant_is_said(pairs: list[tuple[str, str]], tiny: SimCSE, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    with pytest.raises(DataError, match="num_negatives must be at least 1; got 0"):
        prepare_negatives(pairs, out, tiny, num_negatives=0)
    with pytest.raises(DataError, match="range_min must be at least 0; got -1"):
        prepare_negatives(pairs, out, tiny, range_min=-1)
    with pytest.raises(DataError, match="between range_min 3 and range_max 4"):
        prepare_negatives(pairs, out, tiny, range_min=3, range_max=4, num_negatives=2)
    with pytest.raises(DataError, match="one of top, random; got 'best'"):
        prepare_negatives(pairs, out, tiny, sampling_strategy="best")
    with pytest.raises(DataError, match="already has hard negatives"):
        prepare_negatives([("A.", "B.", "C.")], out, tiny)
    assert not out.exists()
