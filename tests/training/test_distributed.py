"""Several processes have the loss and the gradient of one process on the union of their batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from simcse_kit import SimCSE, train_sup, train_unsup
from simcse_kit.data import LabelledTexts
from simcse_kit.distributed import any_rank, from_first, gather, total
from simcse_kit.launch import world
from simcse_kit.losses import info_nce
from simcse_kit.training.gradcache import cached_step
from simcse_kit.training.job import Job, prepare
from simcse_kit.training.objective import WholeBatch
from simcse_kit.training.sampling import EpochBatches, Item
from simcse_kit.training.settings import TrainSettings
from support.marks import fast
from support.ranks import on_ranks

pytestmark = pytest.mark.filterwarnings("ignore::simcse_kit.errors.Notice")


# Gathered rows


def _gathered(rows: list[int]) -> tuple[Tensor, Tensor]:
    """A rank's view of all rows, and the gradient of a loss over all rows at its own."""
    counts = np.cumsum([0, *rows])
    everything = torch.randn(int(counts[-1]), 4, generator=torch.Generator().manual_seed(0))
    rank = world().rank
    own = everything[counts[rank] : counts[rank + 1]].clone().requires_grad_()
    whole = gather(own)
    info_nce(whole, whole.roll(1, 0)).backward()
    assert own.grad is not None
    return whole.detach(), own.grad


@pytest.mark.parametrize("rows", [[3, 3], [2, 4, 1], [0, 3]])
def test_gathering_has_the_exact_gradient(rows: list[int]) -> None:
    """Summed over the ranks it is R times that of one process: DDP's average makes it the same."""
    everything = torch.randn(sum(rows), 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    info_nce(everything, everything.roll(1, 0)).backward()
    found = on_ranks(len(rows), _gathered, rows)
    for whole, _ in found:
        assert torch.equal(whole, everything.detach())
    assert everything.grad is not None
    torch.testing.assert_close(torch.cat([grad for _, grad in found]) / len(rows), everything.grad)


def test_one_process_gathers_nothing() -> None:
    rows = torch.randn(3, 2)
    assert gather(rows) is rows
    assert from_first("as it is") == "as it is"


# Batches


@pytest.mark.parametrize(("rows", "ranks"), [(40, 2), (40, 3), (37, 3), (25, 2), (26, 4)])
def test_the_ranks_parts_make_up_the_batches_of_one_process(rows: int, ranks: int) -> None:
    alone = EpochBatches(rows, 4 * ranks, seed=3)
    parts = [EpochBatches(rows, 4, seed=3, rank=rank, ranks=ranks) for rank in range(ranks)]
    for epoch in range(2):
        for sampler in (alone, *parts):
            sampler.set_epoch(epoch)
        steps = list(zip(*parts, strict=True))
        assert len(steps) == len(alone) == len(parts[0])
        together = [[item for part in step for item in part] for step in steps]
        if alone.cut.left_out == parts[0].cut.left_out:
            assert together == list(alone)
        assert all(part for step in steps for part in step)  # no rank is without rows


# A step


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "info_nce": ("sup", {"hard_negative_weight": 0.5}),
    "info_nce in parts": ("sup", {"mini_batch_size": 5}),
    "nt_xent": ("unsup", {"objective": "simclr"}),
    "nt_xent in parts": ("unsup", {"objective": "simclr", "mini_batch_size": 5}),
    "queue, learned temperature": (
        "unsup",
        {"momentum_queue": 1.0, "learn_temperature": True, "augmentation": "repetition"},
    ),
    "templates": ("unsup", {"recipe": "promptbert", "pooling": "mask"}),
    "in parts, learned temperature": ("sup", {"learn_temperature": True, "mini_batch_size": 5}),
    "classes": ("sup", {"dropout_views": True, "texts_per_class": 2}),
    "classes in parts": ("sup", {"mini_batch_size": 5, "texts_per_class": 2}),
}


def _ready(mode: str, data: Any, folder: Path, batch_size: int, **given: Any) -> Job:
    values = {
        "model": folder,
        "batch_size": batch_size,
        "device": "cpu",
        "bf16": False,
        "dropout": 0.0,
        "pooling": "mean",
    }
    if mode == "unsup":  # equal views would be refused
        values |= {"augmentation": "repetition"}
    return prepare(mode, data, Path("not-made"), TrainSettings(**(values | given)))  # type: ignore[typeddict-item]


def _step(job: Job, rows: list[int]) -> tuple[float, dict[str, Tensor]]:
    objective = job.objective.train()
    ranks = world().size
    model: Any = objective if ranks == 1 else DistributedDataParallel(objective, find_unused_parameters=True)
    batch = job.rows.collate([Item(0, row) for row in rows])
    loss = torch.zeros(())
    for _ in range(2):  # the second step has a filled queue
        objective.zero_grad()
        if job.config.cached:
            more = {} if ranks == 1 else {"no_sync": model.no_sync}
            loss = cached_step(model, objective, backward=Tensor.backward, **batch, **more)
        else:
            loss = model(WholeBatch.of(**batch))
            loss.backward()
    gradients = {name: p.grad for name, p in objective.named_parameters() if p.grad is not None}
    return float(loss.detach()), gradients


def _part(case: str, data: Any, folder: Path, parts: list[list[int]]) -> tuple[float, dict[str, Tensor]]:
    mode, given = CASES[case]
    return _step(_ready(mode, data, folder, 4, **given), parts[world().rank])


@pytest.mark.parametrize("ranks", fast([2], of=[2, 3]))
@pytest.mark.parametrize("case", CASES)
def test_a_step(case: str, ranks: int, bert: Path, sentences: list[str], triplets: list[Any]) -> None:
    mode, given = CASES[case]
    data: Any = sentences if mode == "unsup" else triplets
    if "classes" in case:
        data = LabelledTexts(sentences, [str(i % 5) for i in range(40)], "made")
    parts = [part.tolist() for part in np.array_split(np.arange(len(triplets)), ranks)]  # 3 ranks: 7, 7 and 6 rows
    loss, gradients = _step(_ready(mode, data, bert, 4 * ranks, **given), list(range(len(triplets))))
    for found, their in on_ranks(ranks, _part, case, data, bert, parts):
        assert found == pytest.approx(loss, rel=1e-5)
        assert their.keys() == gradients.keys()
        total = torch.cat([g.flatten() for g in gradients.values()]).norm()
        difference = torch.cat([(their[name] - gradients[name]).flatten() for name in gradients]).norm()
        assert total > 0.01
        assert difference / total < 1e-5


def _draws(sentences: list[str], folder: Path, run: Path) -> list[float]:
    """The first number that dropout would draw in training, on each rank."""
    train_unsup(sentences, run, model=folder, batch_size=4, epochs=0.01, device="cpu", bf16=False, listener=None)
    return torch.rand(3).tolist()  # type: ignore[no-any-return]


def test_each_rank_draws_for_itself(bert: Path, sentences: list[str], tmp_path: Path) -> None:
    """Else a sentence's negatives would share its dropout mask."""
    first, second = on_ranks(2, _draws, sentences, bert, tmp_path / "run")
    assert first != second


def _taught(sentences: list[str], folder: Path, run: Path, batch_size: int) -> Any:
    settings: dict[str, Any] = {"objective": "neighbors", "neighbors": 3, "epochs": 2, "learning_rate": 0.01}
    settings |= {"dropout": 0.0, "pooling": "mean", "device": "cpu", "bf16": False, "listener": None}
    train_unsup(sentences, run, model=folder, batch_size=batch_size, **settings)
    return SimCSE(run, device="cpu").encode(sentences)


def test_ranks_learn_the_targets_of_the_first(bert: Path, sentences: list[str], tmp_path: Path) -> None:
    """Two processes with batch 4 end like one with batch 8, and both read files that one has written."""
    alone = _taught(sentences, bert, tmp_path / "one", 8)
    assert np.abs(SimCSE(bert, pooling="mean", device="cpu").encode(sentences) - alone).max() > 0.05
    for found in on_ranks(2, _taught, sentences, bert, tmp_path / "two", 4):
        np.testing.assert_allclose(found, alone, atol=1e-4)


def _stops() -> list[bool]:
    rank = world().rank
    return [any_rank(rank == 1), any_rank(False), total(rank + 1) == 3]  # type: ignore[list-item]


def test_what_one_rank_is_told_all_know() -> None:
    """Ctrl-C reaches the ranks in different steps: a rank that stopped alone would leave the others waiting."""
    assert on_ranks(2, _stops) == [[True, False, True]] * 2
    assert any_rank(True)
    assert not any_rank(False)


# A whole run


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--mini-batch-size", "8"]])
def test_torchrun(more: list[str], bert: Path, triplets: list[Any], tmp_path: Path) -> None:
    """The documented line: 2 processes with batch 4 end where one with batch 8 ends; 20 rows leave a shorter batch."""
    import csv

    data = tmp_path / "rows.csv"
    with data.open("w", newline="") as file:
        csv.writer(file).writerows([("sent0", "sent1", "hard_neg"), *triplets])
    own = ["--model", str(bert), "--pooling", "mean", "--dropout", "0", "--epochs", "2", "--eval-steps", "2"]
    own += ["--learning-rate", "0.01", "--device", "cpu", "--no-bf16", "--batch-size", "4", *more]
    line = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29611"]
    line += ["-m", "simcse_kit", "train", "sup", str(data), "--output-dir", str(tmp_path / "two"), *own]
    done = subprocess.run(line, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("model saved in") == 1
    assert "Warning" not in done.stderr
    assert done.stderr.count("each sentence sees") == 1
    record = json.loads((tmp_path / "two" / "run.json").read_text())
    assert record["processes"] == 2
    assert (tmp_path / "two" / "checkpoint-6" / "rng_state_1.pth").is_file()

    settings: dict[str, Any] = {"model": bert, "pooling": "mean", "dropout": 0.0, "epochs": 2, "eval_steps": 2}
    settings |= {"learning_rate": 0.01, "device": "cpu", "bf16": False, "batch_size": 8}
    train_sup(data, tmp_path / "one", **settings)
    texts = [row[0] for row in triplets]
    one, two = (SimCSE(tmp_path / name, device="cpu").encode(texts) for name in ("one", "two"))
    assert np.abs(SimCSE(bert, pooling="mean", device="cpu").encode(texts) - one).max() > 0.05
    np.testing.assert_allclose(two, one, atol=1e-4)
    losses = [
        [
            json.loads(text)["loss"]
            for text in (tmp_path / name / "metrics.jsonl").read_text().splitlines()
            if '"loss"' in text
        ]
        for name in ("one", "two")
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
