"""Runs the steps of a prepared run and saves the result."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PrinterCallback, TrainerState, TrainingArguments

from simcse_kit.distributed import barrier
from simcse_kit.encoder.lora import merge_lora
from simcse_kit.errors import TrainingInterrupted
from simcse_kit.files import disk_full_named
from simcse_kit.model import SimCSE
from simcse_kit.training.checkpoints import checkpoint_name
from simcse_kit.training.events import TrainListener, TrainPlan, TrainResult
from simcse_kit.training.job import Job
from simcse_kit.training.selection import Score, dropout_twins_scorer, pairs_scorer
from simcse_kit.training.trainer import ContrastiveTrainer, RunCallback
from simcse_kit.training.trial import trial_step

_METRIC = {"eval-data": "spearman", "dropout-twins": "label_free"}  # metric that selects the best checkpoint
_LOGGING_STEPS = 10  # maximum number of steps between evaluations: a short run needs a curve too


def fit(job: Job, plan: TrainPlan, listener: TrainListener) -> TrainResult:
    """Train from the start or from the checkpoint, then save the best model: the start model if no checkpoint scored
    higher.

    Raises:
        TrainingInterrupted: after Ctrl-C, with a checkpoint of the step.
        DiskFullError: the disk is full; earlier checkpoints are complete.
    """
    callback = RunCallback(job.output_dir, listener, seed=job.config.seed)
    trainer = _trainer_class(job)(
        objective=job.objective,
        saved=job.model,
        rows=job.rows,
        args=_arguments(job),
        score=_scorer(job),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(callback)
    first = trainer.is_world_process_zero()
    share = job.config.start_share
    start = _copy(trainer.saved.encoder) if first and (share or job.select in _METRIC) else {}  # also for a resumed run
    began = time.perf_counter()
    with _stop_after_step(callback), disk_full_named(job.output_dir):
        trainer.train(resume_from_checkpoint=str(job.checkpoint) if job.checkpoint else None)
    state = trainer.state
    if callback.stop_asked and state.global_step < state.max_steps:
        raise TrainingInterrupted(
            f"stopped after step {state.global_step} of {state.max_steps}, saved in "
            f"{job.output_dir / checkpoint_name(state.global_step)}. Repeat the command with --resume to "
            "continue"
        )
    best = _best(state, job.select)
    result = TrainResult(
        output_dir=job.output_dir,
        steps=state.global_step,
        select=job.select,
        best_step=best.step,
        best_score=best.score,
        start_score=best.start_score,
        seconds=time.perf_counter() - began,
        rows=plan.rows_until(state.global_step) - plan.rows_until(plan.resumed_from or 0),
    )
    model = trainer.result()
    if first:
        if result.start_was_better:
            _put_back(model.encoder, start)
        elif share:
            _put_back(model.encoder, start, share)
        if job.config.merge:
            merge_lora(model.encoder)
        _save(model, result, job.select)
    barrier()
    return result


class _Best(NamedTuple):
    """The weights to save."""

    step: int | None  # 0: the start model; None: the last step, without scores
    score: float | None
    start_score: float | None


def _best(state: TrainerState, select: str) -> _Best:
    """The best checkpoint, or the start model if none scored higher. After a resume, the log still has the start."""
    if select not in _METRIC:
        return _Best(None, None, None)
    name = f"eval_{_METRIC[select]}"
    start = next((line[name] for line in state.log_history if line["step"] == 0 and name in line), None)
    step, score = state.best_global_step, state.best_metric
    if start is not None and (step is None or score is None or start >= score):
        return _Best(0, start, start)
    return _Best(step, None if step is None else score, start)


def _copy(encoder: nn.Module) -> dict[str, Tensor]:
    """All weights that train, on the CPU."""
    return {
        name: weight.detach().to("cpu", copy=True)
        for name, weight in encoder.named_parameters()
        if weight.requires_grad
    }


def _put_back(encoder: nn.Module, weights: dict[str, Tensor], share: float = 1.0) -> None:
    """Load weights into an encoder, or a weighted mean of them and its own."""
    with torch.no_grad():
        for name, weight in encoder.named_parameters():
            if name not in weights:
                continue
            before = weights[name].to(weight)
            weight.copy_(before if share == 1 else weight.lerp(before, share))


def _trainer_class(job: Job) -> type[ContrastiveTrainer]:
    if not job.sharded:
        return ContrastiveTrainer
    from simcse_kit.training.sharded import ShardedTrainer

    return ShardedTrainer


def _save(model: SimCSE, result: TrainResult, select: str) -> None:
    model.record |= {"steps": result.steps, "best_step": result.best_step}
    if result.best_score is not None:
        name = f"eval_{_METRIC[select]}"
        model.record["scores"] = {name: result.best_score, f"{name}_at_start": result.start_score}
    model.save(result.output_dir)


def _scorer(job: Job) -> Score | None:
    """The score that ranks checkpoints, and metrics that need no labels."""
    parts: list[Score] = []
    if job.pairs is not None:
        parts.append(pairs_scorer(job.model, job.pairs))
    if job.held_out:
        parts.append(dropout_twins_scorer(job.model, job.held_out, job.form.longest))
    if not parts:
        return None
    return lambda: {name: value for part in parts for name, value in part().items()}


def _arguments(job: Job) -> TrainingArguments:
    config, device = job.config, job.model.device
    evaluates = job.pairs is not None or bool(job.held_out)
    selects = _METRIC.get(job.select)
    arguments = TrainingArguments(
        output_dir=str(job.output_dir.absolute()),
        per_device_train_batch_size=config.batch_size,
        num_train_epochs=config.epochs,
        learning_rate=config.learning_rate,
        lr_scheduler_type="linear",
        seed=config.seed,
        data_seed=config.seed,
        bf16=False,  # the objective has its own autocast
        use_cpu=device.type == "cpu",
        logging_strategy="steps",
        logging_steps=min(_LOGGING_STEPS, config.eval_steps),
        eval_strategy="steps" if evaluates else "no",
        eval_steps=config.eval_steps,
        eval_on_start=evaluates and job.checkpoint is None,
        save_strategy="steps",
        save_steps=config.eval_steps,
        load_best_model_at_end=selects is not None,
        metric_for_best_model=selects,
        greater_is_better=True if selects else None,
        report_to=config.report_to,
        logging_nan_inf_filter=False,  # else it would log a diverged loss as 0
        remove_unused_columns=False,
        dataloader_pin_memory=device.type == "cuda",
        # Prepares the next batch while the device computes. With many groups each tensor would need a file descriptor.
        dataloader_num_workers=int(device.type == "cuda" and not config.cached),
        ddp_find_unused_parameters=leaves_weights_unused(job) if job.world.size > 1 and not job.sharded else None,
        disable_tqdm=True,
        label_names=[],
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # one process uses one device; torchrun starts more
    return arguments


def leaves_weights_unused(job: Job) -> bool:
    """Whether a step may leave weights without a gradient, which DDP must know; tries a few sentences."""
    objective = job.objective
    if objective.mlm is not None:  # a batch may have no token to predict
        return True
    with trial_step(job):
        return any(weight.requires_grad and weight.grad is None for weight in objective.sentence.parameters())


@contextmanager
def _stop_after_step(callback: RunCallback) -> Iterator[None]:
    """First Ctrl-C or SIGTERM: finish the step, save, stop. Second: stop at once. Main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, frame: Any) -> None:
        callback.stop_asked = True
        for other in before:
            signal.signal(other, signal.default_int_handler)

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
