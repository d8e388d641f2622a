"""Large files of an index, memory-mapped, checked block by block as they are read.

A block file is its content and, behind it, the xxh3 checksum of each 64 KiB of it. The manifest holds the checksum of
that table: so opening reads the table alone, every answer is checked, and nothing is read to be checked only.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from simcse_kit.errors import SearchIndexError

BLOCK = 1 << 16  # bytes
Bytes = NDArray[np.uint8]


def checksum(data: bytes) -> str:
    """The xxh3 checksum of 128 bits, in hexadecimal."""
    return xxhash.xxh3_128_hexdigest(data)


def file_checksum(path: Path) -> str:
    """The `checksum` of a file."""
    total = xxhash.xxh3_128()
    with path.open("rb") as file:
        while data := file.read(1 << 22):
            total.update(data)
    return total.hexdigest()


def seal(path: Path) -> tuple[int, str]:
    """Make a file a block file, by a table behind its content; returns the content's size and the table's checksum."""
    sums, size = [], 0
    with path.open("r+b") as file:
        while data := file.read(BLOCK):
            sums.append(xxhash.xxh3_64_intdigest(data))
            size += len(data)
        table = np.array(sums, dtype="<u8").tobytes()
        file.write(table)
    return size, checksum(table)


class BlockFile:
    """A block file, mapped; ``content`` is its bytes, to be read after `check`."""

    def __init__(self, path: Path, size: int, table_checksum: str) -> None:
        """``size``: of the content. Raises `SearchIndexError` for another length, or a table that is damaged."""
        self.path = path
        self.table_checksum = table_checksum
        blocks = -(-size // BLOCK)
        found = path.stat().st_size
        if found != size + 8 * blocks:
            raise SearchIndexError(f"{path} is damaged: {found} bytes, the manifest says {size + 8 * blocks}")
        mapped = np.memmap(path, dtype=np.uint8, mode="r") if found else np.zeros(0, np.uint8)
        table = mapped[size:].tobytes()
        if checksum(table) != table_checksum:
            raise SearchIndexError(f"{path} is damaged: the checksum of its table is not the manifest's")
        self.content: Bytes = np.asarray(mapped)[:size]
        self._sums = np.frombuffer(table, dtype="<u8")
        self._unchecked = np.ones(blocks, dtype=bool)
        self.checked = not blocks  # whether all of it is

    def check(self, first: int, end: int) -> None:
        """Check the blocks of the bytes from ``first`` to ``end`` that have not been checked yet."""
        start = first // BLOCK
        todo = np.flatnonzero(self._unchecked[start : -(-end // BLOCK)])
        if len(todo):
            self._check(todo + start)

    def check_items(self, items: NDArray[np.int64], width: int) -> None:
        """Check the blocks of the items of ``width`` bytes at these places."""
        if width > BLOCK:  # an item may have blocks between its first and its last
            for item in items:
                self.check(int(item) * width, (int(item) + 1) * width)
            return
        blocks = np.concatenate([items * width // BLOCK, ((items + 1) * width - 1) // BLOCK])
        blocks = blocks[self._unchecked[blocks]]
        if len(blocks):
            self._check(np.unique(blocks))

    def verify(self) -> None:
        """Check every block again, as the disk has it now."""
        self._check(range(len(self._sums)))

    def _check(self, blocks: Iterable[int]) -> None:
        for block in blocks:
            data = self.content[block * BLOCK : (block + 1) * BLOCK]
            if xxhash.xxh3_64_intdigest(data.data) != self._sums[block]:
                raise SearchIndexError(
                    f"{self.path} is damaged: bytes {block * BLOCK} to {block * BLOCK + len(data)} are not what was "
                    "written; build the index again, or put a copy back"
                )
            self._unchecked[block] = False
        if not self._unchecked.any():
            self.checked = True
