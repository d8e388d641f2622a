"""What the settings of a run decide by themselves, before a text is read or a model loaded."""

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

_COMPILED_STEPS = 2000  # a compiled step is faster by milliseconds, the compiler takes a minute


class Settled(NamedTuple):
    """Settings that have passed their checks, and where the run steps."""

    config: TrainConfig
    given: TrainSettings  # as the caller gave them: how data and models are read
    target: Path  # as the caller named it
    output_dir: Path  # where the run works, see `folder_of_run`
    resume: bool
    overwrite: bool
    world: World
    sharded: bool  # under FSDP
    device: torch.device
    bf16: bool
    default_pooling: str  # where neither the settings nor the model name one


def settle(
    mode: str, output_dir: Path, given: TrainSettings, expected: dict[str, Any] | None, *, labelled: bool = False
) -> Settled:
    """Check settings, output folder and device; ``expected`` is the record of a run to repeat, ``labelled`` as in
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
    """The device asked for; of several processes each takes the accelerator of its own number."""
    device = pick_device(asked)
    if here.size > 1 and device.index is not None:
        raise TrainingError(
            f"each of the {here.size} processes has a device of its own: name it {device.type}, not {device}"
        )
    if here.size > 1 and device.type != "cpu" and device.index is None:
        return pick_device(f"{device.type}:{here.local_rank}")
    return device


def _uses_bf16(asked: bool | None, device: torch.device, earlier: dict[str, Any] | None) -> bool:
    """Whether to train in bf16: as asked, else as the run that is repeated or resumed did, else where the processor or
    the accelerator multiplies in it.
    """
    if asked is not None:
        return asked
    if earlier is not None and "precision" in earlier:
        return bool(earlier["precision"] == "bfloat16")
    return multiplies_bfloat16(device)


def compiles(config: TrainConfig, device: torch.device, steps: int) -> bool:
    """Whether steps go through ``torch.compile``: as asked, else where there are enough to pay for it."""
    if config.torch_compile is not None:
        if config.torch_compile and device.type == "cpu":
            raise TrainingError("torch_compile is for accelerators: the CPU's own shortcuts cannot be compiled")
        return config.torch_compile
    if device.type != "cuda" or steps <= _COMPILED_STEPS:
        return False
    alone = world().size == 1 and not sharded()  # DDP compiles in a way of its own, which was never tried here
    return alone and not config.embeds_twice  # compiled dropout cannot be drawn again
