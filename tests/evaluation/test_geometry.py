"""How vectors lie and what similarity mistakes for meaning, on numbers worked by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from simcse_kit.errors import DataError
from simcse_kit.evaluation import alignment, evaluate_geometry, hubness, spectrum, uniformity
from simcse_kit.types import ScoredPairs
from support.senteval import WRITTEN_PAIRS, encode_angles, write_benchmark


def test_sts_b_is_measured_with_its_splits_together(senteval: Path) -> None:
    scores = evaluate_geometry(encode_angles, senteval).scores
    assert scores["alignment"] == pytest.approx(2 - 2 * math.cos(math.radians(10)))
    repeated = [text for first, second, _ in WRITTEN_PAIRS for text in (first, second)] * 3
    assert scores["uniformity"] == pytest.approx(uniformity(encode_angles(repeated)), abs=1e-6)


def test_once_is_once(senteval: Path) -> None:
    scores = evaluate_geometry(encode_angles, senteval, dedupe=True).scores
    distinct = [f"angle {a}" for a in (0, 10, 40, 80)]
    assert scores["uniformity"] == pytest.approx(uniformity(encode_angles(distinct)), abs=1e-6)


def test_a_split_is_that_split(senteval: Path) -> None:
    write_benchmark(senteval / "STS/STSBenchmark/sts-dev.csv", [("angle 0", "angle 90", 5), ("angle 0", "angle 5", 1)])
    assert evaluate_geometry(encode_angles, senteval, split="dev").scores["alignment"] == pytest.approx(2)
    assert evaluate_geometry(encode_angles, senteval, split="test").scores["alignment"] < 0.1


def test_own_pairs_have_their_own_scale() -> None:
    pairs = ScoredPairs(["angle 0", "angle 0"], ["angle 60", "angle 90"], np.array([0.9, 0.5]), "mine")
    assert evaluate_geometry(encode_angles, pairs).scores["alignment"] == pytest.approx(1)  # 0.9 is above 80 % of 1
    with pytest.raises(DataError, match="own pairs are measured whole"):
        evaluate_geometry(encode_angles, pairs, split="dev")
    with pytest.raises(DataError, match="one of all, train, dev, test; got 'nope'"):
        evaluate_geometry(encode_angles, pairs, split="nope")


def test_a_model_that_counts_words_is_found_out() -> None:
    """Similarity by length alone has all of its error in the length; by common words, in those."""
    draw = np.random.default_rng(0)
    vocabulary = [f"w{i}" for i in range(30)]
    texts = [" ".join(draw.choice(vocabulary, draw.integers(2, 20), replace=False)) for _ in range(600)]
    pairs = ScoredPairs(texts[:300], texts[300:], draw.uniform(0, 5, 300), "mine")

    def by_length(sentences: list[str]) -> np.ndarray:
        return np.array([[1.0, len(sentence.split()) / 10] for sentence in sentences], dtype=np.float32)

    def by_words(sentences: list[str]) -> np.ndarray:
        return np.array([[word in sentence.split() for word in vocabulary] for sentence in sentences], dtype=np.float32)

    length, words = (evaluate_geometry(encode, pairs).scores for encode in (by_length, by_words))
    assert length["length bias"] < -0.5
    assert words["overlap bias"] > 0.6
    assert abs(length["overlap bias"]) < words["overlap bias"]


def test_a_hub_shows_and_a_ring_has_none() -> None:
    ring = np.stack([np.cos(np.arange(40) * np.pi / 20), np.sin(np.arange(40) * np.pi / 20)], axis=1)
    assert hubness(ring, k=2) == 0
    draw = np.random.default_rng(0)
    spread = draw.standard_normal((300, 200))
    hub = np.concatenate([spread, spread.mean(0, keepdims=True)])  # near to all of them
    assert hubness(hub) > hubness(spread) + 2
    assert math.isnan(hubness(ring[:10]))


@pytest.mark.parametrize("chunk", [7, 1024])
def test_hubness_by_hand(chunk: int) -> None:
    x = np.random.default_rng(1).standard_normal((50, 5))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    often = np.zeros(50)
    for i in range(50):
        often[sorted((j for j in range(50) if j != i), key=lambda j: -(x[i] @ x[j]))[:3]] += 1
    centred = often - often.mean()
    assert hubness(x, k=3, chunk=chunk) == pytest.approx((centred**3).mean() / (centred**2).mean() ** 1.5)


def test_the_spectrum_shares_out_everything() -> None:
    x = np.random.default_rng(0).standard_normal((100, 8))
    shares = spectrum(x)
    assert shares.sum() == pytest.approx(1)
    assert (np.diff(shares) <= 0).all()
    assert spectrum(np.outer(np.arange(1, 9), np.ones(4)))[0] == pytest.approx(1)  # one direction


def test_the_geometry_of_sts_is_this_one(senteval: Path) -> None:
    vectors = encode_angles(["angle 0", "angle 10"])
    scores = evaluate_geometry(encode_angles, senteval).scores
    assert scores["alignment"] == pytest.approx(alignment(vectors[:1], vectors[1:]))
