"""SupCon as an objective: its loss by hand, and its combinations."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from simcse_kit.errors import TrainingError
from simcse_kit.objectives import OBJECTIVES, LossBatch
from simcse_kit.training.config import make_config


def test_the_loss_by_hand() -> None:
    """Two classes of two equal texts, orthogonal to the others, at temperature 1/2: one positive at e^2, two negatives
    at 1. The twins of dropout, here equal, are positives too: three at e^2, four at 1.
    """
    views, labels = torch.eye(2).repeat(2, 1), torch.tensor([0, 1, 0, 1])
    one, two = OBJECTIVES.get("supcon")(), OBJECTIVES.get("supcon")(dropout_views=True)
    single = one.loss(LossBatch([views], 0.5, labels=labels))
    assert float(single) == pytest.approx(math.log(1 + 2 / math.e**2), rel=1e-6)
    both = two.loss(LossBatch([views, views], 0.5, labels=labels))
    assert float(both) == pytest.approx(math.log(3 + 4 / math.e**2), rel=1e-6)
    assert (one.views(1), two.views(1)) == ((0,), (0, 0))


def test_a_label_column_chooses_it_and_its_recipe() -> None:
    config = make_config("sup", {"model": "m"}, labelled=True)
    assert config.objective.name == "supcon"
    assert (config.batch_size, config.max_seq_length, config.train_head) == (96, 64, "none")
    assert not config.no_duplicates
    assert config.pooling is None  # the model's own
    assert make_config("sup", {"model": "m", "recipe": "supcon"}, labelled=True).flat() == config.flat() | {
        "recipe": "supcon"
    }


@pytest.mark.parametrize(
    ("mode", "labelled", "settings", "message"),
    [
        ("sup", False, {"objective": "supcon"}, r"objective supcon needs the class of each text: .*--label-column"),
        ("sup", False, {"recipe": "supcon"}, r"objective supcon needs the class of each text"),
        ("sup", True, {"objective": "cosent"}, r"label_column .* needs objective supcon; got .*cosent"),
        ("sup", True, {"recipe": "angle"}, r"needs objective supcon; got .*angle"),
        ("sup", False, {"text_column": "body"}, "text_column needs label_column"),
        ("unsup", True, {}, r"label_column .* needs train sup; got train unsup"),
        (
            "sup",
            True,
            {"no_duplicates": True},
            r"no_duplicates does not apply to objective supcon",
        ),
        ("sup", True, {"batch_size": 7}, r"batch_size must fit 4 texts of two classes: at least 8; got 7"),
        ("sup", True, {"texts_per_class": 1}, r"texts_per_class must be at least 2; got 1"),
        (
            "sup",
            True,
            {"hard_negative_weight": 1.0},
            r"hard_negative_weight is a setting of objective simcse, not of supc",
        ),
    ],
)
def test_what_does_not_go_together(mode: str, labelled: bool, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        make_config(mode, {"model": "m"} | settings, labelled=labelled)
