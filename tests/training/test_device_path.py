"""What a run does on an accelerator, as far as it can be done on a CPU: packed batches, batches from a worker."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from simcse_kit import TrainingError
from simcse_kit.encoder.packed import packed_attention
from simcse_kit.training.config import make_config
from simcse_kit.training.gradcache import cached_step
from simcse_kit.training.job import Job, prepare
from simcse_kit.training.sampling import EpochBatches, Item
from simcse_kit.training.settings import TrainSettings
from simcse_kit.training.trainer import _Batches

pytestmark = pytest.mark.filterwarnings("ignore::simcse_kit.errors.Notice")


def ready(mode: str, data: Any, folder: Path, **given: Any) -> Job:
    values: dict[str, Any] = {"model": folder, "batch_size": 16, "device": "cpu", "bf16": False, "dropout": 0.0}
    return prepare(mode, data, Path("not-made"), TrainSettings(**(values | given)))  # type: ignore[typeddict-item]


def step(job: Job, *, packs: bool) -> dict[str, Tensor]:
    """Loss and gradients of one step over all rows."""
    objective = job.objective.train()
    job.rows.packs = packs
    batch = job.rows.collate([Item(0, row) for row in range(len(job.data))])
    assert any("starts" in group for group in batch["groups"]) == packs
    torch.manual_seed(5)
    with packed_attention(job.model.encoder.backbone) if packs else nullcontext():
        if job.config.cached:
            loss = cached_step(objective, objective, backward=Tensor.backward, **batch)
        else:
            loss = objective(**batch)["loss"]
            loss.backward()
    return {"loss": loss.detach()} | {n: p.grad.clone() for n, p in objective.named_parameters() if p.grad is not None}


SETTINGS: dict[str, dict[str, Any]] = {
    "triplets": {},
    "in parts": {"mini_batch_size": 8},
    "queue": {"momentum_queue": 2.0},
    "template": {"recipe": None, "template": 'This sentence : "[X]" means [MASK].', "pooling": "mask"},
    "mlm": {"mlm_weight": 0.5},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_packed_step_is_a_padded_one(name: str, bert: Path, triplets: list[Any]) -> None:
    packed, padded = (step(ready("sup", triplets, bert, **SETTINGS[name]), packs=packs) for packs in (True, False))
    assert packed.keys() == padded.keys()
    for weight, tensor in padded.items():
        torch.testing.assert_close(
            packed[weight], tensor, atol=1e-5, rtol=1e-4, msg=lambda text, n=weight: f"{n}: {text}"
        )


def test_batches_from_a_worker_are_the_same(bert: Path, sentences: list[str]) -> None:
    """With an augmentation, which draws random numbers, over two epochs."""
    job = ready("unsup", sentences, bert, augmentation="repetition", dropout=0.1)
    job.rows.packs = True
    seen: list[list[Any]] = []
    for workers in (0, 1):
        batches = EpochBatches(len(job.rows), 8, seed=3)
        loader = _Batches(job.rows, batch_sampler=batches, collate_fn=job.rows.collate, num_workers=workers)
        found: list[Any] = []
        for epoch in (0, 1):
            loader.set_epoch(epoch)
            found += [group["input_ids"] for batch in loader for group in batch["groups"]]
        seen.append(found)
    assert len(seen[0]) > 4
    for one, other in zip(*seen, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("other", [{"mini_batch_size": 8}, {"gradient_checkpointing": True}])
def test_compiling_does_not_go_with_embedding_twice(other: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match="torch_compile does not go with"):
        make_config("unsup", {"model": "m", "torch_compile": True} | other)


def test_compiling_is_for_accelerators(bert: Path, sentences: list[str]) -> None:
    with pytest.raises(TrainingError, match="torch_compile is for accelerators"):
        ready("unsup", sentences, bert, dropout=0.1, torch_compile=True)
    assert not ready("unsup", sentences, bert, dropout=0.1).compiles
