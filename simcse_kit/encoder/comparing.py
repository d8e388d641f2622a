"""The part of a model that compares texts and vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simcse_kit.encoder.call import is_text
from simcse_kit.encoder.settings import Settings

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simcse_kit.losses.similarity import ArrayLike


class ComparesTexts:
    """``similarity`` of texts or vectors, with the function named in the model's folder; `SimCSE` inherits it."""

    settings: Settings
    encode: Callable[..., Any]

    def similarity(
        self,
        a: str | Sequence[str] | ArrayLike,
        b: str | Sequence[str] | ArrayLike,
        device: str | torch.device | None = None,
    ) -> Any:
        """Similarity of strings (as in the original tool) or of vectors (as in sentence-transformers).

        Vectors (N, D), (M, D) give a tensor (N, M), by the folder's ``similarity_fn_name``. Strings are encoded and
        compared by cosine: two strings give a float, a string and M strings (M,), N and M strings (N, M) in numpy.
        Either side may be vectors instead of strings. ``device``: move the model there first.
        """
        from simcse_kit.losses.similarity import similarity  # for tensors

        a, b = (list(x) if isinstance(x, Iterator) else x for x in (a, b))  # checked before encoding
        if not is_text(a) and not is_text(b):
            return similarity(a, b, self.settings.similarity_fn_name)
        left, right = (np.asarray(self.encode(x, device=device)) if is_text(x) else np.asarray(x) for x in (a, b))
        matrix = similarity(left, right).numpy()
        if left.ndim > 1:
            return matrix
        return float(matrix[0, 0]) if right.ndim == 1 else matrix[0]

    def similarity_pairwise(self, a: ArrayLike, b: ArrayLike) -> Tensor:
        """Similarity of row i with row i: (N, D), (N, D) -> (N,), by the folder's ``similarity_fn_name``."""
        from simcse_kit.losses.similarity import similarity_pairwise  # for tensors

        return similarity_pairwise(a, b, self.settings.similarity_fn_name)
