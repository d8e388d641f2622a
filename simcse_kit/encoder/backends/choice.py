"""Makes the backend that runs an encoder; no other module does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from simcse_kit.encoder.backends.dtypes import choose_dtype
from simcse_kit.encoder.backends.interface import Backend
from simcse_kit.encoder.backends.part import (
    BACKENDS,
    BackendRequest,
    EncodeBackend,
    check_backend_device,
    check_dtype,
)
from simcse_kit.encoder.backends.torch import TorchBackend
from simcse_kit.encoder.modules import Encoder
from simcse_kit.encoder.probing import half_fault, is_sound, probe_tokens
from simcse_kit.encoder.tokens import TokenTable
from simcse_kit.errors import say_once


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
    """The backend ``name`` of `BACKENDS`, or ``module:class``, in ``dtype``: one of the backend's, or "auto".

    A converted model is stored in the user's cache; ``folder``, the model's own folder, may hold one too.
    ``calibration``: sentences for quantizing (int8); None: those of the package.

    Raises:
        ModelError: unknown backend or dtype, wrong device, or an architecture that cannot be converted.
        MissingExtraError: the backend's library is not installed.
    """
    part = BACKENDS.get(name)
    device = next(encoder.parameters()).device
    dtype = choose_dtype(dtype, part, device)
    check_dtype(part, dtype, calibration)
    check_backend_device(part, device)
    request = BackendRequest(
        encoder=encoder,
        pad_id=tokenizer.pad_token_id,
        dtype=dtype,
        model_name=model_name,
        folder=folder,
        fingerprint=fingerprint,
        tokenize=tokenize,
        calibration=calibration,
    )
    if dtype != "bfloat16" or "float32" not in part.dtypes or is_sound(encoder):
        return part().make(request)
    return _tried(part, request, probe_tokens(encoder, tokenizer))


def _tried(part: type[EncodeBackend], request: BackendRequest, tokens: TokenTable) -> Backend:
    """A backend in bfloat16 if a few test texts come out right; else in float32, with a notice."""
    encoder = request.encoder
    exact, half = TorchBackend(encoder, request.pad_id), part().make(request)
    fault = half_fault(encoder, lambda: _vectors(half, encoder, tokens), lambda: _vectors(exact, encoder, tokens))
    if fault is None:
        return half
    say_once(
        f"{request.model_name}: {type(encoder.backbone).__name__} fails in bfloat16 ({fault}), so it runs in float32"
    )
    return part().make(request._replace(dtype="float32"))


def _vectors(backend: Backend, encoder: Encoder, tokens: TokenTable) -> torch.Tensor:
    out = torch.empty(len(tokens.lengths), encoder.dimension)
    backend.embed(tokens, out)
    return out
