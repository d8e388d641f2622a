"""Whether a device's faster steps compute what the CPU's plain one does, before they are timed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from simcse_kit import SimCSE
from simcse_kit.encoder.padding import Packing, pad
from simcse_kit.encoder.speed.compiled import compiled
from simcse_kit.encoder.speed.packed import packed_attention
from simcse_kit.encoder.tokens import tokenize

Vectors = tuple[Tensor, Tensor]  # (B, D) and the gradient of every weight in one (P,), on the CPU

BOUND = {torch.float32: 1e-3, torch.bfloat16: 0.05}  # relative to the length of the vectors and of the gradient


def check_steps(model: str, sentences: Sequence[str], device: str) -> dict[str, dict[str, float]]:
    """Relative differences to the padded float32 step on the CPU, without dropout.

    A step beyond its `BOUND` is marked ``wrong`` (1), one that cannot be compiled here ``missing``; both are printed.
    """
    plain = _step(_load(model, "cpu"), sentences, torch.float32)
    assert plain is not None
    found: dict[str, dict[str, float]] = {}
    for dtype, bound in BOUND.items():
        for packs in (False, True):
            for compiles in (False, True):
                name = " ".join([str(dtype).removeprefix("torch.")] + ["packed"] * packs + ["compiled"] * compiles)
                step = _step(_load(model, device), sentences, dtype, packs=packs, compiles=compiles)
                if step is None:
                    found[name] = {"missing": 1.0}
                else:
                    pairs = zip(("vectors", "gradient"), step, plain, strict=True)
                    found[name] = {what: float((one - other).norm() / other.norm()) for what, one, other in pairs}
                    found[name]["wrong"] = float(max(found[name].values()) > bound)
                print(name, found[name], flush=True)
    return found


def _load(model: str, device: str) -> SimCSE:
    loaded = SimCSE(model, pooling="cls_before_pooler", device=device)
    for module in loaded.encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return loaded


def _step(
    model: SimCSE, sentences: Sequence[str], dtype: torch.dtype, *, packs: bool = False, compiles: bool = False
) -> Vectors | None:
    encoder, device = model.encoder.train(), model.device
    table = tokenize(model.tokenizer, sentences, 32)
    ids, mask = pad(table.rows(range(len(sentences))), model.tokenizer.pad_token_id)
    assert mask is not None
    packing = Packing(*(part.to(device) for part in Packing.of(table.lengths.tolist()))) if packs else None
    weight = torch.linspace(-1, 1, len(sentences) * encoder.dimension).view(len(sentences), -1).to(device)

    def step() -> Tensor:
        encoder.zero_grad()
        with torch.autocast(device.type, dtype) if dtype is not torch.float32 else nullcontext():
            vectors: Tensor = encoder(ids.to(device), mask.to(device), packing=packing).float()
        torch.autograd.backward((vectors * weight).sum())
        return vectors.detach()

    with packed_attention(encoder.backbone) if packs else nullcontext():
        if compiles:
            with compiled(encoder, step) as works:
                if not works:
                    return None
                vectors = step()
        else:
            vectors = step()
    gradients: list[Any] = [p.grad.flatten().cpu() for p in encoder.parameters() if p.grad is not None]
    return vectors.cpu(), torch.cat(gradients)
