"""Backend ``onnx``, for CPUs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simcse_kit.encoder.backends.part import BACKENDS, BackendRequest, EncodeBackend
from simcse_kit.errors import require_extra

if TYPE_CHECKING:
    from simcse_kit.encoder.backends.interface import Backend
    from simcse_kit.encoder.light.request import LightRequest, LightRun


@BACKENDS.register
@dataclass(frozen=True, kw_only=True)
class OnnxRuntime(EncodeBackend):
    """The graph in the model's folder."""

    name = "onnx"
    help = "onnxruntime on the CPU, for a folder that export --to onnx wrote (needs the extra onnx)."
    source = "https://onnxruntime.ai"
    order = 3
    device = "cpu"

    def make(self, request: BackendRequest) -> Backend:
        from simcse_kit.encoder.backends.onnx import OnnxBackend, find_graph

        require_extra("onnx", ["onnxruntime"], "backend onnx")
        graph = find_graph(request.folder, request.fingerprint(), request.model_name)
        return OnnxBackend(graph, request.pad_id, pads=request.encoder.pads)

    def make_light(self, request: LightRequest) -> LightRun | None:
        """The same, for any number of texts."""
        if request.dtype not in self.dtypes:
            return None
        from simcse_kit.encoder.backends.onnx import OnnxBackend, find_graph
        from simcse_kit.encoder.light.request import LightRun

        require_extra("onnx", ["onnxruntime"], "backend onnx")
        graph = find_graph(request.folder, request.fingerprint, str(request.folder))
        return LightRun(OnnxBackend(graph, request.pad_id, pads=request.pads), few=False)
