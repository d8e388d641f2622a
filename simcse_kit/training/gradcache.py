"""GradCache: a step in parts (Gao et al., 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited
Setup").

Embed without a graph, take the loss of all vectors and its gradient with respect to them, then embed part by part
again, under the same random draws, and send that gradient through: the gradient of the whole batch in the memory of a
part.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from simcse_kit.training.batches import Group
from simcse_kit.training.objective import Batch, ContrastiveModel

Backward = Callable[[Tensor], None]


class RandomState(NamedTuple):
    """Where the random generators stand that dropout draws from."""

    cpu: Tensor
    cuda: Tensor | None

    @classmethod
    def now(cls, device: torch.device) -> RandomState:
        """The present state."""
        return cls(torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None)

    def restore(self, device: torch.device) -> None:
        """Draw from here on again."""
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda, device)


def cached_step(
    model: nn.Module,
    objective: ContrastiveModel,
    groups: list[Group],
    *,
    backward: Backward,
    no_sync: Callable[[], AbstractContextManager[Any]] = nullcontext,
    **rest: Any,
) -> Tensor:
    """Add the gradient of a batch's loss to the weights, group by group; returns the loss, detached.

    Args:
        model: ``objective``, or what wraps it for distributed training.
        groups, rest: a batch of `TrainingRows.collate`; a group is what has to fit in memory.
        backward: as ``Tensor.backward``.
        no_sync: a context in which gradients are not exchanged between ranks: all groups but the last.
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
            term = model(groups, masked=masked)["loss"]
            backward(term)
        loss = loss + term.detach()
    after = RandomState.now(device)
    pieces = torch.split(gradient, [len(group["input_ids"]) for group in groups])
    for i, (group, state, piece) in enumerate(zip(groups, states, pieces, strict=True)):
        last = i + 1 == len(groups)
        state.restore(device)
        with nullcontext() if last else no_sync():
            backward(model([group], gradients=piece, last=last, extra=extra if last else ())["loss"])
    after.restore(device)
    return loss
