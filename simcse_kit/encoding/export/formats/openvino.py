"""OpenVINO in float, for this package."""

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
class OpenVinoFloat(ExportFormat):
    """The saved model with its converted form, which the backend openvino takes without converting."""

    name = "openvino"
    help = "For this package on a CPU: fast at once, without converting."
    source = "https://docs.openvino.ai"
    order = 2
    loads_as = ("openvino", "float32")

    def write(self, model: SimCSE, target: Path, calibration: Sequence[str] | None) -> EncodeFn:
        from simcse_kit.encoding.export.openvino import write_openvino

        return write_openvino(model, target)
