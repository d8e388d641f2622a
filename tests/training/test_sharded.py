"""With FSDP, 2 processes on a CPU give the run of one process; accelerate is made to shard there (`shard_on_cpu`)."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from simcse_kit import SimCSE, train_sup
from simcse_kit.errors import Notice, TrainingError
from simcse_kit.training.checkpoints import checkpoints
from simcse_kit.training.config import make_config
from simcse_kit.training.launched import check_checkpoint, check_sharding
from simcse_kit.training.sampling import EpochBatches
from simcse_kit.training.sharded import EvenBatches, _tell_left_out
from simcse_kit.types import ScoredPairs
from support import SCRIPTS
from support.ranks import on_ranks
from support.shard_on_cpu import shard_on_cpu

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::simcse_kit.errors.Notice")]
CONFIGURATION = Path(__file__).parents[2] / "examples" / "fsdp.yaml"
ENVIRONMENT = {  # the environment set by `accelerate launch`
    "ACCELERATE_USE_FSDP": "true",
    "ACCELERATE_MIXED_PRECISION": "no",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
    "FSDP_OFFLOAD_PARAMS": "false",
    "FSDP_ACTIVATION_CHECKPOINTING": "false",
}
ON_CPU = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}  # weights are sharded where there is an accelerator
SETTINGS: dict[str, Any] = {"pooling": "mean", "epochs": 2, "eval_steps": 2, "learning_rate": 0.01}
SETTINGS |= {"device": "cpu", "bf16": False}


class Killed(Exception):
    """The end of a rank."""


def _life(data: Any, folder: Path, settings: dict[str, Any], death: int | None = None) -> tuple[set[str], float]:
    """A rank's run, until after step ``death``; the classes that were sharded one by one, its share of the weights."""
    os.environ |= ENVIRONMENT | ON_CPU
    shard_on_cpu()
    from torch.distributed.fsdp import FSDPModule

    from simcse_kit.training.sharded import ShardedTrainer
    from simcse_kit.training.trainer import RunCallback

    found: list[tuple[set[str], float]] = []
    result, step_end = ShardedTrainer.result, RunCallback.on_step_end

    def look(self: ShardedTrainer) -> SimCSE:
        units = {type(module).__name__ for module in self.objective.modules() if isinstance(module, FSDPModule)}
        weights: list[Any] = list(self.objective.parameters())
        found.append((units, sum(w.to_local().numel() for w in weights) / sum(w.numel() for w in weights)))
        return result(self)

    def die(self: RunCallback, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == death:
            raise Killed
        step_end(self, args, state, control, **kwargs)

    ShardedTrainer.result, RunCallback.on_step_end = look, die  # type: ignore[method-assign]
    try:
        train_sup(data, folder, **SETTINGS, **settings)
    except Killed:
        return set(), 0.0
    return found[0]


def _vectors(folder: Path, texts: list[str]) -> Any:
    return SimCSE(folder, pooling="mean", device="cpu").encode(texts)


# A whole run


def test_accelerate_launch(bert: Path, triplets: list[Any], pairs: ScoredPairs, tmp_path: Path) -> None:
    """The documented line, with the shipped configuration; 20 rows in batches of 2 x 4 leave one of 2 x 2."""
    data, dev = tmp_path / "rows.csv", tmp_path / "dev.tsv"
    with data.open("w", newline="") as file:
        csv.writer(file).writerows([("sent0", "sent1", "hard_neg"), *triplets])
    with dev.open("w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows(
            [("sentence1", "sentence2", "score"), *zip(pairs.first, pairs.second, pairs.gold, strict=True)]
        )
    own = ["--model", str(bert), "--pooling", "mean", "--dropout", "0", "--epochs", "2", "--eval-steps", "2"]
    own += ["--learning-rate", "0.01", "--device", "cpu", "--no-bf16", "--batch-size", "4", "--eval-data", str(dev)]
    line = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(CONFIGURATION)]
    line += ["--main_process_port", "29613", str(SCRIPTS / "shard_on_cpu.py")]
    line += ["train", "sup", str(data), "--output-dir", str(tmp_path / "two"), *own]
    done = subprocess.run(line, capture_output=True, text=True, env=os.environ | ON_CPU, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("model saved in") == 1
    assert (tmp_path / "two" / "checkpoint-6" / "optimizer.bin").is_file()  # FSDP's form

    train_sup(data, tmp_path / "one", model=bert, dropout=0.0, batch_size=8, eval_data=dev, **SETTINGS)
    texts = [row[0] for row in triplets]
    one, two = (_vectors(tmp_path / name, texts) for name in ("one", "two"))
    assert np.abs(_vectors(bert, texts) - one).max() > 0.05
    np.testing.assert_allclose(two, one, atol=1e-4)
    mine, theirs = ((tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("one", "two"))
    assert len(mine) == 1 + 3 + 3  # evaluations at steps 0, 2, 4, 6 and losses
    for ours, other in zip(mine, theirs, strict=True):
        assert json.loads(other) == pytest.approx(json.loads(ours), rel=1e-3)


@pytest.mark.parametrize("case", ["in parts", "adapters"])
def test_a_run(case: str, bert: Path, triplets: list[Any], pairs: ScoredPairs, tmp_path: Path) -> None:
    """With the gold scores turned around, training makes the score worse: the best is not the last, and it is saved."""
    if case == "adapters":
        pytest.importorskip("peft")
    more: dict[str, Any] = {
        "in parts": {"mini_batch_size": 5, "train_head": "mlp"},
        "adapters": {"lora_rank": 2, "merge": True, "gradient_checkpointing": True},
    }[case]
    turned = ScoredPairs(pairs.first, pairs.second, 5 - pairs.gold, "turned.tsv")
    given = {"model": bert, "dropout": 0.0, "eval_data": turned, **more}
    ranks = on_ranks(2, _life, triplets, tmp_path / "two", given | {"batch_size": 4})
    assert all(units == {"FSDPContrastiveModel", "FSDPBertEmbeddings", "FSDPBertLayer"} for units, _ in ranks)
    assert sum(share for _, share in ranks) == pytest.approx(1)  # no weight is stored twice
    assert all(0.4 < share < 0.6 for _, share in ranks)
    train_sup(triplets, tmp_path / "one", **SETTINGS, **given, batch_size=8)
    texts = [row[0] for row in triplets]
    step = json.loads((tmp_path / "two/simcse_kit.json").read_text())["best_step"]
    one, two, last = (_vectors(tmp_path / name, texts) for name in ("one", "two", "two/checkpoint-6"))
    best = _vectors(tmp_path / f"two/checkpoint-{step}" if step else bert, texts)
    assert np.abs(last - one).max() > 0.01
    np.testing.assert_allclose(two, one, atol=1e-4)
    np.testing.assert_allclose(two, best, atol=1e-6)


def test_the_start_is_saved_where_no_checkpoint_scores_higher(
    bert: Path, triplets: list[Any], pairs: ScoredPairs, tmp_path: Path
) -> None:
    """The start model's own cosines are the gold scores: it scores 100."""
    start = SimCSE(bert, pooling="mean", device="cpu")
    cosines = (
        start.encode(pairs.first, normalize_embeddings=True) * start.encode(pairs.second, normalize_embeddings=True)
    ).sum(1)
    own = pairs._replace(gold=cosines.astype(float))
    on_ranks(2, _life, triplets, tmp_path / "run", {"model": bert, "eval_data": own, "batch_size": 4})
    assert json.loads((tmp_path / "run/simcse_kit.json").read_text())["best_step"] == 0
    texts = [row[0] for row in triplets]
    assert (_vectors(tmp_path / "run", texts) == _vectors(bert, texts)).all()


def test_killed_and_resumed(bert: Path, triplets: list[Any], pairs: ScoredPairs, tmp_path: Path) -> None:
    """With dropout, bit by bit the run that nothing stopped."""
    given = {"model": bert, "eval_data": pairs, "train_head": "mlp", "batch_size": 4}
    on_ranks(2, _life, triplets, tmp_path / "whole", given)
    on_ranks(2, _life, triplets, tmp_path / "run", given, 5)
    assert [folder.name for folder in checkpoints(tmp_path / "run")] == ["checkpoint-2", "checkpoint-4"]
    assert not (tmp_path / "run" / "model.safetensors").exists()
    on_ranks(2, _life, triplets, tmp_path / "run", given | {"resume": True})
    for name in ("model.safetensors", "metrics.jsonl", "checkpoint-6/training.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_batches_that_cannot_be_divided(bert: Path, triplets: list[Any], tmp_path: Path) -> None:
    """19 rows end in a batch of 3, of which each rank takes 1: parts of two sentences are 2 for each, not 3 and 2."""
    given = {"model": bert, "dropout": 0.0, "batch_size": 4}
    for name, more in {"whole": {}, "parts": {"mini_batch_size": 2}}.items():
        on_ranks(2, _life, triplets[:19], tmp_path / name, given | more)
    texts = [row[0] for row in triplets]
    np.testing.assert_allclose(_vectors(tmp_path / "parts", texts), _vectors(tmp_path / "whole", texts), atol=1e-4)


@pytest.mark.parametrize(("rows", "ranks"), [(40, 2), (37, 3), (25, 2), (26, 4), (31, 4)])
def test_even_batches(rows: int, ranks: int) -> None:
    """As many rows on each rank, in the order of the other trainer, but for fewer than there are ranks at the end."""
    parts = [list(EvenBatches(rows, 4, seed=3, rank=rank, ranks=ranks)) for rank in range(ranks)]
    steps = list(zip(*parts, strict=True))
    assert all(len({len(part) for part in step}) == 1 for step in steps)
    even = [item.row for step in steps for part in step for item in part]
    every = np.concatenate(EpochBatches(rows, 4, seed=3, ranks=ranks).batches()).tolist()
    assert even == every[: len(even)]
    assert len(every) - len(even) < ranks


def test_what_is_left_out_is_said(recwarn: pytest.WarningsRecorder) -> None:
    """19 = 2 x 8 + 3 rows: one is too many. Of 17, the last makes no batch, as without FSDP: the plan says that."""
    with pytest.warns(Notice, match="^1 of the 19 rows are left out of the last batch of each epoch"):
        _tell_left_out(19, 4, 2)
    recwarn.clear()
    _tell_left_out(17, 4, 2)
    _tell_left_out(18, 4, 2)
    assert not recwarn.list


# What is refused


def test_a_cpu(bert: Path, tmp_path: Path) -> None:
    """The shipped configuration is complete: the only error is the missing accelerator. Nothing is made."""
    data = tmp_path / "rows.txt"
    data.write_text("A small cat is asleep.\n" * 8)
    line = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(CONFIGURATION)]
    line += ["--main_process_port", "29614", "-m", "simcse_kit", "train", "unsup", str(data), "--model", str(bert)]
    line += ["--batch-size", "4", "--device", "cpu", "--output-dir", str(tmp_path / "run")]
    done = subprocess.run(line, capture_output=True, text=True, env=os.environ | ON_CPU, timeout=240)
    assert done.returncode != 0
    assert "FSDP needs one accelerator per process" in " ".join((done.stdout + done.stderr).split())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("FSDP_VERSION", "1", "fsdp_version: 2 in accelerate's configuration; found 1"),
        ("FSDP_STATE_DICT_TYPE", "SHARDED_STATE_DICT", "FULL_STATE_DICT .* found SHARDED_STATE_DICT"),
        ("FSDP_CPU_RAM_EFFICIENT_LOADING", "true", "fsdp_cpu_ram_efficient_loading: false"),
        ("FSDP_OFFLOAD_PARAMS", "true", "fsdp_offload_params: false"),
        ("FSDP_ACTIVATION_CHECKPOINTING", "true", "fsdp_activation_checkpointing: false"),
        ("ACCELERATE_MIXED_PRECISION", "bf16", "mixed_precision: no"),
    ],
)
def test_another_configuration(variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config("unsup", {"model": "m"})
    for name, fits in ENVIRONMENT.items():
        monkeypatch.setenv(name, fits)
    check_sharding(config, torch.device("cuda"))
    monkeypatch.setenv(variable, value)
    with pytest.raises(TrainingError, match=message):
        check_sharding(config, torch.device("cuda"))
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "false")
    check_sharding(config, torch.device("cuda"))


@pytest.mark.parametrize(
    "setting",
    [{"mini_batch_tokens": 512}, {"momentum_queue": 2.5}, {"learn_temperature": True}, {"mlm_weight": 0.1}],
)
def test_settings_without_fsdp(setting: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config("unsup", {"model": "m"} | setting)
    check_sharding(config, torch.device("cuda"))
    for name, fits in ENVIRONMENT.items():
        monkeypatch.setenv(name, fits)
    with pytest.raises(TrainingError, match=f"^{next(iter(setting))} is not supported with FSDP"):
        check_sharding(config, torch.device("cuda"))


def test_a_checkpoint_of_the_other_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_checkpoint(tmp_path)
    (tmp_path / "optimizer.bin").touch()
    with pytest.raises(TrainingError, match="written with FSDP"):
        check_checkpoint(tmp_path)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    check_checkpoint(tmp_path)
    (tmp_path / "optimizer.bin").unlink()
    with pytest.raises(TrainingError, match="written without FSDP"):
        check_checkpoint(tmp_path)
