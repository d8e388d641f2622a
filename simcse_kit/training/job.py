"""From settings to a run that is ready for its first step: everything is read and checked, nothing is created."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from simcse_kit.data import TextData, read_examples, read_scored_pairs, read_sentences
from simcse_kit.encoder.hub import resolve
from simcse_kit.encoder.load import Loaded, load_encoder
from simcse_kit.errors import TrainingError, say_once
from simcse_kit.model import SimCSE, pick_device
from simcse_kit.tokens import TokenTable
from simcse_kit.training.batches import TrainingRows
from simcse_kit.training.checkpoints import checkpoints
from simcse_kit.training.config import TrainConfig, TrainSettings, make_config
from simcse_kit.training.objective import ContrastiveModel, build_objective
from simcse_kit.training.preflight import (
    check_device,
    check_eval_data,
    check_output,
    check_overwrite,
    check_report,
    check_rows,
    check_space,
    check_views,
)
from simcse_kit.training.recipes import recipes
from simcse_kit.training.record import check_same_run, run_record
from simcse_kit.types import ScoredPairs

Source = str | Path | Sequence[str] | Sequence[tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run that has passed its checks."""

    config: TrainConfig
    output_dir: Path
    data: TextData
    pairs: ScoredPairs | None  # evaluation data
    model: SimCSE  # what will be saved
    pooling_origin: str  # argument, recipe, folder, table, default
    objective: ContrastiveModel  # around the model's encoder
    columns: list[TokenTable]  # of the data
    bf16: bool
    record: dict[str, Any]  # run.json
    checkpoint: Path | None  # to go on from
    overwrite: bool

    @property
    def rows(self) -> TrainingRows:
        """The data as the trainer takes it: the one column of an unsupervised run is both views."""
        views = self.columns * 2 if len(self.columns) == 1 else self.columns
        return TrainingRows(views, self.model.tokenizer.pad_token_id)


def prepare(mode: str, source: Source, output_dir: Path, settings: TrainSettings) -> Job:
    """Read the data, load the model and check everything that would fail later. Seeds torch, numpy and random."""
    config = make_config(mode, settings)
    resume, overwrite = settings.get("resume", False), settings.get("overwrite", False)
    check_output(output_dir, resume=resume, overwrite=overwrite)
    check_report(config.report_to)
    device = pick_device(config.device)
    check_device(device)
    data = _read(mode, source, settings)
    check_rows(data, config)
    pairs = _eval_pairs(settings.get("eval_data"))

    from transformers import set_seed

    set_seed(config.seed)
    loaded = _load(config, settings)
    if overwrite:
        check_overwrite(output_dir, [loaded.folder, source, settings.get("eval_data")])
    model = SimCSE.from_loaded(loaded, name=config.model, device=device)
    if model.max_seq_length is not None and config.max_seq_length > model.max_seq_length:
        say_once(f"max_seq_length {config.max_seq_length} is more than the model takes; {model.max_seq_length} is used")
        config = replace(config, max_seq_length=model.max_seq_length)
    record = run_record(config, data, pairs)
    if resume:
        check_same_run(output_dir, record)
    objective = build_objective(model.encoder, model.tokenizer, config, loaded.folder).to(device)
    done = checkpoints(output_dir) if resume else []
    if resume and not done:
        say_once(f"--resume: {output_dir} holds no checkpoint, so the run starts from its first step")
    job = Job(
        config=config,
        output_dir=output_dir,
        data=data,
        pairs=pairs,
        model=model,
        pooling_origin=_pooling_origin(config, settings, loaded),
        objective=objective,
        columns=_tokenized(model, data, config.max_seq_length),
        bf16=_uses_bf16(config.bf16, device),
        record=record,
        checkpoint=done[-1] if done else None,
        overwrite=overwrite,
    )
    if mode == "unsup":
        check_views(objective, job.rows)
    check_space(output_dir, objective, checkpoints=-(-config.steps(len(data)) // config.eval_steps))
    _tell_repeats(data)
    return job


def _tell_repeats(data: TextData) -> None:
    repeats = len(data) - len(set(data.rows))
    if repeats > len(data) // 20:
        say_once(
            f"{repeats} of the {len(data)} rows of {data.source} repeat another: in one batch, equal sentences are "
            "wrongly each other's negatives"
        )


def _read(mode: str, source: Source, settings: TrainSettings) -> TextData:
    read = read_sentences if mode == "unsup" else read_examples
    return read(
        source,  # type: ignore[arg-type]
        columns=settings.get("columns"),
        header=settings.get("header"),
        skip_bad_rows=settings.get("skip_bad_rows", False),
    )


def _eval_pairs(source: str | Path | ScoredPairs | None) -> ScoredPairs | None:
    if source is None:
        return None
    pairs = source if isinstance(source, ScoredPairs) else read_scored_pairs(source)
    check_eval_data(pairs)
    return pairs


def _load(config: TrainConfig, settings: TrainSettings) -> Loaded:
    remote = settings.get("trust_remote_code", False)
    start = resolve(config.model, local_files_only=settings.get("local_files_only", False), trust_remote_code=remote)
    return load_encoder(
        start,
        pooling=config.pooling,
        default_pooling=recipes()[config.mode]["pooling"],
        training=True,
        dropout=config.dropout,
        trust_remote_code=remote,
    )


def _pooling_origin(config: TrainConfig, settings: TrainSettings, loaded: Loaded) -> str:
    if settings.get("pooling") is None and config.pooling is not None:
        return "recipe"
    return loaded.pooling_origin


def _tokenized(model: SimCSE, data: TextData, max_seq_length: int) -> list[TokenTable]:
    """Every column as tokens, behind the model's default prompt."""
    prompt = model.default_prompt()
    if prompt and not model.settings.include_prompt:
        raise TrainingError("training a model that leaves its default prompt out of the pooling is not supported")
    return [
        model.tokenize([prompt + text for text in data.column(i)], max_seq_length=max_seq_length)
        for i in range(data.width)
    ]


def _uses_bf16(asked: bool | None, device: torch.device) -> bool:
    """Whether to train in bf16: as asked, else where an accelerator has it."""
    if asked is not None:
        return asked
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
