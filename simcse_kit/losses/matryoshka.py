"""Vectors that can be cut: the loss at several widths at once (Matryoshka, Kusupati et al., 2022)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from simcse_kit.errors import TrainingError


def matryoshka(loss: Callable[..., Tensor], views: Sequence[Tensor], dims: Sequence[int]) -> Tensor:
    """Mean of ``loss(*views)`` over the vectors cut to their first d values, d in ``dims``; views (B, D), a scalar.

    Eq. 1 of the paper sums the widths, all with importance 1, and so does sentence-transformers' MatryoshkaLoss: their
    value is len(dims) times this one. The mean keeps the scale of the plain loss, so that a learning rate and the
    weight of another loss mean the same with one width or five. The loss gets the cut vectors unscaled; those of this
    package normalise them.

    >>> import math
    >>> from simcse_kit.losses import info_nce
    >>> vectors = torch.eye(2)  # at width 1 the second is 0: cosines 1 and 0, then 0 and 0
    >>> loss = matryoshka(lambda a, b: info_nce(a, b, temperature=1.0), (vectors, vectors), [2, 1])
    >>> wide, narrow = math.log(1 + 1 / math.e), (math.log(1 + 1 / math.e) + math.log(2)) / 2
    >>> math.isclose(loss, (wide + narrow) / 2, rel_tol=1e-6)
    True
    """
    width = min(view.shape[-1] for view in views)
    if not dims or not all(1 <= d <= width for d in dims):
        raise TrainingError(
            f"dims must be one or more widths from 1 to {width}, the width of the vectors; got {list(dims)}"
        )
    return torch.stack([loss(*(view[..., :d] for view in views)) for d in dims]).mean()
