"""OpenVINO, for processors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simcse_kit.encoder.backends.part import BACKENDS, BackendRequest, EncodeBackend

if TYPE_CHECKING:
    from simcse_kit.encoder.backends.interface import Backend


@BACKENDS.register
@dataclass(frozen=True, kw_only=True)
class OpenVino(EncodeBackend):
    """A converted model, kept in the user's cache or in the model's own folder."""

    name = "openvino"
    help = "OpenVINO on the CPU (needs the extra openvino)."
    source = "https://docs.openvino.ai"
    order = 2
    dtypes = ("float32", "bfloat16", "int8")
    calibrated = ("int8",)
    device = "cpu"

    def make(self, request: BackendRequest) -> Backend:
        from simcse_kit.data.sample import sample_sentences
        from simcse_kit.encoder.backends import conversion
        from simcse_kit.encoder.backends.dtypes import multiplies_bfloat16
        from simcse_kit.encoder.backends.openvino import OpenVinoBackend

        dtype, calibration = request.dtype, request.calibration
        conversion.require_openvino(dtype)
        if dtype in self.calibrated and calibration is None:
            calibration = sample_sentences()
        cache = conversion.conversion_cache(
            request.fingerprint(), request.folder, calibration, by_calibration=request.calibration is not None
        )
        model = conversion.load(cache)
        if model is None:
            model = conversion.make(
                request.encoder,
                name=request.model_name,
                pad_id=request.pad_id,
                calibration=None if calibration is None else request.tokenize(calibration),
            )
            conversion.keep(model, cache)
        able = multiplies_bfloat16(next(request.encoder.parameters()).device)
        return OpenVinoBackend(model, request.pad_id, dtype, bfloat16=able, pads=request.encoder.pads)
