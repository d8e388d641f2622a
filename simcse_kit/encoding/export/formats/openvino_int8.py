"""OpenVINO in int8, for this package."""

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
class OpenVinoInt8(ExportFormat):
    """The saved model with its quantized form, which the backend openvino takes in dtype int8."""

    name = "openvino-int8"
    help = "As openvino, quantized: faster and smaller, less exact."
    source = "Xiao et al. (2023), SmoothQuant; https://docs.openvino.ai"
    order = 3
    loads_as = ("openvino", "int8")
    calibrated = True

    def write(self, model: SimCSE, target: Path, calibration: Sequence[str] | None) -> EncodeFn:
        from simcse_kit.data.sample import sample_sentences
        from simcse_kit.encoding.export.openvino import write_openvino

        return write_openvino(model, target, sample_sentences() if calibration is None else calibration)
