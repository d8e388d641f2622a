"""Backend ``torch``, the default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simcse_kit.encoder.backends.part import BACKENDS, BackendRequest, EncodeBackend

if TYPE_CHECKING:
    from simcse_kit.encoder.backends.interface import Backend
    from simcse_kit.encoder.light.request import LightRequest, LightRun


@BACKENDS.register
@dataclass(frozen=True, kw_only=True)
class Torch(EncodeBackend):
    """The encoder on the device of its weights."""

    name = "torch"
    help = "PyTorch on any device."
    source = "Paszke et al. (2019)"
    order = 1
    dtypes = ("float32", "bfloat16")
    several_processes = True

    def make(self, request: BackendRequest) -> Backend:
        from simcse_kit.encoder.backends.torch import TorchBackend

        return TorchBackend(request.encoder, request.pad_id, request.dtype)

    def make_light(self, request: LightRequest) -> LightRun | None:
        """Computes a few texts with numpy."""
        if request.layers is None or request.dtype != "float32":
            return None
        from simcse_kit.encoder.light.arrays import ArrayBackend
        from simcse_kit.encoder.light.request import LightRun

        weights = request.folder / "model.safetensors"
        return LightRun(ArrayBackend(request.layers, request.pooling, weights, request.post), few=True)
