"""Backend ``openvino``, for CPUs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simcse_kit.encoder.backends.part import BACKENDS, BackendRequest, EncodeBackend

if TYPE_CHECKING:
    from simcse_kit.encoder.backends.interface import Backend
    from simcse_kit.encoder.light.request import LightRequest, LightRun


@BACKENDS.register
@dataclass(frozen=True, kw_only=True)
class OpenVino(EncodeBackend):
    """A converted model, stored in the user's cache or in the model's own folder."""

    name = "openvino"
    help = "OpenVINO on the CPU (needs the extra openvino)."
    source = "https://docs.openvino.ai"
    order = 2
    dtypes = ("float32", "bfloat16", "int8")
    calibrated = ("int8",)
    device = "cpu"

    def make(self, request: BackendRequest) -> Backend:
        from simcse_kit.encoder.backends import converted
        from simcse_kit.encoder.backends.openvino import OpenVinoBackend

        converted.require_openvino(request.dtype)
        calibration = self._calibration(request)
        cache = converted.conversion_cache(
            request.fingerprint(), request.folder, calibration, by_calibration=request.calibration is not None
        )
        model = converted.load(cache)
        if model is None:
            from simcse_kit.encoder.backends import conversion

            model = conversion.make(
                request.encoder,
                name=request.model_name,
                pad_id=request.pad_id,
                calibration=None if calibration is None else request.tokenize(calibration),
            )
            converted.keep(model, cache)
        return OpenVinoBackend(model, request.pad_id, request.dtype, pads=request.encoder.pads)

    def make_light(self, request: LightRequest) -> LightRun | None:
        """The stored model, if there is one; for any number of texts."""
        if request.dtype not in self.dtypes or (request.dtype == "bfloat16" and not request.sound):
            return None
        from simcse_kit.encoder.backends import converted
        from simcse_kit.encoder.backends.openvino import OpenVinoBackend
        from simcse_kit.encoder.light.request import LightRun

        converted.require_openvino(request.dtype)
        cache = converted.conversion_cache(
            request.fingerprint,
            request.folder,
            self._calibration(request),
            by_calibration=request.calibration is not None,
        )
        model = converted.load(cache)
        if model is None:
            return None
        return LightRun(OpenVinoBackend(model, request.pad_id, request.dtype, pads=request.pads), few=False)

    def _calibration(self, request: BackendRequest | LightRequest) -> Sequence[str] | None:
        """Calibration sentences of an int8 model; None for other dtypes."""
        from simcse_kit.data.sample import sample_sentences

        if request.dtype in self.calibrated and request.calibration is None:
            return sample_sentences()
        return request.calibration
