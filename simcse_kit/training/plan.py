"""What a run is, in numbers, before its first step."""

from __future__ import annotations

from simcse_kit.training.checkpoints import step_of
from simcse_kit.training.config import TrainConfig
from simcse_kit.training.events import TrainPlan
from simcse_kit.training.job import Job


def make_plan(job: Job, speedups: tuple[str, ...] = ()) -> TrainPlan:
    """The plan of a run that has passed its checks; ``speedups`` are those in effect."""
    config, data, pairs = job.config, job.data, job.pairs
    return TrainPlan(
        mode=config.mode,
        model=config.model,
        output_dir=job.output_dir,
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
        temperature=config.temperature,
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
    )


def _negatives(config: TrainConfig, batch: int, width: int) -> int:
    """Negatives of each sentence, where none is masked and the queue is full."""
    if config.objective == "simclr":
        return 2 * batch - 2
    if config.objective != "simcse":
        return 0
    more = round(config.momentum_queue * batch) + round(config.noise_negatives * batch)
    return batch - 1 + (batch if width == 3 else 0) + more


def describe(config: TrainConfig) -> str:
    """The objective and what was added to it, in a line.

    >>> describe(TrainConfig(mode="unsup", model="m", angular_margin=10, augmentation=("repetition",)))
    'simcse, angular margin 10, augmentation repetition'
    """
    parts: list[tuple[bool, str]] = [
        (config.angular_margin > 0, f"angular margin {config.angular_margin:g}"),
        (config.hardness_mode is not None, f"hardness {config.hardness_mode} x {config.hardness_strength:g}"),
        (config.hard_negative_weight != 0, f"hard negative weight {config.hard_negative_weight:g}"),
        (config.bidirectional, "both directions"),
        (bool(config.augmentation), f"augmentation {', '.join(config.augmentation)}"),
        (config.template is not None, f"template {config.template}"),
        (config.second_template is not None, f"and {config.second_template}"),
        (config.template is not None and config.template_denoising, "denoised"),
        (config.momentum_queue > 0, f"momentum queue of {config.momentum_queue:g} batches"),
        (config.noise_negatives > 0, f"noise negatives of {config.noise_negatives:g} batches"),
        (config.false_negative_margin is not None, f"false negatives masked, margin {config.false_negative_margin}"),
        (bool(config.matryoshka_dims), f"matryoshka {', '.join(map(str, config.matryoshka_dims))}"),
        (config.learn_temperature, "temperature learned"),
        (bool(config.teacher), f"{config.ranking} x {config.teacher_weight:g} from {', '.join(config.teacher)}"),
        (config.consistency_weight > 0, f"consistency x {config.consistency_weight:g}"),
        (config.mlm_weight > 0, f"masked-language-model term x {config.mlm_weight:g}"),
        (config.dropout is not None, f"dropout {config.dropout}"),
        (config.lora_rank is not None, f"LoRA of rank {config.lora_rank}{', merged' if config.merge else ''}"),
        (config.no_duplicates, "batches without equal texts"),
        (config.gradient_checkpointing, "activations computed twice"),
    ]
    return ", ".join([config.objective, *(text for wanted, text in parts if wanted)])
