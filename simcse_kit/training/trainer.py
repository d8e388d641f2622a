"""``transformers.Trainer`` with our batches, our score, and checkpoints that are whole or not there."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import rotate_checkpoints

from simcse_kit.errors import TrainingError
from simcse_kit.files import disk_full_named, read_json, sync, write_json
from simcse_kit.model import SimCSE
from simcse_kit.training.batches import EpochSampler, TrainingRows
from simcse_kit.training.events import TrainListener
from simcse_kit.training.objective import ContrastiveModel

METRICS = "metrics.jsonl"
STAGING = ".staging"
_KEPT = 2  # checkpoints: the last and the best
_STATE = "trainer_state.json"
_WEIGHTS = "model.safetensors"

Score = Callable[[], dict[str, float]]


class ContrastiveTrainer(Trainer):
    """Steps a `ContrastiveModel`; ``score`` gives the metrics of an evaluation, ``model_folder`` writes a checkpoint's."""

    def __init__(
        self, *, objective: ContrastiveModel, saved: SimCSE, rows: TrainingRows, args: TrainingArguments, score: Score | None
    ) -> None:
        self.saved = saved
        self.score = score
        self._staging = False
        super().__init__(
            model=objective,
            args=args,
            train_dataset=rows,
            eval_dataset=[] if score is not None else None,  # `evaluate` scores sentence pairs instead
            data_collator=rows.collate,
        )
        self.model_accepts_loss_kwargs = False

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochSampler:
        return EpochSampler(len(self.train_dataset), self.args.seed)

    def evaluate(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> dict[str, float]:
        """Score the encoder, without the training head, as it would be saved now."""
        assert self.score is not None
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in self.score().items()}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    # Checkpoints: written aside, then renamed

    def _get_output_dir(self, trial: Any) -> str:
        run = super()._get_output_dir(trial)
        return os.path.join(run, STAGING) if self._staging else run

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        run = Path(self.args.output_dir)
        name = f"checkpoint-{self.state.global_step}"
        with disk_full_named(run):
            if self.args.should_save:
                shutil.rmtree(run / STAGING, ignore_errors=True)
            self._staging = True
            try:
                super()._save_checkpoint(model, trial)
            except BaseException:
                shutil.rmtree(run / STAGING, ignore_errors=True)
                raise
            finally:
                self._staging = False
            if self.state.best_global_step:
                self.state.best_model_checkpoint = str(run / f"checkpoint-{self.state.best_global_step}")
            if not self.args.should_save:
                return
            self.state.save_to_json(str(run / STAGING / name / _STATE))
            for path in (run / STAGING / name).rglob("*"):
                sync(path)
            shutil.rmtree(run / name, ignore_errors=True)  # of an earlier life of this run, past its last resume
            os.rename(run / STAGING / name, run / name)
            sync(run)
            shutil.rmtree(run / STAGING, ignore_errors=True)
        rotate_checkpoints(str(run), _KEPT, self.state.best_model_checkpoint)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """A checkpoint is a model folder whose weights file holds the training head too, under the trainer's names."""
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        unwrapped: Any = self.accelerator.unwrap_model(self.model)
        self.saved.write(folder, weights=_distinct(state_dict or unwrapped.state_dict()))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        _load(model or self.model, Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        assert self.state.best_model_checkpoint is not None
        _load(self.model, Path(self.state.best_model_checkpoint))


def _distinct(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each tensor under its first name only: tied weights are written once."""
    seen: set[tuple[int, tuple[int, ...]]] = set()
    kept: dict[str, Tensor] = {}
    for name, tensor in state.items():
        key = (tensor.data_ptr(), tuple(tensor.shape))
        if key not in seen or tensor.numel() == 0:
            seen.add(key)
            kept[name] = tensor.detach().cpu().contiguous()
    return kept


def _load(model: Any, checkpoint: Path) -> None:
    import safetensors.torch

    state = safetensors.torch.load_file(checkpoint / _WEIGHTS)
    missing, unexpected = model.load_state_dict(state, strict=False)
    held = _distinct(model.state_dict())
    lost = [name for name in missing if name in held]
    if lost or unexpected:
        raise TrainingError(
            f"{checkpoint} does not fit this run: {len(lost)} weights missing, {len(unexpected)} unknown, such as "
            f"{(lost + list(unexpected))[0]}"
        )


def checkpoints(run: Path) -> list[Path]:
    """The run's checkpoints, oldest first; only whole ones have such a name."""
    found = [(int(m[1]), path) for path in run.glob("checkpoint-*") if (m := re.fullmatch(r"checkpoint-(\d+)", path.name))]
    return [path for _, path in sorted(found)]


def settle_best(run: Path, checkpoint: Path) -> None:
    """Let a checkpoint's record of the best one point into this folder: the run may have been moved."""
    state = read_json(checkpoint / _STATE)
    best = state.get("best_model_checkpoint")
    if best and Path(best).parent != run:
        state["best_model_checkpoint"] = str(run / Path(best).name)
        write_json(checkpoint / _STATE, state)


class RunCallback(TrainerCallback):
    """Writes ``metrics.jsonl``, tells the listener, and ends the run after the step in which it was asked to."""

    def __init__(self, run: Path, listener: TrainListener) -> None:
        self.path = run / METRICS
        self.listener = listener
        self.stop_asked = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Drop what a killed run logged past the checkpoint that is resumed."""
        if not state.is_world_process_zero or not self.path.is_file():
            return
        kept = [line for line in self.path.read_text(encoding="utf-8").splitlines() if _step(line) <= state.global_step]
        self.path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Append a line."""
        metrics = {key: value for key, value in (logs or {}).items() if key == "loss" or key.startswith("eval_")}
        metrics |= {key: value for key, value in (logs or {}).items() if key in ("learning_rate", "grad_norm")}
        if not state.is_world_process_zero or not metrics:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": state.global_step, "epoch": state.epoch} | metrics) + "\n")
        self.listener.logged(state.global_step, metrics)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell the step; after Ctrl-C, save and stop."""
        if state.is_world_process_zero:
            self.listener.stepped(state.global_step, state.max_steps)
        if self.stop_asked:
            control.should_save = True
            control.should_evaluate = False
            control.should_training_stop = True


def _step(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")  # a line cut off by the kill


def uses_bf16(asked: bool | None, device: torch.device) -> bool:
    """Whether to train in bf16: as asked, else where an accelerator has it."""
    if asked is not None:
        return asked
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
