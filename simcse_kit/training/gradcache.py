"""GradCache: a step in parts (Gao et al., 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited
Setup").

Embed without a graph; compute the loss of all vectors and its gradient with respect to them. Then embed part by part
again, with the same random draws, and backpropagate that gradient. The result is the gradient of the whole batch, with
the memory of one part.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from simcse_kit.training.batches import Group
from simcse_kit.training.objective import Batch, ContrastiveModel, EmbeddedPart, MaskedPart
from simcse_kit.training.randomness import RandomState

Backward = Callable[[Tensor], None]


def cached_step(
    model: nn.Module,
    objective: ContrastiveModel,
    groups: list[Group],
    *,
    backward: Backward,
    no_sync: Callable[[], AbstractContextManager[Any]] = nullcontext,
    **rest: Any,
) -> Tensor:
    """Add the gradient of a batch's loss to the weights, group by group. Returns the detached loss.

    Args:
        model: ``objective``, or its wrapper for distributed training.
        groups, rest: a batch of `TrainingRows.collate`; one group must fit in memory.
        backward: like ``Tensor.backward``.
        no_sync: context without gradient exchange between ranks, for all groups but the last.
    """
    batch = Batch(**rest)
    device = batch.places.device
    states: list[RandomState] = []
    parts: list[Tensor] = []
    with torch.no_grad():
        for group in groups:
            states.append(RandomState.now(device))
            parts.append(objective.embed(group))
    vectors = torch.cat(parts).requires_grad_()
    loss = objective.batch_loss(vectors, groups, batch)
    gradient, *extra = torch.autograd.grad(loss, [vectors, *objective.loss.parameters()])
    loss = loss.detach()
    for masked in objective.masked(groups):
        with no_sync():
            term = model(MaskedPart(masked))
            backward(term)
        loss = loss + term.detach()
    after = RandomState.now(device)
    pieces = torch.split(gradient, [len(group["input_ids"]) for group in groups])
    for i, (group, state, piece) in enumerate(zip(groups, states, pieces, strict=True)):
        last = i + 1 == len(groups)
        state.restore(device)
        with nullcontext() if last else no_sync():
            backward(model(EmbeddedPart(group, piece, last, extra if last else ())))
    after.restore(device)
    return loss
