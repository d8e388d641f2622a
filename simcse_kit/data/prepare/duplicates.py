"""Finds rows of a file that repeat an earlier row, exactly or nearly. Memory does not grow with the text.

Memory holds one byte per row and one part of the sorting keys at a time; keys and texts stay on the disk.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simcse_kit.data.prepare.shingles import band_keys, bands_for, jaccard, shingles

RowMask = NDArray[np.bool_]
RowNumbers = NDArray[np.int64]

PART = 1 << 23  # keys per sort: about 300 MB
CHUNK = 1 << 20  # keys per read
BATCH = 4096  # sentences per hashing step
WITNESSES = 16  # kept sentences to compare with per bucket, so that a huge bucket takes linear time


def digest(line: bytes) -> bytes:
    """8 bytes: among 100 million different lines, the probability of any collision is 0.03 %."""
    return hashlib.blake2b(line, digest_size=8).digest()


def repeated(digests: Path, count: int) -> RowMask:
    """Whether each row has the 8-byte digest of an earlier row: (N,)."""
    dropped = np.zeros(count, np.bool_)
    for rows, same in _equal(digests, np.dtype(np.uint64), count):
        dropped[rows[same]] = True
    return dropped


def nearly_repeated(
    lines: Iterator[bytes], folder: Path, *, threshold: float, on_rows: Callable[[int], object]
) -> tuple[Path, RowMask]:
    """Write the lines, each with a letter or digit, to a file in ``folder``. Whether each is near an earlier one: (N,).

    Near means a Jaccard similarity of `shingles` of at least ``threshold``. It is computed for each pair that shares a
    band of the MinHash signature (Broder, 1997). No pair below the threshold is dropped; a pair above it is missed with
    a probability of at most 1 % (see `bands_for`).
    """
    bands, rows_in_band = bands_for(threshold)
    text, starts = folder / "lines", folder / "starts"
    keys = [folder / f"band-{band}" for band in range(bands)]
    count = position = 0
    with ExitStack() as stack:
        text_file, start_file, *key_files = (stack.enter_context(path.open("wb")) for path in (text, starts, *keys))
        while batch := list(islice(lines, BATCH)):
            text_file.writelines(batch)
            ends = position + np.cumsum([len(line) for line in batch], dtype=np.int64)
            start_file.write(np.append(position, ends[:-1]).astype(np.int64).tobytes())
            position = int(ends[-1])
            for file, column in zip(key_files, band_keys(batch, bands, rows_in_band).T, strict=True):
                file.write(column.tobytes())  # not tofile, which does not report a full disk
            count += len(batch)
            on_rows(len(batch))
        start_file.write(np.array([position], np.int64).tobytes())
    dropped = np.zeros(count, np.bool_)
    with _Lines(text, starts) as line_at:
        for path in keys:
            for bucket in _buckets(path, np.dtype(np.uint32), count):
                _drop_in_bucket(bucket, dropped, line_at, threshold)
            path.unlink()
    return text, dropped


def _equal(path: Path, dtype: np.dtype[np.unsignedinteger], count: int) -> Iterator[tuple[RowNumbers, RowMask]]:
    """Rows of a key file in parts, with equal keys together; and whether each repeats the previous key.

    Rows with equal keys are in ascending order.
    """
    parts = dtype.type(max(1, -(-count // PART)))
    for part in range(int(parts)):
        found_rows, found_keys = [], []
        for start in range(0, count, CHUNK):
            keys = np.fromfile(path, dtype, CHUNK, offset=start * dtype.itemsize)
            rows = np.flatnonzero(keys % parts == part)
            found_rows.append(rows + start)
            found_keys.append(keys[rows])
        if not found_rows:
            return
        keys, rows = np.concatenate(found_keys), np.concatenate(found_rows)
        order = np.argsort(keys, kind="stable")
        keys, rows = keys[order], rows[order]
        same = np.zeros(len(keys), np.bool_)
        same[1:] = keys[1:] == keys[:-1]
        yield rows, same


def _buckets(path: Path, dtype: np.dtype[np.unsignedinteger], count: int) -> Iterator[RowNumbers]:
    """Ascending rows of each key that occurs more than once."""
    for rows, same in _equal(path, dtype, count):
        starts = np.flatnonzero(~same)
        ends = np.append(starts[1:], len(rows))
        several = ends - starts > 1
        for start, end in zip(starts[several], ends[several], strict=True):
            yield rows[start:end]


def _drop_in_bucket(bucket: RowNumbers, dropped: RowMask, line_at: _Lines, threshold: float) -> None:
    left = bucket[~dropped[bucket]]
    if len(left) < 2:
        return
    kept: list[frozenset[str]] = []
    for row in left:
        own = shingles(line_at(int(row)))
        if any(jaccard(own, other) >= threshold for other in kept):
            dropped[row] = True
        elif len(kept) < WITNESSES:
            kept.append(own)


class _Lines:
    """Lines of a file by row number. Read, not mapped: mapped pages would count as memory of this process."""

    def __init__(self, text: Path, starts: Path) -> None:
        self._text = os.open(text, os.O_RDONLY)
        self._starts = os.open(starts, os.O_RDONLY)

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._text)
        os.close(self._starts)

    def __call__(self, row: int) -> str:
        start, end = np.frombuffer(os.pread(self._starts, 16, 8 * row), np.int64)
        return os.pread(self._text, int(end - start), int(start)).decode().removesuffix("\n")
