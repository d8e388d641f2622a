"""Saves a model with its OpenVINO form in the same folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from simcse_kit.encoder.backends import conversion, converted
from simcse_kit.model import SimCSE
from simcse_kit.types import EncodeFn


def write_openvino(model: SimCSE, target: Path, calibration: Sequence[str] | None = None) -> EncodeFn:
    """Save the model and its converted form: in float, or quantized to int8 with the sentences ``calibration``.

    Returns the `encode` function of the written model.

    Raises:
        MissingExtraError: OpenVINO, or for int8 nncf, is not installed.
        ModelError: the architecture cannot be converted.
    """
    dtype = "float32" if calibration is None else "int8"
    converted.require_openvino(dtype)
    model.save(target)
    graph = conversion.make(
        model.encoder,
        name=model.name,
        pad_id=model.tokenizer.pad_token_id,
        calibration=None if calibration is None else model.tokenize(calibration),
    )
    cache = converted.conversion_cache(model.fingerprint(), target, calibration)
    converted.save(graph, cache, cache.exported)
    return SimCSE(target, backend="openvino", dtype=dtype).encoder_fn()
