"""FSDP2 (Zhao et al., 2023): each process holds a shard of the weights, gradients and Adam moments."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from accelerate.utils import save_fsdp_optimizer  # type: ignore[import-untyped]
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.fsdp import register_fsdp_forward_method

from simcse_kit.errors import say_once
from simcse_kit.model import SimCSE
from simcse_kit.training.checkpoints import TRAINING_WEIGHTS
from simcse_kit.training.objective import ContrastiveModel
from simcse_kit.training.sampling import EpochBatches
from simcse_kit.training.trainer import ENCODER, ContrastiveTrainer, checkpoint_mismatch, trained

_SCHEDULER = "scheduler.pt"  # the trainer's name for it


class EvenBatches(EpochBatches):
    """Gives every rank equally many rows of a batch: each forward pass gathers weights, so all ranks must run equally
    many.

    If the last batch of an epoch cannot be divided evenly, fewer rows than there are ranks are left out.
    """

    def batches(self) -> list[NDArray[np.int64]]:
        """The batches of an epoch, for all ranks together."""
        return [batch[: len(batch) - len(batch) % self.ranks] for batch in super().batches()]


class ShardedTrainer(ContrastiveTrainer):
    """A `ContrastiveTrainer` whose ranks synchronise whenever full weights are needed: to encode, save or load.

    Rank 0 keeps a copy of the encoder on the CPU; weights are gathered into it before saving.
    """

    epoch_batches = EvenBatches

    def __init__(self, *, objective: ContrastiveModel, saved: SimCSE, **rest: Any) -> None:
        super().__init__(objective=objective, saved=saved, **rest)
        state = objective.state_dict()
        self._names, self._trained = set(state), set(trained(objective, state))
        present = {type(module).__name__ for module in objective.modules()}
        layers = getattr(objective.encoder.backbone, "_no_split_modules", None) or ()
        objective._no_split_modules = present.intersection(layers)  # type: ignore[assignment]  # accelerate's units
        if self.is_world_process_zero():
            self.saved = _on_cpu(saved)
            _tell_left_out(len(self.rows), objective.settings.batch_size, self.args.world_size)

    def _prepare_for_training(self, *args: Any, **kwargs: Any) -> Any:
        prepared = super()._prepare_for_training(*args, **kwargs)  # type: ignore[no-untyped-call]
        self.objective.within = _call  # type: ignore[assignment]
        for method in ("embed", "within"):
            register_fsdp_forward_method(self.objective, method)
        return prepared

    def _no_sync(self, model: nn.Module) -> AbstractContextManager[Any]:
        return nullcontext()  # unsynchronised gradients would be full-sized

    def _scores(self) -> dict[str, float]:
        """Encode the same sentences on every rank.

        Does not use inference mode, unlike `SimCSE.encode`: weights gathered in it could not be trained afterwards.
        """
        assert self.score is not None
        objective: Any = self.objective
        encode = partial(objective.within, objective.encoder.forward)
        objective.encoder.forward = torch.inference_mode(False)(torch.no_grad()(encode))
        try:
            return self.score()
        finally:
            del objective.encoder.forward

    def result(self) -> SimCSE:
        """The current model, complete on rank 0."""
        self._gather(self.accelerator.get_state_dict(self.model))
        return self.saved

    def _gather(self, state: dict[str, Tensor]) -> None:
        """Fill rank 0's copy from the full state, which only rank 0 has."""
        if self.is_world_process_zero():
            weights = {name.removeprefix(ENCODER): tensor for name, tensor in state.items() if name.startswith(ENCODER)}
            self.saved.encoder.load_state_dict(weights)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        assert state_dict is not None  # the trainer has gathered it
        self._gather(state_dict)
        super()._save(output_dir, state_dict)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """Like the trainer's method, but without its own copy of the model."""
        plugin = self.accelerator.state.fsdp_plugin
        save_fsdp_optimizer(plugin, self.accelerator, self.optimizer, self.model, output_dir)
        if self.args.should_save:
            assert self.lr_scheduler is not None
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / _SCHEDULER)

    def _load(self, checkpoint: Path) -> None:
        model: Any = self.model
        state: dict[str, Any] = safetensors.torch.load_file(checkpoint / TRAINING_WEIGHTS)
        lost, unknown = self._trained - state.keys(), state.keys() - self._names
        if lost or unknown:
            raise checkpoint_mismatch(checkpoint, sorted(lost), sorted(unknown))
        set_model_state_dict(model, state, options=StateDictOptions(full_state_dict=True, strict=False))


def _on_cpu(model: SimCSE) -> SimCSE:
    """The same model with a copy of its encoder."""
    device = model.device
    twin = model.with_encoder(copy.deepcopy(model.encoder.cpu()))  # on the CPU: the accelerator may not fit two
    model.encoder.to(device)
    return twin


def _tell_left_out(rows: int, batch_size: int, ranks: int) -> None:
    batches = EvenBatches(rows, batch_size, seed=0, ranks=ranks)
    left_out = rows - batches.cut.left_out - sum(map(len, batches.batches()))
    if left_out:
        say_once(
            f"{left_out} of the {rows} rows are left out of the last batch of each epoch: FSDP divides it "
            f"evenly among {ranks} processes"
        )


def _call(work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return work(*args, **kwargs)
