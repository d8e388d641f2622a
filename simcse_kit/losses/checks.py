"""Checks of what a loss is given. They read types and shapes only, so that they never wait for an accelerator."""

from __future__ import annotations

from torch import Tensor

from simcse_kit.errors import TrainingError


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
