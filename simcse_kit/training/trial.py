"""A trial step before the first step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from simcse_kit.training.job import Job
from simcse_kit.training.randomness import RandomState
from simcse_kit.training.sampling import Item

_ROWS = 4


@contextmanager
def trial_step(job: Job) -> Iterator[None]:
    """Inside the context, weights have gradients as after a step on a few sentences. The exit restores everything."""
    objective, device = job.objective, job.model.device
    state = RandomState.now(device)
    group = job.rows.collate([Item(0, row) for row in range(_ROWS)])["groups"][0]
    try:
        vectors = objective.train().embed({name: tensor.to(device) for name, tensor in group.items()})
        torch.autograd.backward(vectors.sum())
        yield
    finally:
        objective.zero_grad()
        state.restore(device)
