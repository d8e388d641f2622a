"""The plan of a run in numbers, before its first step."""

from __future__ import annotations

from simcse_kit.objectives import Guided
from simcse_kit.training.checkpoints import step_of
from simcse_kit.training.config import TrainConfig
from simcse_kit.training.events import TrainPlan
from simcse_kit.training.job import Job


def make_plan(job: Job, speedups: tuple[str, ...] = ()) -> TrainPlan:
    """The plan of a run that has passed its checks; ``speedups``: the active ones."""
    config, data, pairs = job.config, job.data, job.pairs
    return TrainPlan(
        mode=config.mode,
        model=config.model,
        output_dir=job.target,
        rows=len(data),
        columns=data.width,
        empty=data.empty,
        skipped=len(data.skipped),
        tokens=sum(int(table.offsets[-1]) for table in job.views.tables[: data.width]),
        truncated=sum(table.truncated for table in job.views.tables[: data.width]),
        max_seq_length=config.max_seq_length,
        batch_size=config.batch_size,
        devices=job.world.size,
        mini_batches=config.cached,
        left_out=job.epoch.left_out,
        held_out=len(job.held_out),
        negatives=_negatives(config, config.batch_size * job.world.size, data.width),
        steps=job.steps,
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        temperature=config.objective.temperature,
        pooling=job.model.pooling,
        pooling_origin=job.pooling_origin,
        train_head=config.train_head,
        objective=describe(config),
        device=str(job.model.device),
        precision="bfloat16" if job.bf16 else "float32",
        seed=config.seed,
        eval_source=None if pairs is None else pairs.source,
        eval_pairs=0 if pairs is None else len(pairs.gold),
        select=job.select,
        speedups=speedups,
        eval_steps=config.eval_steps,
        resumed_from=None if job.checkpoint is None else step_of(job.checkpoint),
        classes=0 if job.labels is None else int(job.labels.max()) + 1,
        fitted=job.fitted,
    )


def _negatives(config: TrainConfig, batch: int, width: int) -> int:
    """Negatives per sentence, if none is masked and the queue is full."""
    own = config.objective.negatives(batch, width)
    return own + sum(round(term.batches() * batch) for term in config.active) if own else 0


def describe(config: TrainConfig) -> str:
    """The objective and its additions, on one line.

    >>> from simcse_kit.training.config import make_config
    >>> describe(make_config("unsup", {"model": "m", "angular_margin": 10, "augmentation": "repetition"}))
    'simcse, angular margin 10, augmentation repetition'
    """
    objective = config.objective
    guides = [part for part in (*config.active, objective) if isinstance(part, Guided)]
    taught = "".join(f"{guide.ranking} x {guide.teacher_weight:g} from " for guide in guides)
    notes: list[tuple[bool, str]] = [
        *((True, note) for note in objective.notes()),
        (bool(config.augmentation), f"augmentation {', '.join(config.augmentation)}"),
        (config.template is not None, f"template {config.template}"),
        (config.second_template is not None, f"and {config.second_template}"),
        (config.template is not None and config.template_denoising, "denoised"),
        *((True, note) for term in config.active for note in term.notes()),
        (objective.learn_temperature, "temperature learned"),
        (bool(config.teacher), f"{taught}{', '.join(config.teacher)}"),
        (config.dropout is not None, f"dropout {config.dropout}"),
        (config.lora_rank is not None, f"LoRA of rank {config.lora_rank}{', merged' if config.merge else ''}"),
        (config.no_duplicates, "no equal texts in a batch"),
        (config.gradient_checkpointing, "activations are recomputed"),
    ]
    return ", ".join([objective.name, *(text for wanted, text in notes if wanted)])
