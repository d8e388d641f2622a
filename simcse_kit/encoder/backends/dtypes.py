"""Number formats of an encoder, and what the processor supports."""

from __future__ import annotations

import torch

from simcse_kit.encoder.backends.part import BACKENDS, EncodeBackend, check_dtype
from simcse_kit.errors import say_once


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the processor or accelerator has bfloat16 instructions; without them, bfloat16 is slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def choose_dtype(asked: str, backend: str | type[EncodeBackend], device: torch.device) -> str:
    """The requested dtype. "auto" is decided by the processor, with a notice; an unknown one raises a `ModelError`."""
    part = BACKENDS.get(backend) if isinstance(backend, str) else backend
    check_dtype(part, asked)
    if asked != "auto":
        return asked
    able = "bfloat16" in part.dtypes and multiplies_bfloat16(device)
    chosen = "bfloat16" if able else part.dtypes[0]
    if "bfloat16" in part.dtypes:
        say_once(f"dtype auto: {chosen}, because {device.type} {'has' if able else 'has no'} bfloat16 instructions")
    return chosen
