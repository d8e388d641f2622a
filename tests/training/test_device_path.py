"""The accelerator path of a run, as far as a CPU can run it: packed batches, batches from a worker."""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from simcse_kit import TrainingError, TrainListener, train_unsup
from simcse_kit.encoder.speed.packed import packed_attention
from simcse_kit.errors import TrainingInterrupted
from simcse_kit.training import fit, settled
from simcse_kit.training.config import make_config
from simcse_kit.training.gradcache import cached_step
from simcse_kit.training.job import Job, prepare
from simcse_kit.training.objective import WholeBatch
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
    with packed_attention(job.model.encoder.backbone) if packs else nullcontext():
        for _ in range(2):  # the second time a momentum queue holds something
            objective.zero_grad()
            torch.manual_seed(5)
            if job.config.cached:
                loss = cached_step(objective, objective, backward=Tensor.backward, **batch)
            else:
                loss = objective(WholeBatch.of(**batch))
                loss.backward()
    if job.config.flat()["momentum_queue"]:
        assert objective.queue is not None
        assert objective.queue.negatives()[0] is not None
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


def test_feature_cutoff_is_not_packed(bert: Path, sentences: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It zeroes other features of each sentence; of a packed row it would see one."""
    monkeypatch.setattr("simcse_kit.training.job.packs", lambda encoder: True)
    assert ready("unsup", sentences, bert, dropout=0.1).rows.packs
    assert not ready("unsup", sentences, bert, augmentation="cutoff").rows.packs


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
            found += [tensor for batch in loader for tensor in tensors_of(batch)]
        seen.append(found)
    assert len(seen[0]) > 20
    for one, other in zip(*seen, strict=True):
        assert torch.equal(one, other)


def tensors_of(batch: dict[str, Any]) -> list[Tensor]:
    groups = [group[name] for group in batch["groups"] for name in sorted(group)]
    return [*groups, batch["places"], batch["ids"]]


@pytest.fixture
def with_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = fit._arguments

    def changed(job: Job) -> Any:
        made = arguments(job)
        made.dataloader_num_workers = 1
        return made

    monkeypatch.setattr(fit, "_arguments", changed)


LIFE: dict[str, Any] = {"batch_size": 8, "eval_steps": 2, "device": "cpu", "bf16": False, "augmentation": "repetition"}


def test_a_run_with_a_worker_is_the_same_run(
    bert: Path, sentences: list[str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    train_unsup(sentences, tmp_path / "plain", model=bert, epochs=2, **LIFE)
    request.getfixturevalue("with_worker")
    train_unsup(sentences, tmp_path / "worker", model=bert, epochs=2, **LIFE)
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (tmp_path / "worker" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


@pytest.mark.usefixtures("with_worker")
def test_a_signal_to_the_group_stops_a_run_with_a_worker(bert: Path, sentences: list[str], tmp_path: Path) -> None:
    """As sent by torchrun and schedulers; the run continues from there to the same end."""

    class Terminate(TrainListener):
        def stepped(self, step: int, steps: int) -> None:
            if step == 3:
                for worker in multiprocessing.active_children():
                    assert worker.pid is not None
                    os.kill(worker.pid, signal.SIGTERM)
                signal.raise_signal(signal.SIGTERM)

    with pytest.raises(TrainingInterrupted, match="stopped after step 3"):
        train_unsup(sentences, tmp_path / "run", model=bert, epochs=2, listener=Terminate(), **LIFE)
    train_unsup(sentences, tmp_path / "run", model=bert, epochs=2, resume=True, **LIFE)
    train_unsup(sentences, tmp_path / "whole", model=bert, epochs=2, **LIFE)
    both = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("run", "whole")]
    assert both[0] == both[1]


@pytest.mark.parametrize("other", [{"mini_batch_size": 8}, {"gradient_checkpointing": True}])
def test_compiling_does_not_go_with_embedding_twice(other: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match="torch_compile cannot be combined with"):
        make_config("unsup", {"model": "m", "torch_compile": True} | other)


def test_compiling_is_for_accelerators(bert: Path, sentences: list[str]) -> None:
    with pytest.raises(TrainingError, match="torch_compile needs an accelerator"):
        ready("unsup", sentences, bert, dropout=0.1, torch_compile=True)
    assert not ready("unsup", sentences, bert, dropout=0.1).compiles


@pytest.mark.parametrize("objective", ["distill", "simclr"])
def test_a_margin_of_0_is_a_setting_too(objective: str) -> None:
    more = {"distill": {"teacher": "t", "train_head": "none"}, "simclr": {"augmentation": "deletion"}}[objective]
    with pytest.raises(TrainingError, match="false_negative_margin is a setting of objective simcse"):
        make_config("unsup", {"model": "m", "objective": objective, "false_negative_margin": 0.0} | more)


def test_what_is_compiled_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long runs of one process on CUDA that embed each batch once."""
    plain = make_config("unsup", {"model": "m"})
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert settled.compiles(plain, cuda, 2001)
    assert not settled.compiles(plain, cuda, 2000)
    assert not settled.compiles(plain, cpu, 2001)
    assert not settled.compiles(make_config("unsup", {"model": "m", "mini_batch_size": 8}), cuda, 2001)
    assert not settled.compiles(make_config("unsup", {"model": "m", "torch_compile": False}), cuda, 2001)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not settled.compiles(plain, cuda, 2001)
