"""Which backend runs an encoder: the one place that makes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from simcse_kit.data.sample import sample_sentences
from simcse_kit.encoder.backends.dtypes import choose_dtype, multiplies_bfloat16
from simcse_kit.encoder.backends.interface import Backend
from simcse_kit.encoder.backends.torch import TorchBackend
from simcse_kit.encoder.modules import Encoder
from simcse_kit.encoder.tokens import TokenTable
from simcse_kit.errors import ModelError


def make_backend(
    name: str,
    dtype: str,
    encoder: Encoder,
    tokenizer: Any,
    *,
    model_name: str,
    folder: Path,
    fingerprint: Callable[[], str],
    tokenize: Callable[[Sequence[str]], TokenTable],
    calibration: Sequence[str] | None = None,
) -> Backend:
    """The backend ``name`` in ``dtype``, a key and a value of `dtypes.DTYPES`, or "auto".

    A converted model is kept in the user's cache; ``folder`` is where the model itself lies, which may hold one too.
    ``calibration``: sentences to quantize by (int8); None takes those that come with the package.

    Raises:
        ModelError: no such backend or dtype, another device, or an architecture that cannot be converted.
        MissingExtraError: OpenVINO is not installed.
    """
    device = next(encoder.parameters()).device
    dtype = choose_dtype(dtype, name, device)
    if calibration is not None and dtype != "int8":
        raise ModelError(f"calibration sentences are for dtype int8; got dtype {dtype}")
    if name == "torch":
        return TorchBackend(encoder, tokenizer.pad_token_id, dtype)
    from simcse_kit.encoder.backends import conversion
    from simcse_kit.encoder.backends.openvino import OpenVinoBackend

    check_device(name, device)
    conversion.require_openvino(dtype)
    own = calibration is not None
    if dtype == "int8" and calibration is None:
        calibration = sample_sentences()
    kept = conversion.kept_model(fingerprint(), folder, calibration, by_calibration=own)
    model = conversion.load(kept)
    if model is None:
        model = conversion.make(
            encoder,
            name=model_name,
            pad_id=tokenizer.pad_token_id,
            calibration=None if calibration is None else tokenize(calibration),
        )
        conversion.keep(model, kept)
    return OpenVinoBackend(model, tokenizer.pad_token_id, dtype, bfloat16=multiplies_bfloat16(device))


def check_device(name: str, device: torch.device) -> None:
    """A `ModelError` where the backend does not run on the device."""
    if name == "openvino" and device.type != "cpu":
        raise ModelError(f"backend openvino runs on the CPU here; got device {device}")
