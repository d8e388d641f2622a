"""What ``accelerate launch`` asks of a run through the environment: FSDP, and in which form it is supported."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from simcse_kit.errors import TrainingError
from simcse_kit.training.config import TrainConfig

_NEEDED = {  # variable: its line in accelerate's configuration, and the value there
    "FSDP_VERSION": ("fsdp_version", "2"),
    "FSDP_STATE_DICT_TYPE": ("fsdp_state_dict_type", "FULL_STATE_DICT"),  # else the trainer saves no model
    "FSDP_CPU_RAM_EFFICIENT_LOADING": ("fsdp_cpu_ram_efficient_loading", "false"),  # each process checks its own model
    "FSDP_OFFLOAD_PARAMS": ("fsdp_offload_params", "false"),
    "FSDP_ACTIVATION_CHECKPOINTING": ("fsdp_activation_checkpointing", "false"),  # ours: --gradient-checkpointing
    "ACCELERATE_MIXED_PRECISION": ("mixed_precision", "no"),  # ours: --bf16
}
_UNSUPPORTED = {
    "mini_batch_tokens": "the processes would run different numbers of mini-batches; give mini_batch_size",
    "torch_compile": "it was never tried with weights that are gathered layer by layer",
}
_LABELLED = "the processes would embed different numbers of texts; use torchrun without FSDP"
_LEARNED = "a single number cannot be divided among processes"
_OPTIMIZER = "optimizer.bin"  # a checkpoint's file under FSDP alone


def sharded() -> bool:
    """Whether the run was started for FSDP."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def check_sharding(config: TrainConfig, device: torch.device) -> None:
    """FSDP is configured as `ShardedTrainer` takes it, on accelerators, and no setting asks for what it lacks."""
    if not sharded():
        return
    for variable, (line, wanted) in _NEEDED.items():
        found = os.environ.get(variable, "nothing")
        if found.lower() != wanted.lower():
            raise TrainingError(
                f"FSDP is supported with {line}: {wanted} in accelerate's configuration; found {found}. "
                "examples/fsdp.yaml is one that fits"
            )
    reasons = {name: why for name, why in _UNSUPPORTED.items() if getattr(config, name)}
    reasons |= {term.names()[0]: term.not_sharded for term in config.active if term.not_sharded}
    reasons |= {"learn_temperature": _LEARNED} if config.objective.learn_temperature else {}
    reasons |= {f"objective {config.objective.name}": _LABELLED} if config.objective.labelled else {}
    for name, why in reasons.items():
        raise TrainingError(f"{name} is not supported under FSDP: {why}")
    if device.type == "cpu":
        raise TrainingError(
            "FSDP needs an accelerator for each process: accelerate leaves it out on a CPU. Use torchrun there"
        )


def check_checkpoint(checkpoint: Path) -> None:
    """Under FSDP an optimizer's state is written in another form."""
    was = (checkpoint / _OPTIMIZER).is_file()
    if was != sharded():
        raise TrainingError(
            f"--resume: {checkpoint} was written {'under' if was else 'without'} FSDP; go on with the run as it began"
        )
