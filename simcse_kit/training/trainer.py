"""``transformers.Trainer`` with our batches, our score, and atomic checkpoints."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import send_to_device  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments

from simcse_kit.distributed import any_rank, barrier, from_first
from simcse_kit.encoder.lora import has_lora
from simcse_kit.errors import TrainingError
from simcse_kit.files import disk_full_named, sync
from simcse_kit.model import SimCSE
from simcse_kit.training.batches import TrainingRows
from simcse_kit.training.checkpoints import (
    STAGING,
    STATE,
    TRAINING_WEIGHTS,
    checkpoint_name,
    damage,
    rotate_checkpoints,
    seal_checkpoint,
)
from simcse_kit.training.class_batches import ClassBatches
from simcse_kit.training.events import TrainListener
from simcse_kit.training.gradcache import cached_step
from simcse_kit.training.health import health, near_negatives, warn
from simcse_kit.training.objective import ContrastiveModel, WholeBatch
from simcse_kit.training.record import METRICS, read_metrics
from simcse_kit.training.sampling import EpochBatches
from simcse_kit.training.selection import Score

_TEMPERATURE_RATE = 1e-2  # learning rate of its logarithm; decays to 0 like the others
ENCODER = "sentence.encoder."  # prefix of the encoder's names
_ALSO_LOGGED = ("learning_rate", "grad_norm", "mean_cosine", "effective_rank", "left_out_negatives", "temperature")


class _Batches(DataLoader[Any]):
    """Gives the rows of the batches of an `EpochBatches`, which already knows its rank."""

    def set_epoch(self, epoch: int) -> None:
        """The trainer calls this."""
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]


def _leave_signals_alone(worker: int) -> None:
    """Ignore Ctrl-C and SIGTERM, which reach the whole process group: the run stops the worker after its step."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class ContrastiveTrainer(Trainer):
    """Trains a `ContrastiveModel` around the encoder of ``saved``; ``score`` returns the metrics of an evaluation."""

    objective: ContrastiveModel
    epoch_batches = EpochBatches

    def __init__(
        self,
        *,
        objective: ContrastiveModel,
        saved: SimCSE,
        rows: TrainingRows,
        args: TrainingArguments,
        score: Score | None,
    ) -> None:
        self.objective = objective
        self.saved = saved
        self.rows = rows
        self.in_parts = objective.settings.cached
        self.score = score
        self.run = Path(str(args.output_dir))
        self._staging = False
        super().__init__(
            model=objective,
            args=args,
            train_dataset=rows,
            eval_dataset=[] if score is not None else None,  # `evaluate` scores sentence pairs instead
            data_collator=rows.collate,
        )
        self.model_accepts_loss_kwargs = False

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        """The trainer's optimizer, with a separate learning rate for a learned temperature."""
        optimizer: torch.optim.Optimizer = super().create_optimizer(*args, **kwargs)
        scale = self.objective.loss.log_scale
        if scale is not None:
            for group in optimizer.param_groups:
                group["params"] = [weight for weight in group["params"] if weight is not scale]
            optimizer.add_param_group({"params": [scale], "lr": _TEMPERATURE_RATE, "weight_decay": 0.0})
        return optimizer

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The batches of this rank: accelerate need not divide them."""
        batches = self._batches()
        workers = self.args.dataloader_num_workers
        if workers:  # they do not tokenize, but the tokenizer warns at every fork after its first use
            os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
        return _Batches(
            self.rows,
            batch_sampler=batches,
            collate_fn=self.rows.collate,
            num_workers=workers,
            pin_memory=self.args.dataloader_pin_memory,
            worker_init_fn=_leave_signals_alone if workers else None,
        )

    def _batches(self) -> EpochBatches:
        """This rank's part of every batch."""
        config, place = self.objective.settings, {"rank": self.args.process_index, "ranks": self.args.world_size}
        if self.rows.labels is not None:
            return ClassBatches(self.rows.labels, config.objective.per_class, config.batch_size, config.seed, **place)
        texts = self.rows.texts if config.no_duplicates else None
        return self.epoch_batches(len(self.rows), config.batch_size, config.seed, texts=texts, **place)

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Move to the device; pinned memory is copied without waiting for the previous step."""
        pinned = self.args.dataloader_pin_memory
        moved: dict[str, Any] = send_to_device(inputs, self.args.device, non_blocking=pinned)
        return moved

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """Train on a whole batch, or in parts if the run has mini-batches."""
        if not self.in_parts:
            return super().training_step(model, inputs, num_items_in_batch)
        model.train()
        batch: Any = self._prepare_inputs(inputs)
        return cached_step(
            model,
            self.objective,
            backward=self.accelerator.backward,
            no_sync=lambda: self._no_sync(model),
            **batch,
        )

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        """The loss of a whole batch of `TrainingRows.collate`."""
        loss: Tensor = model(WholeBatch.of(**inputs))
        return loss

    def _no_sync(self, model: nn.Module) -> AbstractContextManager[Any]:
        """Context for all parts of a step but the last."""
        return self.accelerator.no_sync(model)  # type: ignore[no-any-return]

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log the loss with measures of the last batch's embeddings, and warn about faults."""
        if self.is_world_process_zero() and self.objective.seen and math.isfinite(logs.get("loss", math.nan)):
            state = health(self.objective.seen)
            logs |= {"mean_cosine": state.mean_cosine, "effective_rank": state.effective_rank}
            margin = self.objective.settings.objective.margin
            if margin is not None:
                logs["left_out_negatives"] = near_negatives(self.objective.seen, margin)
            unsupervised = self.objective.settings.mode == "unsup"
            warn(self.state.global_step, state, unsupervised=unsupervised, run=str(self.run))
        if "loss" in logs and self.objective.settings.objective.learn_temperature:
            logs["temperature"] = float(torch.as_tensor(self.objective.loss.temperature).detach())
        super().log(logs, *args, **kwargs)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        if self.state.global_step >= self.state.max_steps:  # a finished run with a fraction of an epoch, resumed
            self.control.should_training_stop = True
            return
        super()._run_epoch(*args, **kwargs)  # type: ignore[no-untyped-call]

    def evaluate(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> dict[str, float]:
        """Score the encoder as it would be saved now, without the training head."""
        found = from_first(self._scores())
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in found.items()}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _scores(self) -> dict[str, float] | None:
        """The first rank's result; the others wait."""
        assert self.score is not None
        return self.score() if self.is_world_process_zero() else None

    def result(self) -> SimCSE:
        """The current model, ready to be written by the first rank; every rank must call this."""
        return self.saved

    # Checkpoints: written elsewhere, then renamed

    def _init_training_state(self, *args: Any, **kwargs: Any) -> tuple[int, int]:
        trained: tuple[int, int] = super()._init_training_state(*args, **kwargs)
        self.state.best_model_checkpoint = self._best_checkpoint()
        return trained

    def _best_checkpoint(self) -> str | None:
        """Path of the best checkpoint in this folder, which may have moved since it was written."""
        best = self.state.best_global_step
        return None if best is None else str(self.run / checkpoint_name(best))

    def _get_output_dir(self, trial: Any) -> str:
        return str(self.run / STAGING if self._staging else self.run)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        name = checkpoint_name(self.state.global_step)
        staging = self.run / STAGING
        if self.args.should_save:
            shutil.rmtree(staging, ignore_errors=True)
        barrier()
        self._staging = True
        try:
            with disk_full_named(self.run):
                super()._save_checkpoint(model, trial)
                barrier()  # every rank has saved its random state there
                if self.args.should_save:
                    self.state.best_model_checkpoint = None  # an absolute path, wrong after a move
                    self.state.save_to_json(str(staging / name / STATE))
                    seal_checkpoint(staging / name)
                    os.rename(staging / name, self.run / name)
                    sync(self.run)
        finally:
            self._staging = False
            if self.args.should_save:
                shutil.rmtree(staging, ignore_errors=True)
        self.state.best_model_checkpoint = self._best_checkpoint()
        if self.args.should_save:
            rotate_checkpoints(self.run)
        barrier()

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """A checkpoint is a model folder, plus the other weights that train."""
        import safetensors.torch

        if not self.args.should_save:  # the trainer calls this on every rank
            return
        folder = self.run if output_dir is None else Path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        unwrapped: Any = self.accelerator.unwrap_model(self.model)
        state = state_dict or unwrapped.state_dict()
        check_finite(state, self.state.global_step)
        self.saved.write(folder)
        kept = {name: tensor.detach().cpu().contiguous() for name, tensor in trained(unwrapped, state).items()}
        safetensors.torch.save_file(kept, folder / TRAINING_WEIGHTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self._load(Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        assert self.state.best_model_checkpoint is not None
        best = Path(self.state.best_model_checkpoint)
        found = damage(best)
        if found is not None:
            raise TrainingError(f"the best checkpoint, {best}, was damaged after it was written: {found}")
        self._load(best)

    def _load(self, checkpoint: Path) -> None:
        import safetensors.torch

        model: Any = self.model
        missing, unexpected = model.load_state_dict(
            safetensors.torch.load_file(checkpoint / TRAINING_WEIGHTS), strict=False
        )
        held = trained(model, model.state_dict())
        lost = [name for name in missing if name in held]
        if lost or unexpected:
            raise checkpoint_mismatch(checkpoint, lost, unexpected)


def check_finite(state: dict[str, Tensor], step: int) -> None:
    """Raise an error if weights are no longer finite; nothing of such a run is saved."""
    if not all(bool(torch.isfinite(tensor).all()) for tensor in state.values()):
        raise diverged(step)


def diverged(step: int) -> TrainingError:
    """The error for a diverged run."""
    return TrainingError(
        f"the run has diverged: at step {step} its loss or weights are not finite. Lower --learning-rate or "
        "raise --temperature; earlier checkpoints are untouched"
    )


def trained(model: ContrastiveModel, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights that a checkpoint must hold: all except the frozen base of LoRA's adapters."""
    fixed: set[str] = set()
    if has_lora(model.encoder):
        fixed = {name for name, weight in model.sentence.encoder.named_parameters() if not weight.requires_grad}
    return _distinct({name: tensor for name, tensor in state.items() if name.removeprefix(ENCODER) not in fixed})


def _distinct(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each tensor under its first name only: tied weights are written once."""
    seen: set[tuple[int, tuple[int, ...]]] = set()
    kept: dict[str, Tensor] = {}
    for name, tensor in state.items():
        key = (tensor.data_ptr(), tuple(tensor.shape))
        if key not in seen or tensor.numel() == 0:
            seen.add(key)
            kept[name] = tensor
    return kept


def checkpoint_mismatch(checkpoint: Path, lost: list[str], unknown: list[str]) -> TrainingError:
    """The error for a checkpoint whose weights do not match the run."""
    return TrainingError(
        f"{checkpoint} does not fit this run: {len(lost)} weights missing, {len(unknown)} unknown, such as "
        f"{[*lost, *unknown][0]}"
    )


class RunCallback(TrainerCallback):
    """Writes ``metrics.jsonl``, informs the listener, and stops the run after the current step if requested."""

    def __init__(self, run: Path, listener: TrainListener, *, seed: int) -> None:
        self.path = run / METRICS
        self.listener = listener
        self.seed = seed
        self.stop_asked = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Give each rank its own random draws; remove log lines after the checkpoint that is resumed."""
        if args.world_size > 1 and state.global_step == 0:
            torch.manual_seed(int(np.random.SeedSequence([self.seed, args.process_index]).generate_state(1)[0]))
        if not state.is_world_process_zero or not self.path.is_file():
            return
        kept = (
            [line for line in read_metrics(self.path.parent) if line["step"] <= state.global_step]
            if state.global_step
            else []
        )
        part = self.path.with_suffix(".part")
        part.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        os.replace(part, self.path)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Append a line; stops a diverged run."""
        metrics = {key: value for key, value in (logs or {}).items() if key == "loss" or key.startswith("eval_")}
        metrics |= {key: value for key, value in (logs or {}).items() if key in _ALSO_LOGGED}
        if not math.isfinite(metrics.get("loss", 0.0)):
            raise diverged(state.global_step)
        if not state.is_world_process_zero or not metrics:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": state.global_step, "epoch": state.epoch} | metrics) + "\n")
        self.listener.logged(state.global_step, metrics)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Report the step; after Ctrl-C, save and stop."""
        if state.is_world_process_zero:
            self.listener.stepped(state.global_step, state.max_steps)
        self.stop_asked = any_rank(self.stop_asked)  # a signal may reach ranks in different steps
        if self.stop_asked:
            control.should_save = True
            control.should_training_stop = True
        if control.should_save:
            control.should_log = True  # a logged loss is a mean since the last line; a resumed run logs the same means
