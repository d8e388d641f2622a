"""From settings to a run that is ready for its first step: everything is read and checked, nothing is created."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from simcse_kit.data import TextData, read_examples, read_scored_pairs, read_sentences
from simcse_kit.distributed import World, world
from simcse_kit.encoder.backends.dtypes import multiplies_bfloat16
from simcse_kit.encoder.device import pick_device
from simcse_kit.encoder.hub import resolve
from simcse_kit.encoder.load import Loaded, load_encoder
from simcse_kit.encoder.lora import add_lora, set_gradient_checkpointing
from simcse_kit.encoder.speed.fast import packs
from simcse_kit.errors import TrainingError, say_once
from simcse_kit.model import SimCSE
from simcse_kit.objectives import AUGMENTATIONS
from simcse_kit.training.batches import GROUPS, TrainingRows
from simcse_kit.training.checkpoints import checkpoints
from simcse_kit.training.config import TrainConfig, make_config
from simcse_kit.training.launched import check_checkpoint, check_sharding, sharded
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
    check_widths,
    warn_of_worse_search,
)
from simcse_kit.training.recipes import mode_defaults
from simcse_kit.training.record import check_repeats, check_same_run, run_of, run_record
from simcse_kit.training.sampling import Cut, cut, numbered
from simcse_kit.training.selection import check_label_free, hold_out
from simcse_kit.training.settings import TrainSettings
from simcse_kit.training.teachers import load_teacher, teacher_name, teacher_vectors
from simcse_kit.training.views import Views, make_views
from simcse_kit.types import ScoredPairs

_COMPILED_STEPS = 2000  # a compiled step is faster by milliseconds, the compiler takes a minute

TrainData = str | Path | Sequence[str] | Sequence[tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run that has passed its checks."""

    config: TrainConfig
    world: World
    output_dir: Path
    data: TextData  # to train on
    gold: NDArray[np.float64] | None  # of scored pairs, (N,)
    held_out: list[str]  # sentences that rank the checkpoints; empty unless asked for
    pairs: ScoredPairs | None  # evaluation data
    model: SimCSE  # what will be saved
    pooling_origin: str  # argument, recipe, folder, table, default
    objective: ContrastiveModel  # around the model's encoder
    views: Views
    rows: TrainingRows
    epoch: Cut
    steps: int  # of all epochs
    bf16: bool
    compiles: bool  # by torch.compile
    record: dict[str, Any]  # run.json
    checkpoint: Path | None  # to go on from
    overwrite: bool

    @property
    def select(self) -> str:
        """How the best checkpoint is chosen: eval-data, label-free or last."""
        return self.config.select or ("last" if self.pairs is None else "eval-data")


def prepare(
    mode: str, source: TrainData, output_dir: Path, settings: TrainSettings, *, expected: dict[str, Any] | None = None
) -> Job:
    """Read the data, load the model and check everything that would fail later. Seeds torch, numpy and random.

    ``expected``: the record of a run that this one is to repeat.
    """
    config = make_config(mode, settings)
    here = world()
    resume, overwrite = settings.get("resume", False), settings.get("overwrite", False)
    check_output(output_dir, resume=resume, overwrite=overwrite)
    check_report(config.report_to)
    device = _device(config.device, here)
    check_device(device, here)
    check_sharding(config, device)
    pairs = _eval_pairs(settings.get("eval_data"))
    if config.select == "eval-data" and pairs is None:
        raise TrainingError("select eval-data needs eval_data (--eval-data): scored sentence pairs")
    whole, gold = _read(config, source, settings)
    data, held_out = _held_out(config, whole)
    check_rows(data, config, here)

    from transformers import set_seed

    set_seed(config.seed)
    loaded = _load(config, settings)
    if overwrite:
        guides = [teacher_name(name) for name in config.teacher]
        check_overwrite(output_dir, [config.model, loaded.folder, *guides, source, settings.get("eval_data")])
    model = SimCSE.from_loaded(loaded, name=config.model, device=device)
    if model.max_seq_length is not None and config.max_seq_length > model.max_seq_length:
        say_once(f"max_seq_length {config.max_seq_length} is more than the model takes; {model.max_seq_length} is used")
        config = replace(config, max_seq_length=model.max_seq_length)
    check_widths(config, model.encoder.dimension)
    warn_of_worse_search(config, loaded)
    teachers = _teachers(config, settings, model)
    earlier = run_of(output_dir) if resume and expected is None else expected
    bf16 = _uses_bf16(config.bf16, device, earlier)
    record = run_record(
        config,
        whole,
        pairs,
        given=settings,
        start=model.fingerprint(),
        teachers={name: teacher.fingerprint() for name, teacher in teachers.items()},
        ranks=here.size,
        precision="bfloat16" if bf16 else "float32",
    )
    if expected is not None:
        check_repeats(expected, record)
    if resume:
        check_same_run(output_dir, record)
    if config.lora_rank is not None:
        add_lora(model.encoder, config.lora_rank)
    if config.gradient_checkpointing:
        set_gradient_checkpointing(model.encoder)
    objective = build_objective(model.encoder, model.tokenizer, config, loaded.folder, bf16=bf16).to(device)
    done = checkpoints(output_dir) if resume else []
    if resume and not done:
        say_once(f"--resume: {output_dir} holds no checkpoint, so the run starts from its first step")
    if done:
        check_checkpoint(done[-1])
    views = make_views(model, data, config)
    objective.subtract(views.templates)
    rows = _rows(model, data, gold, views, config, list(teachers.values()), first=here.rank == 0)
    if mode == "unsup" and config.objective.twins and not (config.augmentation or config.second_template):
        check_views(objective, rows)
    if held_out:
        check_label_free(model, held_out, config.max_seq_length)
    epoch = cut(len(data), config.batch_size, here.size)
    steps = math.ceil(epoch.steps * config.epochs)
    check_space(output_dir, objective, checkpoints=-(-steps // config.eval_steps))
    _tell_repeats(data, config)
    return Job(
        config=config,
        world=here,
        output_dir=output_dir,
        data=data,
        gold=gold,
        held_out=held_out,
        pairs=pairs,
        model=model,
        pooling_origin=_pooling_origin(config, settings, loaded),
        objective=objective,
        views=views,
        rows=rows,
        epoch=epoch,
        steps=steps,
        bf16=bf16,
        compiles=_compiles(config, device, steps),
        record=record,
        checkpoint=done[-1] if done else None,
        overwrite=overwrite,
    )


def _device(asked: str | None, here: World) -> torch.device:
    """The device asked for; of several processes each takes the accelerator of its own number."""
    device = pick_device(asked)
    if here.size > 1 and device.index is not None:
        raise TrainingError(
            f"each of the {here.size} processes has a device of its own: name it {device.type}, not {device}"
        )
    if here.size > 1 and device.type != "cpu" and device.index is None:
        return pick_device(f"{device.type}:{here.local_rank}")
    return device


def _held_out(config: TrainConfig, data: TextData) -> tuple[TextData, list[str]]:
    """The rows to train on, and what is kept from them to rank checkpoints by."""
    if config.select != "label-free":
        return data, []
    if config.objective.scored:
        raise TrainingError("select label-free is for sentences, pairs and triplets, not for scored pairs")
    split = hold_out(data)
    left_out = len(data) - len(split.train)
    if config.mode == "sup" and left_out > len(split.held_out):
        say_once(f"{left_out} of {len(data)} rows hold one of the {len(split.held_out)} held-out sentences: left out")
    return replace(data, rows=[data.rows[i] for i in split.train]), split.held_out


def _rows(
    model: SimCSE,
    data: TextData,
    gold: NDArray[np.float64] | None,
    views: Views,
    config: TrainConfig,
    teachers: Sequence[SimCSE],
    *,
    first: bool,
) -> TrainingRows:
    """The data as the trainer takes it."""
    columns = [data.column(i) for i in range(data.width)]
    texts = numbered(columns)
    if len(views.tables) == 2 and data.width == 1:
        texts = np.repeat(texts, 2, axis=1)
    return TrainingRows(
        views.tables,
        model.tokenizer.pad_token_id,
        texts=texts,
        augment=views.augment,
        apart=views.templates is not None,
        seed=config.seed,
        gold=gold,
        teachers=[teacher_vectors(teacher, data, show_progress_bar=first) for teacher in teachers],
        packs=packs(model.encoder) and not _cuts_features(config),  # which is done sentence by sentence
        groups=GROUPS.get(model.device.type, 1),
        mini_batch_size=config.mini_batch_size,
        mini_batch_tokens=config.mini_batch_tokens,
    )


def _cuts_features(config: TrainConfig) -> bool:
    return any(AUGMENTATIONS.get(name).features for name in config.augmentation)


def _teachers(config: TrainConfig, settings: TrainSettings, model: SimCSE) -> dict[str, SimCSE]:
    """The run's teachers by the name they were given."""
    return {
        name: load_teacher(
            name,
            device=str(model.device),
            trust_remote_code=settings.get("trust_remote_code", False),
            local_files_only=settings.get("local_files_only", False),
        )
        for name in config.teacher
    }


def _tell_repeats(data: TextData, config: TrainConfig) -> None:
    repeats = len(data) - len(set(data.rows))
    if repeats > len(data) // 20:
        where = "in different batches, as far as there are batches"
        apart = f"they are put {where}" if config.no_duplicates else f"--no-duplicates puts them {where}"
        say_once(
            f"{repeats} of the {len(data)} rows of {data.source} repeat another: equal sentences are not taken for "
            f"negatives of each other; {apart}"
        )


def _read(
    config: TrainConfig, source: TrainData, settings: TrainSettings
) -> tuple[TextData, NDArray[np.float64] | None]:
    """Rows of text; of scored pairs the gold scores too."""
    columns, header, skip = settings.get("columns"), settings.get("header"), settings.get("skip_bad_rows", False)
    if config.objective.scored:
        if not isinstance(source, str | Path | ScoredPairs):
            raise TrainingError(
                f"objective {config.objective.name} trains on scored pairs: a file of them, or ScoredPairs"
            )
        if skip:
            raise TrainingError("skip_bad_rows is not supported for scored pairs: mend the row that the error names")
        pairs = source if isinstance(source, ScoredPairs) else read_scored_pairs(source, columns=columns, header=header)
        rows: list[tuple[str, ...]] = list(zip(pairs.first, pairs.second, strict=True))
        return TextData(rows=rows, source=pairs.source, empty=pairs.dropped), pairs.gold
    read = read_sentences if config.mode == "unsup" else read_examples
    return read(source, columns=columns, header=header, skip_bad_rows=skip), None  # type: ignore[arg-type]


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
        default_pooling=mode_defaults(config.mode)["pooling"],
        training=True,
        dropout=config.dropout,
        local_files_only=settings.get("local_files_only", False),
        trust_remote_code=remote,
    )


def _pooling_origin(config: TrainConfig, settings: TrainSettings, loaded: Loaded) -> str:
    if settings.get("pooling") is None and config.pooling is not None:
        return "recipe"
    return loaded.pooling_origin


def _compiles(config: TrainConfig, device: torch.device, steps: int) -> bool:
    """Whether steps go through ``torch.compile``: as asked, else where there are enough to pay for it."""
    if config.torch_compile is not None:
        if config.torch_compile and device.type == "cpu":
            raise TrainingError("torch_compile is for accelerators: the CPU's own shortcuts cannot be compiled")
        return config.torch_compile
    alone = world().size == 1 and not sharded()  # DDP compiles in a way of its own, which was never tried here
    once = not (config.cached or config.gradient_checkpointing)  # embeds once: compiled dropout cannot be drawn again
    return device.type == "cuda" and alone and once and steps > _COMPILED_STEPS


def _uses_bf16(asked: bool | None, device: torch.device, earlier: dict[str, Any] | None) -> bool:
    """Whether to train in bf16: as asked, else as the run that is repeated or resumed did, else where the processor or
    the accelerator multiplies in it.
    """
    if asked is not None:
        return asked
    if earlier is not None and "precision" in earlier:
        return bool(earlier["precision"] == "bfloat16")
    return multiplies_bfloat16(device)
