"""Similarity of vectors, with sentence-transformers' names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

_SMALLEST, _LARGEST = 1e-10, 1e15  # bounds of a vector's length or entries: between them, float32 holds the squares
ArrayLike = Tensor | NDArray[Any] | Sequence[Any]


def as_matrix(values: ArrayLike) -> Tensor:
    """A tensor of (N, D) from one vector (D,) or many (N, D)."""
    if isinstance(values, Tensor):
        tensor = values
    else:
        tensor = (
            torch.stack([torch.as_tensor(v) for v in values]) if isinstance(values, list) else torch.as_tensor(values)
        )
    return tensor.unsqueeze(0) if tensor.ndim == 1 else tensor


def _both(a: ArrayLike, b: ArrayLike) -> tuple[Tensor, Tensor]:
    """Two matrices of the same type, at least float32."""
    left, right = as_matrix(a), as_matrix(b)
    dtype = torch.promote_types(torch.promote_types(left.dtype, right.dtype), torch.float32)
    return left.to(dtype), right.to(dtype)


def unit_length(vectors: Tensor) -> Tensor:
    """The vectors (N, D) scaled to length 1, also if their squares exceed float32's range; zero vectors stay zero.

    >>> (10 * unit_length(torch.tensor([[3e-30, 4e-30], [3e30, -4e30], [0.0, 0.0]]))).round().tolist()
    [[6.0, 8.0], [6.0, -8.0], [0.0, 0.0]]
    """
    if not vectors.numel():
        return vectors
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    least, most = torch.aminmax(lengths)
    if float(least) > _SMALLEST and float(most) < _LARGEST:  # the usual case, at the cost of a plain division
        return vectors / lengths
    largest = vectors.abs().amax(-1, keepdim=True)
    extreme = (largest > _LARGEST) | ((largest < _SMALLEST) & (largest > 0))
    if extreme.any():
        vectors = (vectors.double() / torch.where(extreme, largest, 1).double()).to(vectors.dtype)
    return normalize(vectors, dim=-1)


def cosine_similarity(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of every row with every row: (N, D), (M, D) -> (N, M); a zero vector gives 0."""
    return normalize(a, dim=-1) @ normalize(b, dim=-1).T


SIMILARITIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine": lambda a, b: unit_length(a) @ unit_length(b).T,
    "dot": lambda a, b: a @ b.T,
    "euclidean": lambda a, b: -torch.cdist(a, b, p=2.0),
    "manhattan": lambda a, b: -torch.cdist(a, b, p=1.0),
}
PAIRWISE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine": lambda a, b: (unit_length(a) * unit_length(b)).sum(-1),
    "dot": lambda a, b: (a * b).sum(-1),
    "euclidean": lambda a, b: -(a - b).norm(dim=-1),
    "manhattan": lambda a, b: -(a - b).abs().sum(-1),
}


def _named(table: dict[str, Callable[[Tensor, Tensor], Tensor]], name: str) -> Callable[[Tensor, Tensor], Tensor]:
    if name not in table:
        raise ValueError(f"similarity must be one of {', '.join(table)}; got {name!r}")
    return table[name]


def similarity(a: ArrayLike, b: ArrayLike, name: str = "cosine") -> Tensor:
    """Similarity of all pairs: (N, D), (M, D) -> (N, M). ``name``: cosine, dot, euclidean, manhattan (negated).

    >>> similarity(torch.eye(2), torch.tensor([3.0, 0.0])).tolist()
    [[1.0], [0.0]]
    """
    return _named(SIMILARITIES, name)(*_both(a, b))


def similarity_pairwise(a: ArrayLike, b: ArrayLike, name: str = "cosine") -> Tensor:
    """Similarity of row i with row i: (N, D), (N, D) -> (N,)."""
    return _named(PAIRWISE, name)(*_both(a, b))
