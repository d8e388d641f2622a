"""A step in parts has the gradient of the whole step, dropout included."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from simcse_kit.data import LabelledTexts
from simcse_kit.training.gradcache import cached_step
from simcse_kit.training.job import Job, prepare
from simcse_kit.training.objective import WholeBatch
from simcse_kit.training.sampling import Item
from simcse_kit.training.settings import TrainSettings

pytestmark = pytest.mark.filterwarnings("ignore::simcse_kit.errors.Notice")


def ready(mode: str, data: Any, folder: Path, **given: Any) -> Job:
    values: dict[str, Any] = {"model": folder, "batch_size": 16, "device": "cpu", "bf16": False}
    return prepare(mode, data, Path("not-made"), TrainSettings(**(values | given)))  # type: ignore[typeddict-item]


def gradients(job: Job, *, cached: bool) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients of one step over all rows, from the same random state."""
    objective = job.objective.train()
    objective.zero_grad()
    batch = job.rows.collate([Item(0, row) for row in range(len(job.data))])
    assert len(batch["groups"]) > 3
    for _ in range(2):  # the second time a momentum queue holds something
        objective.zero_grad()
        torch.manual_seed(5)
        if cached:
            loss = cached_step(objective, objective, backward=Tensor.backward, **batch)
        else:
            loss = objective(WholeBatch.of(**batch))
            loss.backward()
    found = {name: p.grad.clone() for name, p in objective.named_parameters() if p.grad is not None}
    return float(loss), found


def assert_same(one: tuple[float, dict[str, Tensor]], other: tuple[float, dict[str, Tensor]], bound: float) -> None:
    assert one[0] == pytest.approx(other[0], rel=1e-6)
    assert one[1].keys() == other[1].keys()
    total = torch.cat([g.flatten() for g in other[1].values()]).norm()
    assert total > 0.01
    difference = torch.cat([(one[1][name] - other[1][name]).flatten() for name in other[1]]).norm()
    assert difference / total < bound


UNSUP: dict[str, dict[str, Any]] = {
    "plain": {},
    "mlm": {"mlm_weight": 0.5},
    "simclr": {"objective": "simclr"},
    "learned temperature": {"learn_temperature": True},
    "queue": {"momentum_queue": 2.0, "augmentation": ("repetition",)},
    "noise": {"noise_negatives": 1.0},
    "cutoff": {"augmentation": ("cutoff",)},
    "template": {"recipe": "promptbert"},
    "matryoshka": {"matryoshka_dims": (32, 8)},
}


@pytest.mark.parametrize("name", UNSUP)
def test_unsupervised(name: str, bert: Path, sentences: list[str]) -> None:
    jobs = [ready("unsup", sentences, bert, mini_batch_size=8, **UNSUP[name]) for _ in range(2)]
    assert_same(gradients(jobs[0], cached=True), gradients(jobs[1], cached=False), 1e-5)


@pytest.mark.parametrize("settings", [{}, {"mlm_weight": 0.5, "train_head": "mlp"}, {"bidirectional": True}])
def test_triplets(settings: dict[str, Any], bert: Path, triplets: list[Any]) -> None:
    jobs = [ready("sup", triplets, bert, mini_batch_tokens=80, **settings) for _ in range(2)]
    assert_same(gradients(jobs[0], cached=True), gradients(jobs[1], cached=False), 1e-5)


@pytest.mark.parametrize("settings", [{}, {"dropout_views": True, "learn_temperature": True}])
def test_classes(settings: dict[str, Any], bert: Path, sentences: list[str]) -> None:
    data = LabelledTexts(sentences, [str(i % 5) for i in range(40)], "made")
    jobs = [ready("sup", data, bert, mini_batch_size=8, **settings) for _ in range(2)]
    assert_same(gradients(jobs[0], cached=True), gradients(jobs[1], cached=False), 1e-5)


@pytest.mark.parametrize("kind", ["roberta", "modernbert", "mpnet", "gpt2", "llama"])
def test_every_architecture(kind: str, tiny_model: Callable[[str], Path], triplets: list[Any]) -> None:
    pooling = "last_token" if kind in ("gpt2", "llama") else "mean"
    given = {"pooling": pooling, "mini_batch_size": 7, **({} if kind == "llama" else {"dropout": 0.2})}
    jobs = [ready("sup", triplets, tiny_model(kind), **given) for _ in range(2)]
    assert_same(gradients(jobs[0], cached=True), gradients(jobs[1], cached=False), 1e-5)


def test_without_dropout_parts_equal_one_pass(bert: Path, triplets: list[Any]) -> None:
    """Here no draw has to be repeated, so the groups may be others."""
    parts = ready("sup", triplets, bert, dropout=0.0, mini_batch_size=7)
    whole = ready("sup", triplets, bert, dropout=0.0)
    assert_same(gradients(parts, cached=True), gradients(whole, cached=False), 1e-5)


def test_the_draws_matter(bert: Path, sentences: list[str]) -> None:
    """Were they not repeated in the second pass, the gradient would be another one."""
    jobs = [ready("unsup", sentences, bert, mini_batch_size=8) for _ in range(2)]
    one, other = gradients(jobs[0], cached=False), gradients(jobs[1], cached=False)
    assert_same(one, other, 1e-6)
    torch.manual_seed(6)
    jobs[1].objective.zero_grad()
    batch = jobs[1].rows.collate([Item(0, row) for row in range(len(jobs[1].data))])
    jobs[1].objective(WholeBatch.of(**batch)).backward()
    moved = {name: p.grad for name, p in jobs[1].objective.named_parameters() if p.grad is not None}
    with pytest.raises(AssertionError):
        assert_same(one, (one[0], moved), 1e-2)


def test_the_random_state_afterwards_is_that_of_the_whole_step(bert: Path, sentences: list[str]) -> None:
    jobs = [ready("unsup", sentences, bert, mini_batch_size=8, mlm_weight=0.1) for _ in range(2)]
    after = []
    for job, cached in zip(jobs, (True, False), strict=True):
        gradients(job, cached=cached)
        after.append(torch.rand(3))
    assert torch.equal(after[0], after[1])
