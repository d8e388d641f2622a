"""Signs of harm: each by hand on points of a plane, and the gate that uses them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from simcse_kit.errors import DataError
from simcse_kit.evaluation.gate import gate
from simcse_kit.evaluation.signs import SearchSigns, nearest_others, signs, transitivity
from simcse_kit.types import Vectors

WORDS = [f"{topic} {number}" for topic in ("cat", "dog", "sun") for number in range(12)]  # three topics of twelve


def by_topic(texts: Sequence[str]) -> Vectors:
    """A topic is an angle, with its numbers close around it. A text without its topic is not near one."""
    angles = {"cat": 0.0, "dog": 120.0, "sun": 240.0}
    found = []
    for text in texts:
        words = text.split()
        topic = next((angles[word] for word in words if word in angles), 60.0)
        number = next((int(word) for word in words if word.isdigit()), 5)
        found.append(math.radians(topic + number / 10))
    return np.stack([np.cos(found), np.sin(found)], axis=1).astype(np.float32)


def test_neighbours_and_transitivity_by_hand() -> None:
    """Five points on a line, with two neighbours each: 0-1-2 are mutual except 2, whose nearest are 1 and 3."""
    points = np.radians([0.0, 1.0, 2.5, 4.5, 7.0])
    near = nearest_others(np.stack([np.cos(points), np.sin(points)], axis=1), 2)
    assert near.tolist() == [[1, 2], [0, 2], [1, 3], [2, 4], [3, 2]]
    # of 0: (1, 2) yes, (2, 1) yes; of 1: (0, 2) yes, (2, 0) no; of 2: (1, 3) no, (3, 1) no; of 3: (2, 4) no,
    # (4, 2) yes; of 4: (3, 2) yes, (2, 3) yes
    assert transitivity(near).tolist() == [1.0, 0.5, 0.0, 0.5, 1.0]


def test_signs_of_clear_topics() -> None:
    found = signs(by_topic, WORDS)
    assert (found.transitivity > 0.8).all()  # ten of the eleven others of a topic are near
    # nearest by words are those of the topic, and the two of other topics with the same number
    assert found.keywords.round(1).min() >= 0.7
    assert found.keywords.max() <= 0.8
    assert found.halves.mean() < 0.5  # the second half of "cat 3" is "3", which every topic has
    assert all(len(values) == len(WORDS) and (values >= 0).all() and (values <= 1).all() for values in found)


def test_the_same_seed_leaves_the_same_words_out() -> None:
    one, again, other = (signs(by_topic, WORDS, seed=seed).dropped for seed in (0, 0, 1))
    assert (one == again).all()
    assert (one != other).any()


def test_shuffled_vectors_lose_what_the_gate_looks_for() -> None:
    random = np.random.default_rng(0)

    def anywhere(texts: Sequence[str]) -> Vectors:
        return random.normal(size=(len(texts), 8)).astype(np.float32)

    before, after = signs(by_topic, WORDS), signs(anywhere, WORDS)
    assert gate(before, before).passed
    found = gate(before, after)
    assert not found.passed
    change = found.changes[0]
    assert change.name == "transitivity"
    assert change.change.high < 0
    assert change.after < change.before
    assert "failed" in found.line()
    assert f"{len(WORDS)} held-out texts" in found.line()


@pytest.mark.parametrize(
    ("shares", "fallen"),
    [
        ({}, ()),
        ({"transitivity": 0.89, "halves": 1.1}, ("transitivity",)),
        ({"dropped": 0.81}, ("dropped",)),
        ({"halves": 0.94}, ("transitivity", "halves")),  # their product is below 0.95
        ({"halves": 0.7, "transitivity": 1.4}, ()),  # one makes up for the other
        ({"keywords": 0.1}, ()),  # is looked at, and no harm shows in it alone
    ],
)
def test_signs_that_fell_are_named(shares: dict[str, float], fallen: tuple[str, ...]) -> None:
    before = SearchSigns(*(np.full(30, 0.5) for _ in SearchSigns._fields))
    found = gate(before, before._replace(**{sign: np.full(30, 0.5 * share) for sign, share in shares.items()}))
    assert found.fallen == fallen
    assert found.passed == (not fallen)
    assert found.line().startswith("failed" if fallen else "passed")
    assert found.line().count(" % before") == max(1, len(fallen))


def test_of_a_sign_that_was_0_nothing_is_lost() -> None:
    nothing = SearchSigns(*(np.zeros(30) for _ in SearchSigns._fields))
    assert gate(nothing, nothing).passed


def test_too_few_texts() -> None:
    with pytest.raises(DataError, match="at least 20 texts; got 19"):
        signs(by_topic, WORDS[:19])


def test_signs_have_one_value_for_each_text() -> None:
    assert SearchSigns._fields == ("transitivity", "keywords", "dropped", "halves")
