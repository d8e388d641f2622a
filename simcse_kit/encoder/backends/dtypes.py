"""In which number format an encoder multiplies, and what the processor is good at."""

from __future__ import annotations

import torch

from simcse_kit.errors import ModelError, say_once

DTYPES = {"torch": ("float32", "bfloat16"), "openvino": ("float32", "bfloat16", "int8")}
"""By backend; "auto" stands for one of them."""


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the processor or the accelerator has bfloat16 products of its own: without, they are slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def choose_dtype(asked: str, backend: str, device: torch.device) -> str:
    """The dtype asked for, "auto" settled by asking the processor, which is said; else a `ModelError`."""
    if backend not in DTYPES:
        raise ModelError(f"backend must be one of {', '.join(DTYPES)}; got {backend!r}")
    if asked == "auto":
        able = multiplies_bfloat16(device)
        chosen = "bfloat16" if able else "float32"
        say_once(f"dtype auto: {chosen}, for {device.type} {'has' if able else 'has no'} bfloat16 products")
        return chosen
    if asked not in DTYPES[backend]:
        where = [name for name, dtypes in DTYPES.items() if asked in dtypes]
        hint = f"; {asked} runs with backend {', '.join(where)}" if where else ""
        raise ModelError(
            f"dtype of backend {backend} must be one of {', '.join(DTYPES[backend])}, auto; got {asked!r}{hint}"
        )
    return asked
