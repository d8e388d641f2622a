"""A run from its settings to the saved model. `training.run` looks for mistakes before it imports this module."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from simcse_kit.data.judged import QRELS
from simcse_kit.distributed import barrier, join
from simcse_kit.encoder.speed.compiled import compiled
from simcse_kit.encoder.speed.fast import training_speedups
from simcse_kit.evaluation.judgements import record_use
from simcse_kit.training.checkpoints import checkpoints, remove_checkpoints, step_of
from simcse_kit.training.events import TrainListener, TrainResult
from simcse_kit.training.job import Job, TrainData, prepare
from simcse_kit.training.notebook import usual_listener
from simcse_kit.training.output import run_folder
from simcse_kit.training.plan import make_plan
from simcse_kit.training.record import resumed_record, write_record
from simcse_kit.training.settings import TrainSettings
from simcse_kit.training.targets import FOLDER as TARGETS
from simcse_kit.training.taught import set_targets
from simcse_kit.training.trial import trial_step


def run_job(
    mode: str, source: TrainData, output_dir: Path, settings: TrainSettings, *, expected: dict[str, Any] | None = None
) -> TrainResult:
    """Train. ``expected``: the record of a run to repeat."""
    job = prepare(mode, source, output_dir, settings, expected=expected)
    first = job.world.rank == 0
    listener = (settings.get("listener") or usual_listener()) if first else TrainListener()
    from simcse_kit.training.fit import fit  # the trainer takes 2 s to import: mistakes are reported before

    join(job.model.device)  # now every process has passed its checks
    with run_folder(job.target, job.output_dir, resume=job.resume) if first else nullcontext():
        if first:
            _begin(job)
        barrier()
        if job.teacher is not None:
            set_targets(job, job.teacher)
        with _speedups(job) as names:
            plan = make_plan(job, names)
            listener.started(plan)
            result = fit(job, plan, listener)
        if first:
            shutil.rmtree(job.output_dir / TARGETS, ignore_errors=True)
    barrier()
    result = result._replace(output_dir=output_dir)
    listener.finished(result)
    return result


def _begin(job: Job) -> None:
    """Write the record of the run. For a resumed run, remove damaged checkpoints after the intact one."""
    record, run = job.record, job.output_dir
    if job.checkpoint is not None:
        step = step_of(job.checkpoint)
        record = resumed_record(run, record, step=step)
        remove_checkpoints(run, {later for later in map(step_of, checkpoints(run)) if later > step})
    write_record(run, record)
    _record_queries(job)


def _record_queries(job: Job) -> None:
    """Queries that selected the model, or were used to make its start model; a verdict on it never counts them."""
    judged = job.pairs if job.pairs is not None and job.select == "eval-data" else None
    folder = judged.source if judged is not None and (Path(judged.source) / QRELS).is_file() else None
    queries = judged.first if judged is not None and folder is not None else []
    record_use(job.output_dir, queries, purpose="selection", folder=folder, start=job.config.model, by=job.target)


@contextmanager
def _speedups(job: Job) -> Iterator[tuple[str, ...]]:
    """Exact speed-ups; when activations are recomputed they would not pay."""
    if job.config.gradient_checkpointing:
        yield ()
        return
    with training_speedups(job.model.encoder, mlm=job.objective.mlm is not None) as names:
        if not job.compiles:
            yield names
            return
        with compiled(job.model.encoder, lambda: _try_step(job)) as works:
            yield (*names, "torch.compile") if works else names


def _try_step(job: Job) -> None:
    with trial_step(job):
        pass
