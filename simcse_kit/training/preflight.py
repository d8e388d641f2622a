"""Checks before a run: what would fail later fails here. Creates nothing."""

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
from simcse_kit.wording import counted

_MANY = 20  # more than one row in 20 gives a notice
_ADAM_STATES = 2  # moments, each as large as the weights


def warn_of_worse_search(config: TrainConfig, start: Loaded) -> None:
    """Warn once that plain SimCSE harms the search of a model that is already a sentence encoder.

    No warning with a teacher, which keeps the model near its start (RankCSE with the start model as teacher lost
    nothing), with an objective that makes its own targets, or with another pooling than the start model's, whose
    vectors were never trained.
    """
    taught = config.teacher or config.objective.neighborhood
    if config.mode != "unsup" or taught or start.encoder.pooling != start.own_pooling:
        return
    say_once(
        f"{config.model} is already a sentence encoder, and `train unsup` on your own text usually makes its "
        "search worse. Measured on all-MiniLM-L6-v2 with mean pooling, percentage of relevant texts among the "
        f"ten nearest: {measured_harm()}. `train unsup` is for raw encoders such as BERT. For search in your "
        "own texts, use simcse-kit adapt TEXTS --model START --output-dir DIR",
        key="worse search",
    )


def tell_repeats(data: TextData, config: TrainConfig) -> None:
    """Give a notice if many rows are equal."""
    repeats = len(data) - len(set(data.rows))
    if repeats > len(data) // _MANY:
        where = "in different batches where possible"
        apart = f"they are in {where}" if config.no_duplicates else f"use --no-duplicates to put them {where}"
        say_once(
            f"{repeats} of the {len(data)} rows of {data.source} repeat another row: equal sentences do not "
            f"count as negatives of each other; {apart}"
        )


def check_report(report_to: str) -> None:
    """Check that the package that ``report_to`` logs to is installed."""
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
    """Check that `transformers.Trainer` can use the device: the CPU, or the accelerator of this process."""
    if device.type == "cpu":
        return
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None or device.type != accelerator.type:
        raise TrainingError(f"training runs on the CPU or an accelerator, not on device {str(device)!r}")
    if device.index and device.index != here.local_rank:
        raise TrainingError(
            f"training uses the first visible accelerator, not {device}; to use this one, set "
            f"CUDA_VISIBLE_DEVICES={device.index} and device {device.type}"
        )


def check_rows(data: TextData, config: TrainConfig, here: World) -> None:
    """Check that the data fill at least one batch and have hard negatives if these have a weight."""
    if len(data) < config.batch_size * here.size:
        each = f" on each of {here.size} processes" if here.size > 1 else ""
        raise TrainingError(
            f"{data.source} holds {counted(len(data), 'row')}, fewer than one batch of {config.batch_size}{each}; "
            "add data or lower --batch-size"
        )
    config.objective.check_columns(data.width, data.source)


def check_widths(config: TrainConfig, dimension: int) -> None:
    """Check that vectors can be cut to the requested widths."""
    wider = [width for term in config.active for width in term.widths() if width > dimension]
    if wider:
        raise TrainingError(f"--matryoshka-dims: the vectors have {dimension} dimensions, fewer than {wider[0]}")


def check_gold(pairs: ScoredPairs, reason: str) -> None:
    """Check that pairs have different gold scores; ``reason`` says why."""
    if np.ptp(pairs.gold) == 0:
        raise TrainingError(
            f"{pairs.source}: all {len(pairs.gold)} pairs have the gold score {pairs.gold[0]:g}; {reason}"
        )


def check_differences(data: TextData, *, scored: bool = False) -> None:
    """Check that texts differ between rows, and columns within a row: else there is nothing to learn.

    ``scored``: a text may be in every row, such as a query whose answers are scored. Many equal rows give a notice.
    """
    rows = len(data)
    if all(row == data.rows[0] for row in data.rows) and rows > 1:
        raise TrainingError(f"{data.source}: all {rows} rows are {shown(data.rows[0])}; training needs different texts")
    for place in range(0 if scored or data.width == 1 else 2):
        if all(row[place] == data.rows[0][place] for row in data.rows) and rows > 1:
            raise TrainingError(
                f"{data.source}: column {place + 1} is {shown(data.rows[0][place])} in each of the {rows} rows, "
                "so the pairs hold no information; select two columns of texts with --columns"
            )
    for first, second in combinations(range(data.width), 2):
        equal = sum(row[first] == row[second] for row in data.rows)
        if rows > equal > rows // _MANY:
            say_once(
                f"{data.source}: columns {first + 1} and {second + 1} are equal in {equal} of the {rows} rows; "
                "these rows teach nothing or the wrong thing"
            )
        if equal == rows:
            raise TrainingError(
                f"{data.source}: columns {first + 1} and {second + 1} are equal in each of the {rows} rows, "
                f"such as {shown(data.rows[0])}; a pair needs two different texts. To train on single texts use "
                "`simcse-kit train unsup`"
            )


def check_space(output_dir: Path, objective: ContrastiveModel, *, checkpoints: int) -> None:
    """Check that the disk has room for the model and its checkpoints; old checkpoints of the run count as present."""
    weights = sum(p.numel() * p.element_size() for p in objective.parameters())
    checkpoint = weights * (2 + _ADAM_STATES)  # the model, and again with the rest of what trains
    needed = weights + min(checkpoints, KEPT + 1) * checkpoint  # the kept checkpoints, and the one being written
    held = sum(path.lstat().st_size for path in output_dir.rglob("*")) if output_dir.is_dir() else 0
    free = free_bytes(output_dir)
    if held + free < needed:
        raise TrainingError(
            f"not enough space for {output_dir}: the model and its checkpoints need up to {needed / 2**20:.0f} "
            f"MiB ({checkpoint / 2**20:.0f} MiB per checkpoint), but only {free / 2**20:.0f} MiB are free"
        )


def check_views(objective: ContrastiveModel, rows: TrainingRows, dropout: float | None) -> None:
    """Check that two passes in training mode differ: without dropout the model would only learn to spread vectors.

    ``dropout`` is the requested rate; None keeps the backbone's own.
    """
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
        cause = "this backbone has dropout 0, which" if dropout is None else f"--dropout {dropout:g}"
        raise TrainingError(f"{cause} makes both views identical; give --dropout 0.1 or an --augmentation")
