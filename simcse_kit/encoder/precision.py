"""Stored forms of vectors, with the names of sentence-transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcse_kit.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")
RANGES = "int8_ranges"  # their key in a model's record


class KeepsRanges:
    """The part of a model that keeps int8 ranges in its record, which is saved with it."""

    record: dict[str, Any]

    @property
    def int8_ranges(self) -> NDArray[np.float32] | None:
        """Smallest and largest value of each dimension (2, D) for int8 and uint8; None: each vector's own.

        Set it to the ranges of your own vectors: ``np.stack([vectors.min(0), vectors.max(0)])``.
        """
        kept = self.record.get(RANGES)
        try:
            return None if kept is None else checked_ranges(kept)
        except (ValueError, TypeError) as error:
            raise ModelError(f"the model's {RANGES} are not valid: {error}. Set them again, or to None") from error

    @int8_ranges.setter
    def int8_ranges(self, ranges: ArrayLike | None) -> None:
        if ranges is None:
            self.record.pop(RANGES, None)
        else:
            self.record[RANGES] = checked_ranges(ranges).tolist()

    def ranges_for(self, precision: str, ranges: ArrayLike | None, width: int) -> NDArray[np.float32] | None:
        """Ranges for int8 and uint8 vectors of this width: ``ranges``, else the model's; None for other precisions.

        Raises a `ValueError` for ranges that are not valid or have another width.
        """
        quantizes = "int8" in precision
        found = checked_ranges(ranges) if ranges is not None else self.int8_ranges if quantizes else None
        if found is None or not quantizes:
            return None
        if found.shape[1] != width:
            raise ValueError(f"ranges have {found.shape[1]} dimensions; the vectors have {width}")
        return found


def checked_ranges(ranges: ArrayLike) -> NDArray[np.float32]:
    """Check ranges (2, D); raises a `ValueError` if they are not valid."""
    found = np.asarray(ranges, dtype=np.float32)
    if found.ndim != 2 or len(found) != 2:
        raise ValueError(
            f"ranges must hold the smallest and the largest value of each dimension, (2, D); got {found.shape}"
        )
    if not np.isfinite(found).all() or (found[0] > found[1]).any():
        raise ValueError("ranges must be finite, and the smallest value no larger than the largest")
    return found


def quantized(
    vectors: Tensor | NDArray[Any], precision: str, ranges: NDArray[np.float32] | None = None
) -> NDArray[Any]:
    """Vectors (N, D) float32 in stored form: (N, D), or (N, D/8) for binary and ubinary.

    int8 and uint8 use ``ranges`` (2, D), like sentence-transformers. Without ranges, see `own_int8`; uint8 is that plus
    128. So a text has the same numbers in every call.
    """
    values: NDArray[np.float32] = vectors if isinstance(vectors, np.ndarray) else vectors.cpu().numpy()
    if precision in ("binary", "ubinary"):
        bits = np.packbits(values > 0, axis=1)
        return bits if precision == "ubinary" else (bits.astype(np.int16) - 128).astype(np.int8)
    if ranges is None:
        signed = own_int8(values)
        return signed if precision == "int8" else np.asarray(signed.astype(np.int16) + 128, np.uint8)
    steps = np.where(ranges[1] > ranges[0], (ranges[1] - ranges[0]) / 255, 1)
    found: NDArray[np.float32] = np.clip(np.floor((values - ranges[0]) / steps), 0, 255)
    return found.astype(np.uint8) if precision == "uint8" else (found - 128).astype(np.int8)


def own_int8(vectors: NDArray[np.float32]) -> NDArray[np.int8]:
    """Vectors (N, D), each scaled so that its largest absolute value becomes 127: cosines stay.

    >>> own_int8(np.array([[0.5, -1.0], [0.0, 0.0]], np.float32)).tolist()
    [[64, -127], [0, 0]]
    """
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0)
    return np.rint(vectors / np.where(largest == 0, 1, largest) * 127).astype(np.int8)
