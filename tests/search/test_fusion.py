"""Two rankings as one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from simcse_kit.search.fusion import CODE_WEIGHT, DEPTH, WEIGHT, alone, fused
from simcse_kit.search.vectors import Nearest


def ranking(scores: list[float], rows: list[int] | None = None) -> Nearest:
    """Of one query."""
    numbers = list(range(len(scores))) if rows is None else rows
    return Nearest(np.array([scores], np.float32), np.array([numbers], np.int64))


def drawn(count: int, seed: int) -> Nearest:
    random = np.random.default_rng(seed)
    return ranking(sorted(random.random(count).tolist(), reverse=True), random.permutation(200)[:count].tolist())


def test_scores_are_deviations_above_the_last() -> None:
    """By hand: 3, 2, 1 deviate by the root of 2/3; by words one row is found, and 4, 0, 0 deviate by 4/3 root 2."""
    found = fused(ranking([3, 2, 1]), ranking([4, -np.inf, -np.inf], [2, -1, -1]), [0.5], 3)[0]
    deviation, by_words = np.sqrt(2 / 3), 0.5 * 4 / (4 / 3 * np.sqrt(2))
    assert [one.row for one in found] == [0, 1, 2]
    assert [one.score for one in found] == pytest.approx([2 / deviation, 1 / deviation, by_words])
    assert [one.ranks for one in found] == [(1, None), (2, None), (3, 1)]


def test_scales_of_the_scores_do_not_count() -> None:
    dense, words = drawn(100, 0), drawn(100, 1)
    plain = fused(dense, words, [0.3], 100)
    other = fused(dense._replace(scores=0.1 * dense.scores + 0.7), words._replace(scores=30 * words.scores), [0.3], 100)
    assert [one.row for one in plain[0]] == [one.row for one in other[0]]
    assert [one.score for one in plain[0]] == pytest.approx([one.score for one in other[0]], abs=1e-3)


def test_without_weight_the_order_is_that_by_meaning() -> None:
    dense = drawn(150, 0)
    found = fused(dense, drawn(150, 1), [0.0], 150)[0]
    assert [one.row for one in found] == dense.rows[0].tolist()


def test_of_equal_scores_none_stands_out() -> None:
    """Then the order is that by meaning; no score is lost, or not a number."""
    found = fused(ranking([1.0] * 5), ranking([2.0] * 5, [4, 3, 2, 1, 0]), [0.3], 5)[0]
    assert [one.row for one in found] == [0, 1, 2, 3, 4]
    assert all(one.score == 0 for one in found)


@pytest.mark.parametrize("more", [DEPTH, DEPTH + 50])
def test_what_lies_behind_the_best_changes_none_of_them(more: int) -> None:
    dense, words = drawn(200, 0), drawn(200, 1)
    cut = [Nearest(one.scores[:, :more], one.rows[:, :more]) for one in (dense, words)]
    whole = fused(dense, words, [0.3], 60)[0]
    assert [(one.row, one.score) for one in fused(*cut, [0.3], 60)[0]] == [(one.row, one.score) for one in whole]


def test_nothing_found_is_nothing() -> None:
    none = ranking([-np.inf], [-1])
    assert fused(none, none, [0.3], 5) == [[]]
    assert alone(none, 5) == [[]]
    empty = Nearest(np.zeros((2, 0), np.float32), np.zeros((2, 0), np.int64))
    assert fused(empty, empty, [0.3, 0.3], 5) == [[], []]


def test_what_was_measured_is_these_weights_and_harms_no_domain() -> None:
    """The gain on documents of plain fusion stays, and no domain of short texts loses half a point."""
    path = Path(__file__).parents[2] / "eval" / "results" / "hybrid.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    weights = found["weights"]
    assert (weights["words"], weights["words_with_code"], weights["depth"]) == (WEIGHT, CODE_WEIGHT, DEPTH)
    ways = {name: own["ways"] for name, own in found["domains"].items()}
    assert ways["cranfield"]["hybrid"]["change"] > 0.9 * ways["cranfield"]["plain"]["change"] > 0
    assert min(own["hybrid"]["change"] for own in ways.values()) > -0.5
    assert ways["codes"]["hybrid"]["score"] > 90 > 50 > ways["codes"]["dense"]["score"]
