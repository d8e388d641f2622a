"""Checks before a run: everything that would fail later fails here, and nothing is created."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from simcse_kit.data import TextData
from simcse_kit.data.rows import shown
from simcse_kit.encoder.load import Loaded
from simcse_kit.errors import MissingExtraError, TrainingError, say_once
from simcse_kit.files import free_bytes
from simcse_kit.launch import World
from simcse_kit.training.batches import TrainingRows
from simcse_kit.training.checkpoints import KEPT
from simcse_kit.training.config import TrainConfig
from simcse_kit.training.harm import measured_harm
from simcse_kit.training.objective import ContrastiveModel
from simcse_kit.training.sampling import Item
from simcse_kit.types import ScoredPairs

_MANY = 20  # more than one row in 20 is said
_ADAM_STATES = 2  # moments, each as large as the weights


def warn_of_worse_search(config: TrainConfig, start: Loaded) -> None:
    """Say once that plain SimCSE harms the search of a model that is already a sentence encoder.

    A teacher holds the model where it is (RankCSE with the start as teacher lost nothing), as do an objective's own
    targets; another pooling than the start's own begins from vectors that were never trained.
    """
    taught = config.teacher or config.objective.neighborhood
    if config.mode != "unsup" or taught or start.encoder.pooling != start.own_pooling:
        return
    say_once(
        f"{config.model} is already a sentence encoder, and `train unsup` on your own text usually makes its search "
        "worse. Measured on all-MiniLM-L6-v2 with mean pooling, share of right answers among the ten nearest: "
        f"{measured_harm()}. `train unsup` is for raw encoders such as BERT. For search on your own text, take "
        "simcse-kit adapt TEXTS --model START --output-dir DIR",
        key="worse search",
    )


def tell_repeats(data: TextData, config: TrainConfig) -> None:
    """Say once that many rows are the same."""
    repeats = len(data) - len(set(data.rows))
    if repeats > len(data) // _MANY:
        where = "in different batches, as far as there are batches"
        apart = f"they are put {where}" if config.no_duplicates else f"--no-duplicates puts them {where}"
        say_once(
            f"{repeats} of the {len(data)} rows of {data.source} repeat another: equal sentences are not taken for "
            f"negatives of each other; {apart}"
        )


def check_report(report_to: str) -> None:
    """The package that ``report_to`` logs to is installed."""
    from transformers.integrations import integration_utils

    try:
        callbacks = integration_utils.get_reporting_integration_callbacks(report_to)  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise TrainingError(f"report_to: {error}") from error
    try:
        for callback in callbacks:
            callback()
    except (RuntimeError, ImportError) as error:
        raise MissingExtraError(f"report_to {report_to} needs its package: pip install {report_to}") from error


def check_device(device: torch.device, here: World) -> None:
    """The device is one that `transformers.Trainer` takes: the CPU, or the accelerator of this process."""
    if device.type == "cpu":
        return
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None or device.type != accelerator.type:
        raise TrainingError(f"training runs on the CPU or an accelerator, not on device {str(device)!r}")
    if device.index and device.index != here.local_rank:
        raise TrainingError(
            f"training takes the first accelerator that it sees, not {device}; "
            f"for this one, set CUDA_VISIBLE_DEVICES={device.index} and name the device {device.type}"
        )


def check_rows(data: TextData, config: TrainConfig, here: World) -> None:
    """There is at least one full batch, and hard negatives where they are weighted."""
    if len(data) < config.batch_size * here.size:
        each = f" on each of {here.size} processes" if here.size > 1 else ""
        raise TrainingError(
            f"{data.source} holds {len(data)} rows, fewer than one batch of {config.batch_size}{each}; "
            f"give more data or a smaller --batch-size"
        )
    config.objective.check_columns(data.width, data.source)


def check_widths(config: TrainConfig, dimension: int) -> None:
    """Vectors can be cut to the widths asked for."""
    wider = [width for term in config.active for width in term.widths() if width > dimension]
    if wider:
        raise TrainingError(f"--matryoshka-dims: the vectors have {dimension} dimensions, fewer than {wider[0]}")


def check_gold(pairs: ScoredPairs, reason: str) -> None:
    """The pairs have different gold scores; ``reason`` says why they must."""
    if np.ptp(pairs.gold) == 0:
        raise TrainingError(
            f"{pairs.source}: all {len(pairs.gold)} pairs have the gold score {pairs.gold[0]:g}; {reason}"
        )


def check_differences(data: TextData, *, scored: bool = False) -> None:
    """Texts differ from row to row, and the columns of a row from each other: else there is nothing to learn.

    ``scored``: one text may stand in every row, as a query whose answers are scored. Many rows of equal texts are said.
    """
    rows = len(data)
    if all(row == data.rows[0] for row in data.rows) and rows > 1:
        raise TrainingError(
            f"{data.source}: all {rows} rows are {shown(data.rows[0])}; a model learns from texts that differ"
        )
    for place in range(0 if scored or data.width == 1 else 2):
        if all(row[place] == data.rows[0][place] for row in data.rows) and rows > 1:
            raise TrainingError(
                f"{data.source}: column {place + 1} is {shown(data.rows[0][place])} in each of the {rows} rows, so no "
                "row tells more than another what belongs together; pick two columns of texts with --columns"
            )
    for first, second in combinations(range(data.width), 2):
        equal = sum(row[first] == row[second] for row in data.rows)
        if rows > equal > rows // _MANY:
            say_once(
                f"{data.source}: columns {first + 1} and {second + 1} are equal in {equal} of the {rows} rows, which "
                "teach nothing or the wrong thing"
            )
        if equal == rows:
            raise TrainingError(
                f"{data.source}: columns {first + 1} and {second + 1} are equal in each of the {rows} rows, such as "
                f"{shown(data.rows[0])}; a pair needs two different texts, and texts alone are for `simcse-kit train "
                "unsup`"
            )


def check_space(output_dir: Path, objective: ContrastiveModel, *, checkpoints: int) -> None:
    """The disk holds the model and its checkpoints, those included that an earlier life of the run left."""
    weights = sum(p.numel() * p.element_size() for p in objective.parameters())
    checkpoint = weights * (2 + _ADAM_STATES)  # the model, and once more with what trains beside it
    needed = weights + min(checkpoints, KEPT + 1) * checkpoint  # those that are kept, and the one being written
    held = sum(path.lstat().st_size for path in output_dir.rglob("*")) if output_dir.is_dir() else 0
    free = free_bytes(output_dir)
    if held + free < needed:
        raise TrainingError(
            f"not enough space for {output_dir}: the model and its checkpoints take up to {needed / 2**20:.0f} MiB "
            f"({checkpoint / 2**20:.0f} MiB a checkpoint), {free / 2**20:.0f} MiB are free"
        )


def check_views(objective: ContrastiveModel, rows: TrainingRows) -> None:
    """Two training-mode passes over the same sentences differ: without dropout only spreading is left to learn."""
    device = next(objective.parameters()).device
    batch = rows.collate([Item(0, row) for row in range(min(8, len(rows)))])
    groups = [{name: tensor.to(device) for name, tensor in group.items()} for group in batch["groups"]]
    was_training = objective.training
    devices = [device] if device.type == "cuda" else []
    objective.train()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            first = [objective.encoder(group["input_ids"], group.get("attention_mask")) for group in groups]
            second = [objective.encoder(group["input_ids"], group.get("attention_mask")) for group in groups]
    finally:
        objective.train(was_training)
    if all(torch.equal(a, b) for a, b in zip(first, second, strict=True)):
        raise TrainingError("dropout is 0 in this backbone, both views are identical; pass --dropout 0.1")
