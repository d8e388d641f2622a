"""ONNX, for onnxruntime and sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simcse_kit.encoding.export.part import EXPORT_FORMATS, ExportFormat

if TYPE_CHECKING:
    from simcse_kit.model import SimCSE
    from simcse_kit.types import EncodeFn


@EXPORT_FORMATS.register
@dataclass(frozen=True, kw_only=True)
class Onnx(ExportFormat):
    """The saved model with one graph: ids and mask (B, L) to token states (B, L, D) and sentence vectors (B, D)."""

    name = "onnx"
    help = "For onnxruntime and the backend onnx; pooling and head included."
    source = "https://onnx.ai"
    order = 1
    loads_as = ("onnx", "float32")

    def write(self, model: SimCSE, target: Path, calibration: Sequence[str] | None) -> EncodeFn:
        from simcse_kit.encoder.backends.onnx import GRAPH, record_graph
        from simcse_kit.encoding.export.onnx import write_onnx
        from simcse_kit.errors import require_extra
        from simcse_kit.model import SimCSE

        require_extra("onnx", ["onnx", "onnxscript", "onnxruntime"], "export to onnx")
        model.save(target)
        write_onnx(model, target / GRAPH)
        record_graph(target, model.fingerprint())
        return SimCSE(target, backend="onnx").encoder_fn()
