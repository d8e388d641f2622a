"""Noise negatives (DCLR, Zhou et al., 2022), for regions of the space without vectors of the batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from simcse_kit.losses.contrastive import info_nce
from simcse_kit.losses.similarity import check_above_0, check_vectors


def noise_negatives(
    anchors: Tensor,
    positives: Tensor,
    count: int,
    *,
    steps: int = 4,
    step_size: float = 1e-3,
    temperature: float = 0.05,
    deviation: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Gaussian vectors, made hard for `info_nce`, to use as ``extra_negatives``: (B, D), (B, D) -> (count, D).

    Each of ``steps`` moves every vector by ``step_size`` along the gradient of the contrastive loss in which it is a
    negative, with the gradient scaled to length 1: x + step_size * g / |g|. The vectors start with standard deviation
    ``deviation`` in every dimension. No gradient flows in or out; ``generator`` is on the vectors' device.
    """
    check_vectors(anchors=anchors, positives=positives)
    check_above_0(temperature=temperature)
    anchors, positives = anchors.detach(), positives.detach()
    noise = deviation * torch.randn(
        count, anchors.shape[1], generator=generator, device=anchors.device, dtype=anchors.dtype
    )
    for _ in range(steps):
        with torch.enable_grad():
            loss = info_nce(anchors, positives, temperature=temperature, extra_negatives=noise.requires_grad_())
        (gradient,) = torch.autograd.grad(loss, noise)
        noise = (noise + step_size * normalize(gradient, dim=-1)).detach()
    return noise
