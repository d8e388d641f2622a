"""What a run is, in numbers, before its first step."""

from __future__ import annotations

from simcse_kit.training.checkpoints import step_of
from simcse_kit.training.events import TrainPlan
from simcse_kit.training.job import Job


def make_plan(job: Job) -> TrainPlan:
    """The plan of a run that has passed its checks."""
    config, data, pairs = job.config, job.data, job.pairs
    return TrainPlan(
        mode=config.mode,
        model=config.model,
        output_dir=job.output_dir,
        rows=len(data),
        columns=data.width,
        empty=data.empty,
        skipped=len(data.skipped),
        tokens=sum(int(column.offsets[-1]) for column in job.columns),
        truncated=sum(column.truncated for column in job.columns),
        max_seq_length=config.max_seq_length,
        batch_size=config.batch_size,
        devices=1,
        negatives=config.batch_size - 1 + (config.batch_size if data.width == 3 else 0),
        steps=config.steps(len(data)),
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        temperature=config.temperature,
        pooling=job.model.pooling,
        pooling_origin=job.pooling_origin,
        train_head=config.train_head,
        mlm_weight=config.mlm_weight,
        device=str(job.model.device),
        precision="bfloat16" if job.bf16 else "float32",
        seed=config.seed,
        eval_source=None if pairs is None else pairs.source,
        eval_pairs=0 if pairs is None else len(pairs.gold),
        eval_steps=config.eval_steps,
        resumed_from=None if job.checkpoint is None else step_of(job.checkpoint),
    )
