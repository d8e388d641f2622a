"""Similarity of vectors, with sentence-transformers' names, and checks of the tensors that a loss gets.

The checks read types and shapes only, so that they never wait for an accelerator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from simcse_kit.errors import TrainingError

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


def check_vectors(**given: Tensor | None) -> None:
    """Check that all are floating-point tensors of one shape (B, D); None is skipped.

    >>> import torch
    >>> check_vectors(first=torch.ones(2, 3), second=torch.ones(4, 3))
    Traceback (most recent call last):
    simcse_kit.errors.TrainingError: tensors of one shape (B, D) are needed; got first (2, 3), second (4, 3)
    """
    there = {name: value for name, value in given.items() if value is not None}
    for name, value in there.items():
        check_matrix(name, value)
    _check_equal(there, "(B, D)")


def check_matrix(name: str, value: Tensor, width: int | None = None) -> None:
    """Check that a value is a floating-point tensor of two dimensions, the second of them ``width`` if given."""
    if not isinstance(value, Tensor) or value.ndim != 2 or not value.is_floating_point():
        raise TrainingError(f"{name} must be a floating-point tensor of shape (B, D); got {_said(value)}")
    if width is not None and value.shape[1] != width:
        raise TrainingError(f"{name} must have vectors of {width} dimensions; got {_said(value)}")


def check_similarities(**given: Tensor) -> None:
    """Check that all are tensors of one shape (B, B)."""
    for name, value in given.items():
        if not isinstance(value, Tensor) or value.ndim != 2 or value.shape[0] != value.shape[1]:
            raise TrainingError(f"{name} must be a tensor of shape (B, B); got {_said(value)}")
    _check_equal(given, "(B, B)")


def check_column(name: str, value: Tensor, rows: int) -> None:
    """Check that a value is a tensor (B,) with one number for each of the ``rows`` texts or pairs."""
    if not isinstance(value, Tensor) or value.shape != (rows,):
        raise TrainingError(f"{name} must be a tensor of shape ({rows},); got {_said(value)}")


def check_above_0(**given: float | Tensor) -> None:
    """Check numbers; a tensor, such as a learned temperature, is not read."""
    for name, value in given.items():
        if not isinstance(value, Tensor) and not value > 0:
            raise TrainingError(f"{name} must be above 0; got {value}")


def _check_equal(given: dict[str, Tensor], form: str) -> None:
    shapes = [value.shape for value in given.values()]
    if any(shape != shapes[0] for shape in shapes):
        found = ", ".join(f"{name} {tuple(value.shape)}" for name, value in given.items())
        raise TrainingError(f"tensors of one shape {form} are needed; got {found}")


def _said(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
