"""PyTorch, the default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simcse_kit.encoder.backends.part import BACKENDS, BackendRequest, EncodeBackend

if TYPE_CHECKING:
    from simcse_kit.encoder.backends.interface import Backend


@BACKENDS.register
@dataclass(frozen=True, kw_only=True)
class Torch(EncodeBackend):
    """The encoder where its weights are."""

    name = "torch"
    help = "PyTorch on any device."
    source = "Paszke et al. (2019)"
    order = 1
    dtypes = ("float32", "bfloat16")
    several_processes = True

    def make(self, request: BackendRequest) -> Backend:
        from simcse_kit.encoder.backends.torch import TorchBackend

        return TorchBackend(request.encoder, request.pad_id, request.dtype)
