"""State of the random generators that dropout uses."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor


class RandomState(NamedTuple):
    """The CPU's generator, and the accelerator's if there is one."""

    cpu: Tensor
    accelerator: Tensor | None

    @classmethod
    def now(cls, device: torch.device) -> RandomState:
        """The present state."""
        return cls(torch.get_rng_state(), None if device.type == "cpu" else _module(device).get_rng_state())

    def restore(self, device: torch.device) -> None:
        """Restore this state."""
        torch.set_rng_state(self.cpu)
        if self.accelerator is not None:
            _module(device).set_rng_state(self.accelerator)


def _module(device: torch.device) -> Any:
    """``torch.cuda``, ``torch.mps``, ...: each process has one accelerator, the current one."""
    return torch.get_device_module(device)
