"""Decisions that need only the settings of a run, before a text is read or a model loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch

from simcse_kit.encoder.backends.dtypes import multiplies_bfloat16
from simcse_kit.encoder.device import pick_device
from simcse_kit.errors import TrainingError
from simcse_kit.launch import World, world
from simcse_kit.training.config import TrainConfig, make_config
from simcse_kit.training.launched import check_sharding, sharded
from simcse_kit.training.output import check_output, check_owner, folder_of_run
from simcse_kit.training.preflight import check_device, check_report
from simcse_kit.training.recipes import mode_defaults
from simcse_kit.training.record import run_of
from simcse_kit.training.settings import TrainSettings

_COMPILED_STEPS = 2000  # a compiled step is faster by milliseconds, but compiling takes a minute


class Settled(NamedTuple):
    """Settings that have passed their checks, with device and folder of the run."""

    config: TrainConfig
    given: TrainSettings  # given by the caller: how data and models are read
    target: Path  # as the caller named it
    output_dir: Path  # working folder of the run, see `folder_of_run`
    resume: bool
    overwrite: bool
    world: World
    sharded: bool  # uses FSDP
    device: torch.device
    bf16: bool
    default_pooling: str  # default if neither the settings nor the model name a pooling


def settle(
    mode: str, output_dir: Path, given: TrainSettings, expected: dict[str, Any] | None, *, labelled: bool = False
) -> Settled:
    """Check settings, output folder and device. ``expected``: the record of a run to repeat; ``labelled`` as in
    `make_config`.
    """
    config = make_config(mode, given, labelled=labelled)
    here = world()
    resume, overwrite = given.get("resume", False), given.get("overwrite", False)
    if here.rank == 0:
        check_owner(output_dir)
    check_output(output_dir, resume=resume, overwrite=overwrite)
    folder = folder_of_run(output_dir, resume=resume, overwrite=overwrite)
    check_report(config.report_to)
    device = _device(config.device, here)
    check_device(device, here)
    check_sharding(config, device)
    earlier = run_of(folder) if resume and expected is None else expected
    return Settled(
        config=config,
        given=given,
        target=output_dir,
        output_dir=folder,
        resume=resume,
        overwrite=overwrite,
        world=here,
        sharded=sharded(),
        device=device,
        bf16=_uses_bf16(config.bf16, device, earlier),
        default_pooling=mode_defaults(mode)["pooling"],
    )


def _device(asked: str | None, here: World) -> torch.device:
    """The requested device. With several processes each takes the accelerator of its own rank."""
    device = pick_device(asked)
    if here.size > 1 and device.index is not None:
        raise TrainingError(
            f"each of the {here.size} processes has its own device: name it {device.type}, not {device}"
        )
    if here.size > 1 and device.type != "cpu" and device.index is None:
        return pick_device(f"{device.type}:{here.local_rank}")
    return device


def _uses_bf16(asked: bool | None, device: torch.device, earlier: dict[str, Any] | None) -> bool:
    """Whether to train in bf16: as requested, else as in the run that is repeated or resumed, else if the hardware
    multiplies in bf16.
    """
    if asked is not None:
        return asked
    if earlier is not None and "precision" in earlier:
        return bool(earlier["precision"] == "bfloat16")
    return multiplies_bfloat16(device)


def compiles(config: TrainConfig, device: torch.device, steps: int) -> bool:
    """Whether steps use ``torch.compile``: as requested, else if there are enough steps to pay for it."""
    if config.torch_compile is not None:
        if config.torch_compile and device.type == "cpu":
            raise TrainingError(
                "torch_compile needs an accelerator: the CPU speed-ups of this package cannot be compiled"
            )
        return config.torch_compile
    if device.type != "cuda" or steps <= _COMPILED_STEPS:
        return False
    alone = world().size == 1 and not sharded()  # DDP compiles differently, which is not tested here
    return alone and not config.embeds_twice  # compiled dropout cannot be repeated
