"""Whether weights are those that were seen before: copies of them and fingerprints are kept as long as they are."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

_steps = 0


def _count_step(*_: object) -> None:
    global _steps
    _steps += 1


@functools.cache
def _count_steps() -> None:
    """From the first weights that are asked about, not from the import: fused optimizers change weights uncounted."""
    register_optimizer_step_post_hook(_count_step)


def version_of(weights: Iterable[Tensor]) -> tuple[object, ...]:
    """Another one after a weight was changed in place or for another tensor, or any optimizer has made a step."""
    _count_steps()
    return (_steps, *((weight._version, weight.data_ptr()) for weight in weights))
