"""Checks before a run: everything that would fail later fails here, and nothing is created."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from simcse_kit.data import TextData
from simcse_kit.errors import TrainingError
from simcse_kit.files import existing_parent, free_bytes
from simcse_kit.training.batches import TrainingRows
from simcse_kit.training.config import TrainConfig
from simcse_kit.training.objective import ContrastiveModel

RUN_RECORD = "run.json"
_ADAM_STATES = 2  # moments, each as large as the weights


def check_output(output_dir: Path, *, resume: bool, overwrite: bool) -> None:
    """The output folder can be written and holds nothing that would be lost."""
    if output_dir.is_file():
        raise TrainingError(f"output folder {output_dir} is a file")
    holds = output_dir.is_dir() and any(output_dir.iterdir())
    if holds and resume and not (output_dir / RUN_RECORD).is_file():
        raise TrainingError(f"{output_dir} is not a training run ({RUN_RECORD} is missing), so it cannot be resumed")
    if holds and overwrite and not (output_dir / RUN_RECORD).is_file():
        raise TrainingError(f"{output_dir} is not a training run ({RUN_RECORD} is missing); it is not overwritten: empty it yourself")
    if holds and not resume and not overwrite:
        raise TrainingError(f"{output_dir} is not empty; --resume goes on with a run, --overwrite starts it anew")
    parent = existing_parent(output_dir)
    try:
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        raise TrainingError(f"cannot write in {parent}: {error.strerror}") from error


def check_space(output_dir: Path, objective: ContrastiveModel) -> None:
    """The disk holds the model and its checkpoints."""
    weights = sum(p.numel() * p.element_size() for p in objective.parameters())
    checkpoint = weights * (1 + _ADAM_STATES)
    needed = weights + 3 * checkpoint  # last, best, and the one being written
    free = free_bytes(output_dir)
    if free < needed:
        raise TrainingError(
            f"not enough space for {output_dir}: the model and its checkpoints take up to {needed / 2**20:.0f} MiB "
            f"({checkpoint / 2**20:.0f} MiB a checkpoint), {free / 2**20:.0f} MiB are free"
        )


def check_rows(data: TextData, config: TrainConfig) -> None:
    """There is at least one full batch."""
    if len(data) < config.batch_size:
        raise TrainingError(
            f"{data.source} holds {len(data)} rows, fewer than one batch of {config.batch_size}; "
            f"give more data or a smaller --batch-size"
        )


def check_views(objective: ContrastiveModel, rows: TrainingRows) -> None:
    """Two training-mode passes over the same sentences differ: without dropout there is nothing to learn from."""
    device = next(objective.parameters()).device
    batch = rows.collate(range(min(8, len(rows))))
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
