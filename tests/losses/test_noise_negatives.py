"""DCLR's noise: start, distance and direction of its steps, and that it leaves no trace."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from simcse_kit.losses import info_nce, noise_negatives


def views(rows: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(rows, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    return first, second


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def plain_loss(h: Tensor, p: Tensor, noise: Tensor, temperature: float) -> float:
    def share(a: Tensor, b: Tensor) -> float:
        return math.exp(float(a @ b / (a.norm() * b.norm())) / temperature)

    rows = range(len(h))
    below = [sum(share(h[i], other) for other in [*p, *noise]) for i in rows]
    return -sum(math.log(share(h[i], p[i]) / below[i]) for i in rows) / len(h)


def test_it_starts_as_gaussian_noise() -> None:
    h, p = views()
    start = torch.randn(3, 6, generator=seeded(), dtype=torch.float64)
    assert torch.equal(noise_negatives(h, p, 3, steps=0, generator=seeded()), start)
    assert torch.equal(noise_negatives(h, p, 3, steps=0, deviation=0.1, generator=seeded()), 0.1 * start)


def test_each_step_goes_up_the_loss_by_its_length() -> None:
    """Against central differences of the loss written as a loop."""
    h, p = views()
    start, moved = (
        noise_negatives(h, p, 3, steps=n, step_size=0.01, temperature=0.5, generator=seeded()) for n in (0, 1)
    )
    for i, j in ((0, 0), (0, 3), (2, 5)):
        nudge = torch.zeros_like(start)
        nudge[i, j] = 1e-5
        slope = (plain_loss(h, p, start + nudge, 0.5) - plain_loss(h, p, start - nudge, 0.5)) / 2e-5
        gradient = torch.autograd.functional.jacobian(
            lambda x: info_nce(h, p, temperature=0.5, extra_negatives=x), start
        )
        assert slope == pytest.approx(gradient[i, j].item(), rel=1e-5)
        assert (moved - start)[i, j].item() == pytest.approx(0.01 * slope / gradient[i].norm().item(), rel=1e-5)
    torch.testing.assert_close((moved - start).norm(dim=1), torch.full((3,), 0.01, dtype=torch.float64))


def test_more_steps_are_harder_negatives() -> None:
    h, p = views()
    losses = [
        info_nce(h, p, extra_negatives=noise_negatives(h, p, 8, steps=n, step_size=0.05, generator=seeded())).item()
        for n in range(5)
    ]
    assert losses == sorted(losses)
    assert losses[-1] > losses[0] > info_nce(h, p).item()


def test_it_repeats_and_leaves_no_trace() -> None:
    h, p = (view.requires_grad_() for view in views())
    torch.manual_seed(3)
    before = torch.get_rng_state()
    noise = noise_negatives(h, p, 5, generator=seeded())
    assert torch.equal(torch.get_rng_state(), before)  # a separate generator leaves torch's unchanged
    assert torch.equal(noise, noise_negatives(h, p, 5, generator=seeded()))
    drawn = noise_negatives(h, p, 5)
    torch.manual_seed(3)
    with torch.no_grad():
        assert torch.equal(noise_negatives(h, p, 5), drawn)
    assert not noise.requires_grad
    assert h.grad is None
    info_nce(h, p, extra_negatives=noise).backward()
    assert h.grad is not None
