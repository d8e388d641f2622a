"""The device on which a model runs."""

from __future__ import annotations

import torch

from simcse_kit.errors import ModelError


def pick_device(device: str | torch.device | None) -> torch.device:
    """The requested device, else the first accelerator, else the CPU. Raises a `ModelError` if it does not exist."""
    if device is None:
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"cannot use device {str(device)!r}: {str(error).splitlines()[0]}") from error
    return chosen


def all_devices() -> list[str]:
    """Names of all accelerators, such as ``cuda:0``; without one, the CPU twice: one process each."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None:
        return ["cpu"] * 2
    return [f"{accelerator.type}:{number}" for number in range(torch.accelerator.device_count())]
