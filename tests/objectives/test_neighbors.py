"""Neighbor distillation: targets by hand, and its loss."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from simcse_kit.errors import TrainingError
from simcse_kit.objectives import OBJECTIVES, LossBatch
from simcse_kit.training.config import make_config
from simcse_kit.training.targets import Targets, read_targets, targets_mark, write_targets
from simcse_kit.types import Vectors

ANGLES = {"a": 0.0, "b": 10.0, "c": 25.0, "d": 90.0, "e": 100.0, "f": 115.0}
TEXTS = list(ANGLES)


class Plane:
    """A teacher with vectors in a plane, given by their angles."""

    def get_embedding_dimension(self) -> int:
        return 2

    def encode_document(self, texts: list[str], *, normalize_embeddings: bool) -> Vectors:
        angles = np.radians([ANGLES[text] for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def targets_of(folder: Path, texts: list[str] = TEXTS, **settings: Any) -> Vectors:
    objective = OBJECTIVES.get("neighbors")(**settings)
    mark = targets_mark(texts, "plane", objective)
    write_targets(folder, mark, texts, Plane(), objective)  # type: ignore[arg-type]
    found = read_targets(folder, mark)
    assert found is not None
    return np.array(found)


def degrees(vectors: Vectors) -> list[float]:
    return np.degrees(np.arctan2(vectors[:, 1], vectors[:, 0])).round(3).tolist()


def test_targets_of_six_points_by_hand(tmp_path: Path) -> None:
    """With one neighbour, a and b are each other's: both distances are their scale, so the weight is 1/e, and that
    of the own vector 4. The nearest of c is b, whose nearest is a: c keeps its place. tan = sin 10 / (4e + cos 10).
    """
    moved = math.degrees(math.atan2(math.sin(math.radians(10)), 4 * math.e + math.cos(math.radians(10))))
    expected = [moved, 10 - moved, 25, 90 + moved, 100 - moved, 115]
    assert degrees(targets_of(tmp_path / "one", neighbors=1)) == pytest.approx(expected, abs=2e-3)


def test_targets_equal_a_slow_reference(tmp_path: Path) -> None:
    """The formula in loops: weights exp(-d / sqrt(s s')) of the three nearest that are mutual."""
    vectors = Plane().encode_document(TEXTS, normalize_embeddings=True).astype(np.float64)
    cosines = vectors @ vectors.T
    near = [[j for j in np.argsort(-row) if j != i][:3] for i, row in enumerate(cosines)]
    scale = [1 - cosines[i, others[-1]] for i, others in enumerate(near)]  # fewer than seven: the farthest
    expected = []
    for i, others in enumerate(near):
        total = 4 * vectors[i]
        for j in others:
            if i in near[j]:
                total += math.exp(-(1 - cosines[i, j]) / math.sqrt(scale[i] * scale[j])) * vectors[j]
        expected.append(total / np.linalg.norm(total))
    assert targets_of(tmp_path / "three", neighbors=3) == pytest.approx(np.array(expected), abs=1e-5)


def test_more_neighbours_than_texts_are_all_texts(tmp_path: Path) -> None:
    few = TEXTS[:3]
    assert targets_of(tmp_path / "all", few, neighbors=50) == pytest.approx(
        targets_of(tmp_path / "two", few, neighbors=2), abs=1e-6
    )


def test_the_order_of_the_texts_does_not_matter(tmp_path: Path) -> None:
    there = targets_of(tmp_path / "there", neighbors=2)
    back = targets_of(tmp_path / "back", TEXTS[::-1], neighbors=2)
    assert back[::-1] == pytest.approx(there, abs=1e-6)


def test_the_mark_is_of_texts_teacher_and_settings() -> None:
    kind = OBJECTIVES.get("neighbors")
    marks = [
        targets_mark(TEXTS, "plane", kind()),
        targets_mark(TEXTS, "other", kind()),
        targets_mark(TEXTS[1:], "plane", kind()),
        targets_mark(["ab", *TEXTS[2:]], "plane", kind()),
        targets_mark(TEXTS, "plane", kind(neighbors=7)),
        targets_mark(TEXTS, "plane", kind(own_weight=1.0)),
    ]
    assert len(set(marks)) == len(marks)
    assert marks[0] == targets_mark(list(TEXTS), "plane", kind())


def test_targets_of_another_mark_are_not_read(tmp_path: Path) -> None:
    targets_of(tmp_path / "one", neighbors=1)
    assert read_targets(tmp_path / "one", "something else") is None
    assert read_targets(tmp_path / "nowhere", "something else") is None


def test_rows_find_the_targets_of_their_texts() -> None:
    vectors = np.eye(3, dtype=np.float32)
    found = Targets(vectors, np.array([[0], [2], [0]]))[[2, 1]]
    assert found.tolist() == [[[1, 0, 0]], [[0, 0, 1]]]


def test_the_loss_by_hand() -> None:
    """At its targets, two orthogonal ones, the cosine costs nothing and the rest is the targets' own entropy: at
    temperature 1 of softmax(1, 0), p = e / (1 + e).
    """
    objective = OBJECTIVES.get("neighbors")(temperature=1.0)
    targets = torch.eye(2)
    p = math.e / (1 + math.e)
    entropy = -(p * math.log(p) + (1 - p) * math.log(1 - p))
    batch = LossBatch([targets], 1.0, teachers=[targets[:, None]])
    assert float(objective.loss(batch)) == pytest.approx(entropy, abs=1e-6)
    swapped = batch._replace(
        views=[targets.flip(0)]
    )  # cosine 0 with the own target, log p and log (1 - p) change places
    crossed = -(p * math.log(1 - p) + (1 - p) * math.log(p))
    assert float(objective.loss(swapped)) == pytest.approx(5 + crossed, abs=1e-6)


def test_a_wider_teacher_teaches_by_similarities() -> None:
    """Three texts with the teacher's similarities have the lowest possible loss, the entropy of its lists."""
    objective = OBJECTIVES.get("neighbors")()
    student = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.2], [0.0, 1.0]]), dim=1)
    wide = torch.cat([student, torch.zeros(3, 2)], dim=1)
    same = float(objective.loss(LossBatch([student], 0.05, teachers=[wide[:, None]])))
    other = float(objective.loss(LossBatch([student.flip(0)], 0.05, teachers=[wide[:, None]])))
    assert 0 < same < other


def test_one_teacher_at_most() -> None:
    with pytest.raises(TrainingError, match="objective neighbors takes one teacher; got a, b"):
        make_config("unsup", {"model": "m", "objective": "neighbors", "teacher": ["a", "b"]})
