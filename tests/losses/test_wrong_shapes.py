"""What a loss cannot use is an error that names the argument, before any product of matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from simcse_kit import TrainingError
from simcse_kit.losses import (
    angle,
    consistency,
    cosent,
    info_nce,
    list_mle,
    list_net,
    noise_negatives,
    nt_xent,
    sup_con,
)

TWO, THREE, NARROW = torch.eye(2, 4), torch.eye(3, 4), torch.eye(2, 3)
GOLD = torch.tensor([1.0, 0.0])
OF_VECTORS: list[Callable[..., Any]] = [
    info_nce,
    nt_xent,
    consistency,
    lambda first, second, **more: cosent(first, second, GOLD, **more),
    lambda first, second, **more: angle(first, second, GOLD, **more),
    lambda first, second, **more: sup_con(first, torch.tensor([0, 0]), second, **more),
    lambda first, second, **more: noise_negatives(first, second, 2, **more),
]


@pytest.mark.parametrize("loss", OF_VECTORS)
@pytest.mark.parametrize("second", [THREE, NARROW, TWO[0], TWO.long(), TWO.numpy()])
def test_vectors_have_one_shape(loss: Callable[..., Any], second: Any) -> None:
    shape = r"\(3, 4\)|\(2, 3\)|\(4,\)|\(2, 4\) of int64|numpy\.ndarray"
    with pytest.raises(
        TrainingError, match=rf"(of one shape \(B, D\) are needed|must be a floating).*; got .*({shape})"
    ):
        loss(TWO, second)


@pytest.mark.parametrize("loss", OF_VECTORS)
@pytest.mark.parametrize("value", [0, 0.0, -1.0, float("nan")])
def test_a_temperature_is_above_0(loss: Callable[..., Any], value: float) -> None:
    name = "scale" if loss in OF_VECTORS[3:5] else "temperature"
    with pytest.raises(TrainingError, match=rf"^{name} must be above 0; got {value}$"):
        loss(TWO, TWO, **{name: value})
    loss(TWO, TWO, **{name: 1})


def test_other_arguments_of_vectors() -> None:
    with pytest.raises(TrainingError, match=r"got anchors \(2, 4\), positives \(2, 4\), hard_negatives \(3, 4\)$"):
        info_nce(TWO, TWO, THREE)
    with pytest.raises(TrainingError, match=r"^extra_negatives must have vectors of 4 dimensions; got \(2, 3\)"):
        info_nce(TWO, TWO, extra_negatives=NARROW)
    info_nce(TWO, TWO, TWO, extra_negatives=THREE)
    with pytest.raises(TrainingError, match=r"^ids must be a tensor of shape \(2,\); got \(3,\) of int64$"):
        nt_xent(TWO, TWO, ids=torch.arange(3))
    with pytest.raises(TrainingError, match=r"^gold must be a tensor of shape \(2,\); got list$"):
        cosent(TWO, TWO, [1.0, 0.0])  # type: ignore[arg-type]


@pytest.mark.parametrize("loss", [list_net, list_mle])
def test_similarities_are_square(loss: Callable[..., Any]) -> None:
    with pytest.raises(TrainingError, match=r"must be a tensor of shape \(B, B\); got \(2, 4\) of float32$"):
        loss(TWO, TWO)
    with pytest.raises(TrainingError, match=r"of one shape \(B, B\) are needed; got .* \(2, 2\), .* \(3, 3\)$"):
        loss(torch.eye(2), torch.eye(3))
    with pytest.raises(TrainingError, match=r"got numpy\.ndarray$"):
        loss(torch.eye(2), np.eye(2))
