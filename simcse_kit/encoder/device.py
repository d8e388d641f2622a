"""Where a model runs."""

from __future__ import annotations

import torch

from simcse_kit.errors import ModelError


def pick_device(device: str | torch.device | None) -> torch.device:
    """The device asked for, else the first accelerator, else the CPU; one that is not there is a `ModelError`."""
    if device is None:
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"device {str(device)!r} cannot be used: {str(error).splitlines()[0]}") from error
    return chosen


def all_devices() -> list[str]:
    """A name for every accelerator, ``cuda:0`` and so on; without one, the CPU twice: a process on each."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None:
        return ["cpu"] * 2
    return [f"{accelerator.type}:{number}" for number in range(torch.accelerator.device_count())]
