"""Small data: smaller batches and more epochs, unless the user sets them."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcse_kit import errors
from simcse_kit.errors import Notice
from simcse_kit.training.config import SMALLEST, STEPS, make_config
from simcse_kit.training.fitted import fit_to_rows, steps_of


def fitted(rows: int, *, ranks: int = 1, labelled: bool = False, mode: str = "sup", **given_: Any) -> tuple[Any, ...]:
    """Batch size, epochs, steps, and the automatic choices."""
    config = make_config(mode, {"model": "m"} | given_, labelled=labelled)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = fit_to_rows(config, given_, rows, ranks)
    return found.config.batch_size, found.config.epochs, steps_of(found.config, rows, ranks), found.chosen


@pytest.mark.parametrize(
    ("rows", "given_", "expected"),
    [
        (2000, {}, (200, 10, 100, ("batch_size", "epochs"))),  # were 12 steps of 512
        (300, {}, (24, 8, 104, ("batch_size", "epochs"))),  # 30 is no multiple of 8; 13 steps an epoch
        (100, {}, (16, 15, 105, ("batch_size", "epochs"))),  # 7 steps an epoch
        (10_000, {}, (512, 5, 100, ("epochs",))),  # a tenth is more than the default
        (20_000, {}, (512, 3, 120, ())),
        (2000, {"batch_size": 512}, (512, 25, 100, ("epochs",))),
        (2000, {"epochs": 3}, (56, 3, 108, ("batch_size",))),
        (2000, {"epochs": 1}, (16, 1, 125, ("batch_size",))),
        (2000, {"epochs": 3, "batch_size": 512}, (512, 3, 12, ())),
        (2000, {"recipe": "sup-bert-base"}, (512, 3, 12, ())),
        (1000, {"objective": "cosent"}, (64, 7, 112, ("epochs",))),
    ],
)
def test_pairs(rows: int, given_: dict[str, Any], expected: tuple[Any, ...]) -> None:
    assert fitted(rows, **given_) == expected


def test_classes_and_ranks() -> None:
    """Batches are whole groups of a class, and two classes at least."""
    assert fitted(616, labelled=True)[2] >= STEPS
    batch, _, _, _ = fitted(616, labelled=True)
    assert batch % 4 == 0
    assert fitted(100, labelled=True, texts_per_class=10)[0] == 20
    assert fitted(2000, ranks=2) == (96, 10, 110, ("batch_size", "epochs"))  # 192 in both


def test_unsupervised_runs_stay() -> None:
    assert fitted(500, mode="unsup")[3] == ()


@settings(max_examples=100, deadline=None)
@given(rows=st.integers(SMALLEST, 40_000), labelled=st.booleans())
def test_always_enough_steps_and_never_a_tiny_batch(rows: int, labelled: bool) -> None:
    batch, epochs, steps, _ = fitted(rows, labelled=labelled)
    assert steps >= STEPS
    assert SMALLEST <= batch <= (96 if labelled else 512)
    assert epochs >= 3


def test_what_was_chosen_is_said() -> None:
    config = make_config("sup", {"model": "m"})
    errors._said.clear()
    with pytest.warns(
        Notice, match=r"2,000 rows would give only 12 steps with batch_size 512 and epochs 3; the run uses batch_si"
    ):
        fit_to_rows(config, {}, 2000, 1)
