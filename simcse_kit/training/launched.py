"""FSDP as configured by ``accelerate launch`` in the environment, and its supported form."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from simcse_kit.errors import TrainingError
from simcse_kit.training.config import TrainConfig

_NEEDED = {  # variable: its line in accelerate's configuration, and the required value
    "FSDP_VERSION": ("fsdp_version", "2"),
    "FSDP_STATE_DICT_TYPE": ("fsdp_state_dict_type", "FULL_STATE_DICT"),  # else the trainer saves no model
    "FSDP_CPU_RAM_EFFICIENT_LOADING": ("fsdp_cpu_ram_efficient_loading", "false"),  # each process checks its own model
    "FSDP_OFFLOAD_PARAMS": ("fsdp_offload_params", "false"),
    "FSDP_ACTIVATION_CHECKPOINTING": ("fsdp_activation_checkpointing", "false"),  # use --gradient-checkpointing instead
    "ACCELERATE_MIXED_PRECISION": ("mixed_precision", "no"),  # use --bf16 instead
}
_UNSUPPORTED = {
    "mini_batch_tokens": "the processes would run different numbers of mini-batches; set mini_batch_size instead",
    "torch_compile": "not tested with weights that are gathered layer by layer",
}
_LABELLED = "the processes would embed different numbers of texts; use torchrun without FSDP"
_LEARNED = "a single number cannot be sharded"
_OPTIMIZER = "optimizer.bin"  # name of a checkpoint file that only FSDP writes


def sharded() -> bool:
    """Whether the run was launched with FSDP."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def check_sharding(config: TrainConfig, device: torch.device) -> None:
    """Check that FSDP is configured as `ShardedTrainer` needs it, on accelerators, and supports all settings."""
    if not sharded():
        return
    for variable, (line, wanted) in _NEEDED.items():
        found = os.environ.get(variable, "nothing")
        if found.lower() != wanted.lower():
            raise TrainingError(
                f"FSDP needs {line}: {wanted} in accelerate's configuration; found {found}. See examples/fsdp.yaml"
            )
    reasons = {name: why for name, why in _UNSUPPORTED.items() if getattr(config, name)}
    reasons |= {term.names()[0]: term.not_sharded for term in config.active if term.not_sharded}
    reasons |= {"learn_temperature": _LEARNED} if config.objective.learn_temperature else {}
    reasons |= {f"objective {config.objective.name}": _LABELLED} if config.objective.labelled else {}
    for name, why in reasons.items():
        raise TrainingError(f"{name} is not supported with FSDP: {why}")
    if device.type == "cpu":
        raise TrainingError(
            "FSDP needs one accelerator per process; accelerate ignores it on a CPU. Use torchrun on CPUs"
        )


def check_checkpoint(checkpoint: Path) -> None:
    """Check that the checkpoint fits: FSDP writes the optimizer's state in another form."""
    was = (checkpoint / _OPTIMIZER).is_file()
    if was != sharded():
        raise TrainingError(
            f"--resume: {checkpoint} was written {'with' if was else 'without'} FSDP; resume the run in the same way"
        )
