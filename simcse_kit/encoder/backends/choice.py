"""Which backend runs an encoder: the one place that makes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from simcse_kit.encoder.backends.dtypes import choose_dtype
from simcse_kit.encoder.backends.interface import Backend
from simcse_kit.encoder.backends.part import (
    BACKENDS,
    BackendRequest,
    check_backend_device,
    check_processes,
    default_device,
)
from simcse_kit.encoder.modules import Encoder
from simcse_kit.encoder.tokens import TokenTable
from simcse_kit.errors import ModelError

__all__ = ["check_backend_device", "check_processes", "default_device", "make_backend"]


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
    """The backend ``name`` of `BACKENDS`, or ``module:class``, in ``dtype``, one of its own or "auto".

    A converted model is kept in the user's cache; ``folder`` is where the model itself lies, which may hold one too.
    ``calibration``: sentences to quantize by (int8); None takes those that come with the package.

    Raises:
        ModelError: no such backend or dtype, another device, or an architecture that cannot be converted.
        MissingExtraError: the backend's library is not installed.
    """
    part = BACKENDS.get(name)
    device = next(encoder.parameters()).device
    dtype = choose_dtype(dtype, part, device)
    if calibration is not None and dtype not in part.calibrated:
        those = dict.fromkeys(one for backend in BACKENDS for one in backend.calibrated)
        raise ModelError(f"calibration sentences are for dtype {', '.join(those)}; got dtype {dtype}")
    check_backend_device(part, device)
    return part().make(
        BackendRequest(
            encoder=encoder,
            pad_id=tokenizer.pad_token_id,
            dtype=dtype,
            model_name=model_name,
            folder=folder,
            fingerprint=fingerprint,
            tokenize=tokenize,
            calibration=calibration,
        )
    )
