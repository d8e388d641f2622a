"""Prepares a run up to its first step: reads and checks everything, creates nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.data import (
    LabelledTexts,
    TextData,
    read_examples,
    read_positives,
    read_scored_pairs,
    read_sentences,
)
from simcse_kit.encoder.hub import resolve
from simcse_kit.encoder.load import Loaded, load_encoder
from simcse_kit.encoder.lora import add_lora, set_gradient_checkpointing
from simcse_kit.encoder.probing import half_fault_in_training
from simcse_kit.encoder.speed.fast import packs
from simcse_kit.errors import TrainingError, say_once
from simcse_kit.launch import World
from simcse_kit.model import SimCSE
from simcse_kit.objectives import AUGMENTATIONS
from simcse_kit.training.batches import GROUPS, TrainingRows
from simcse_kit.training.checkpoints import last_whole
from simcse_kit.training.config import TrainConfig
from simcse_kit.training.fitted import epoch_of, fit_to_rows, steps_of
from simcse_kit.training.labelled import labelled_rows
from simcse_kit.training.launched import check_checkpoint
from simcse_kit.training.objective import ContrastiveModel, build_objective
from simcse_kit.training.output import check_overwrite
from simcse_kit.training.preflight import (
    check_differences,
    check_gold,
    check_rows,
    check_space,
    check_views,
    check_widths,
    tell_repeats,
    warn_of_worse_search,
)
from simcse_kit.training.record import check_repeats, check_same_run, model_record, run_record
from simcse_kit.training.sampling import Cut, numbered
from simcse_kit.training.selection import check_dropout_twins, hold_out
from simcse_kit.training.settings import TrainSettings
from simcse_kit.training.settled import Settled, compiles, settle
from simcse_kit.training.teacher_names import teacher_name
from simcse_kit.training.teachers import load_teacher, teacher_vectors
from simcse_kit.training.views import TextForm, Views, make_views, text_form
from simcse_kit.types import ScoredPairs

TrainData = str | Path | Sequence[str] | Sequence[tuple[str, ...]] | ScoredPairs | LabelledTexts


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run that has passed all checks."""

    config: TrainConfig
    world: World
    sharded: bool  # uses FSDP
    target: Path  # the output folder
    output_dir: Path  # where the run works: `target`, or another folder until the run can replace what `target` holds
    data: TextData  # the rows to train on
    labels: NDArray[np.int64] | None  # class numbers of labelled texts, (N,)
    held_out: list[str]  # sentences that rank the checkpoints; empty unless selected
    pairs: ScoredPairs | None  # evaluation data
    model: SimCSE  # the model to save
    pooling_origin: str  # argument, recipe, folder, table, default
    objective: ContrastiveModel  # trains the model's encoder
    form: TextForm  # prompts and template that are added to a text
    views: Views
    rows: TrainingRows
    teacher: SimCSE | None  # identifies targets made from nearest texts, see `set_targets`
    epoch: Cut
    steps: int  # steps of all epochs
    fitted: tuple[str, ...]  # settings that were adapted to the number of rows
    bf16: bool
    compiles: bool  # with torch.compile
    record: dict[str, Any]  # content of run.json
    checkpoint: Path | None  # checkpoint to resume from
    resume: bool

    @property
    def select(self) -> str:
        """What selects the best checkpoint: eval-data, dropout-twins or last."""
        return _selects(self.config, self.pairs)


class _Read(NamedTuple):
    """The texts of a run; fields as in `Job`."""

    whole: TextData  # including rows held out or left out, and the classes
    data: TextData
    held_out: list[str] = []  # noqa: RUF012 - it is not changed
    pairs: ScoredPairs | None = None
    gold: NDArray[np.float64] | None = None  # gold scores of scored pairs, (N,)
    labels: NDArray[np.int64] | None = None


class _Start(NamedTuple):
    """The start model and the modules around it, before texts are tokenized; see `Job`."""

    config: TrainConfig  # max_seq_length is at most the model's
    model: SimCSE
    pooling_origin: str
    objective: ContrastiveModel
    teachers: list[SimCSE]
    form: TextForm
    packs: bool  # batches include their packing
    record: dict[str, Any]
    checkpoint: Path | None


def prepare(
    mode: str, source: TrainData, output_dir: Path, settings: TrainSettings, *, expected: dict[str, Any] | None = None
) -> Job:
    """Read the data, load the model and check everything that would fail later. Seeds torch, numpy and random.

    Four stages: settings, texts, model, tokens. A bad row raises an error before a model is downloaded or loaded, and
    all other checks come before the first text is tokenized. ``expected``: the record of a run to repeat.
    """
    labelled = settings.get("label_column") is not None or isinstance(source, LabelledTexts)
    settled = settle(mode, output_dir, settings, expected, labelled=labelled)
    read = _read(settled, source)
    rows_here = (len(read.data), settled.world.size)
    fitted = fit_to_rows(settled.config, settings, *rows_here)
    settled = settled._replace(config=fitted.config)
    check_rows(read.data, settled.config, settled.world)
    steps = steps_of(settled.config, *rows_here)
    start = _start(settled, read, source, steps, expected)
    start.record["fitted"] = list(fitted.chosen)
    config, model, objective = start.config, start.model, start.objective
    views = make_views(model, read.data, config, start.form)
    objective.subtract(views.templates)
    rows = _rows(start, read, views, first=settled.world.rank == 0)
    if mode == "unsup" and config.objective.twins and not (config.augmentation or config.second_template):
        check_views(objective, rows, config.dropout)
    return Job(
        config=config,
        world=settled.world,
        sharded=settled.sharded,
        target=output_dir,
        output_dir=settled.output_dir,
        data=read.data,
        labels=read.labels,
        held_out=read.held_out,
        pairs=read.pairs,
        model=model,
        pooling_origin=start.pooling_origin,
        objective=objective,
        form=start.form,
        views=views,
        rows=rows,
        teacher=(start.teachers or [model])[0] if config.objective.neighborhood else None,
        epoch=epoch_of(config, *rows_here),
        steps=steps,
        fitted=fitted.chosen,
        bf16=objective.bf16,
        compiles=compiles(config, settled.device, steps),
        record=start.record,
        checkpoint=start.checkpoint,
        resume=settled.resume,
    )


# Texts


def _read(settled: Settled, source: TrainData) -> _Read:
    """The evaluation data and the training rows, checked; loads no model."""
    config = settled.config
    pairs = _eval_pairs(settled.given.get("eval_data"))
    if config.select == "eval-data" and pairs is None:
        raise TrainingError("select eval-data needs scored sentence pairs: eval_data (--eval-data)")
    if config.start_share and _selects(config, pairs) != "last":
        raise TrainingError(
            "start_share changes the weights after the last step, so no score can select them: use it with select last"
        )
    read = _rows_of_text(config, source, settled.given)
    data, held_out = _held_out(config, read.data)
    return read._replace(data=data, held_out=held_out, pairs=pairs)


def _selects(config: TrainConfig, pairs: ScoredPairs | None) -> str:
    """What selects the saved weights."""
    return config.select or ("last" if pairs is None else "eval-data")


def _eval_pairs(source: str | Path | ScoredPairs | None) -> ScoredPairs | None:
    if source is None:
        return None
    pairs = source if isinstance(source, ScoredPairs) else read_scored_pairs(source)
    reason = "a rank correlation needs different scores; judged queries need texts with score 0 too, as judge writes"
    check_gold(pairs, reason)
    return pairs


def _rows_of_text(config: TrainConfig, source: TrainData, settings: TrainSettings) -> _Read:
    """Rows of text, with gold scores for scored pairs and classes for labelled texts."""
    if config.objective.labelled:
        found = labelled_rows(config.objective, source, settings)
        check_differences(found.data)
        return _Read(found.whole, found.data, labels=found.labels)
    columns, header, skip = settings.get("columns"), settings.get("header"), settings.get("skip_bad_rows", False)
    if config.objective.scored:
        if not isinstance(source, str | Path | ScoredPairs):
            raise TrainingError(
                f"objective {config.objective.name} trains on scored pairs: a file of them, or ScoredPairs"
            )
        if skip:
            raise TrainingError("skip_bad_rows is not supported for scored pairs: fix the row that the error names")
        pairs = source if isinstance(source, ScoredPairs) else read_scored_pairs(source, columns=columns, header=header)
        check_gold(pairs, f"objective {config.objective.name} learns from different scores")
        rows: list[tuple[str, ...]] = list(zip(pairs.first, pairs.second, strict=True))
        data = TextData(rows=rows, source=pairs.source, empty=pairs.dropped)
        check_differences(data, scored=True)
        return _Read(data, data, gold=pairs.gold)
    read: Callable[..., TextData] = read_sentences
    if config.mode == "sup":
        read = read_positives if settings.get("positives_only") else read_examples
    data = read(source, columns=columns, header=header, skip_bad_rows=skip)
    check_differences(data)
    return _Read(data, data)


def _held_out(config: TrainConfig, data: TextData) -> tuple[TextData, list[str]]:
    """The training rows, and the held-out sentences that rank checkpoints."""
    if config.select != "dropout-twins":
        return data, []
    if config.objective.scored or config.objective.labelled:
        raise TrainingError(
            "select dropout-twins works for sentences, pairs and triplets, not for scored pairs or labelled texts"
        )
    split = hold_out(data)
    left_out = len(data) - len(split.train)
    if config.mode == "sup" and left_out > len(split.held_out):
        say_once(
            f"left out {left_out} of {len(data)} rows, because they contain one of the {len(split.held_out)} "
            "held-out sentences"
        )
    return replace(data, rows=[data.rows[i] for i in split.train]), split.held_out


# The model


def _start(settled: Settled, read: _Read, source: TrainData, steps: int, expected: dict[str, Any] | None) -> _Start:
    """Load start model and teachers, and build the module to train. Sets seeds first, because a head may be new."""
    from transformers import set_seed

    config, given, output_dir = settled.config, settled.given, settled.output_dir
    set_seed(config.seed)
    loaded = _load(settled)
    if settled.overwrite:
        guides = [teacher_name(name) for name in config.teacher]
        check_overwrite(settled.target, [config.model, loaded.folder, *guides, source, given.get("eval_data")])
    model = SimCSE.from_loaded(loaded, name=config.model, device=settled.device)
    if model.max_seq_length is not None and config.max_seq_length > model.max_seq_length:
        say_once(f"max_seq_length {config.max_seq_length} exceeds the model's limit; {model.max_seq_length} is used")
        config = replace(config, max_seq_length=model.max_seq_length)
    check_widths(config, model.encoder.dimension)
    bf16 = settled.bf16 and _runs_in_bfloat16(model)
    warn_of_worse_search(config, loaded)
    teachers = _teachers(config, given, model)
    record = run_record(
        config,
        read.whole,
        read.pairs,
        labels=read.labels,
        given=given,
        start=model.fingerprint(),
        teachers={name: teacher.fingerprint() for name, teacher in teachers.items()},
        ranks=settled.world.size,
        precision="bfloat16" if bf16 else "float32",
        device=settled.device.type,
    )
    model.record = model_record(record)
    if expected is not None:
        check_repeats(expected, record)
    checkpoint = _last_checkpoint(output_dir, record) if settled.resume else None
    if config.lora_rank is not None:
        add_lora(model.encoder, config.lora_rank)
    if config.gradient_checkpointing:
        set_gradient_checkpointing(model.encoder)
    objective = build_objective(model.encoder, model.tokenizer, config, loaded.folder, bf16=bf16)
    objective = objective.to(settled.device)
    form = text_form(model, config)
    if read.held_out:
        check_dropout_twins(model, read.held_out, config.max_seq_length)
    check_space(output_dir, objective, checkpoints=-(-steps // config.eval_steps))
    if read.labels is None:
        tell_repeats(read.data, config)
    return _Start(
        config=config,
        model=model,
        pooling_origin=_pooling_origin(config, given, loaded),
        objective=objective,
        teachers=list(teachers.values()),
        form=form,
        packs=packs(model.encoder) and not _cuts_features(config),  # works sentence by sentence
        record=record,
        checkpoint=checkpoint,
    )


def _runs_in_bfloat16(model: SimCSE) -> bool:
    """Whether this backbone trains in bfloat16. If not, gives a notice, and the run is in float32."""
    encoder = model.encoder
    fault = half_fault_in_training(encoder, model.tokenizer)
    if fault is not None:
        say_once(
            f"{model.name}: {type(encoder.backbone).__name__} cannot train in bfloat16 ({fault}), so it trains "
            "in float32"
        )
    return fault is None


def _load(settled: Settled) -> Loaded:
    config, settings = settled.config, settled.given
    remote = settings.get("trust_remote_code", False)
    start = resolve(config.model, local_files_only=settings.get("local_files_only", False), trust_remote_code=remote)
    return load_encoder(
        start,
        pooling=config.pooling,
        default_pooling=settled.default_pooling,
        training=True,
        dropout=config.dropout,
        local_files_only=settings.get("local_files_only", False),
        trust_remote_code=remote,
    )


def _pooling_origin(config: TrainConfig, settings: TrainSettings, loaded: Loaded) -> str:
    if settings.get("pooling") is None and config.pooling is not None:
        return "recipe"
    return loaded.pooling_origin


def _teachers(config: TrainConfig, settings: TrainSettings, model: SimCSE) -> dict[str, SimCSE]:
    """The teachers of the run, by the name given by the user."""
    return {
        name: load_teacher(
            name,
            device=str(model.device),
            trust_remote_code=settings.get("trust_remote_code", False),
            local_files_only=settings.get("local_files_only", False),
        )
        for name in config.teacher
    }


def _last_checkpoint(output_dir: Path, record: dict[str, Any]) -> Path | None:
    """The checkpoint from which to resume; None if there is no checkpoint yet."""
    check_same_run(output_dir, record)
    found = last_whole(output_dir)
    if found is None:
        say_once(f"--resume: {output_dir} holds no checkpoint, so the run starts at its first step")
        return None
    check_checkpoint(found)
    return found


def _cuts_features(config: TrainConfig) -> bool:
    return any(AUGMENTATIONS.get(name).features for name in config.augmentation)


# Tokens and steps


def _rows(start: _Start, read: _Read, views: Views, *, first: bool) -> TrainingRows:
    """The data in the form that the trainer takes."""
    config, model, data = start.config, start.model, read.data
    texts = numbered([data.column(i) for i in range(data.width)])
    if len(views.tables) == 2 and data.width == 1:
        texts = np.repeat(texts, 2, axis=1)
    return TrainingRows(
        views.tables,
        model.tokenizer.pad_token_id,
        texts=texts,
        augment=views.augment,
        apart=views.templates is not None,
        seed=config.seed,
        gold=read.gold,
        labels=read.labels,
        teachers=[]
        if config.objective.neighborhood
        else [teacher_vectors(teacher, data, show_progress_bar=first) for teacher in start.teachers],
        packs=start.packs,
        pads=model.encoder.pads,
        groups=GROUPS.get(model.device.type, 1),
        mini_batch_size=config.mini_batch_size,
        mini_batch_tokens=config.mini_batch_tokens,
    )
