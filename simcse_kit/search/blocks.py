"""The files of an index, memory-mapped, checked block by block as they are read.

A block file is its content and, behind it, the xxh3 checksum of each 64 KiB of it. The manifest holds the checksum of
that table: so opening reads the table alone, every answer is checked, and nothing is read to be checked only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from simcse_kit.errors import DamagedIndexError

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
    """A file in blocks, mapped; ``content`` (bytes,) is to be read after `check`."""

    def __init__(
        self,
        path: Path,
        content: Bytes,
        checksums: Sequence[int] | NDArray[np.uint64],
        block: int = BLOCK,
        digest: Callable[[memoryview], int] = xxhash.xxh3_64_intdigest,
    ) -> None:
        self.path = path
        self.content = content
        self.checked = not len(content)  # whether all of it is
        self._checksums = checksums
        self._block = block
        self._digest = digest
        self._unchecked = np.ones(len(checksums), dtype=bool)

    @classmethod
    def open(cls, path: Path, size: int, table_checksum: str) -> BlockFile:
        """A block file with ``size`` bytes of content.

        Raises:
            DamagedIndexError: another length, or another table.
        """
        mapped = _mapped(path, size + 8 * -(-size // BLOCK))
        table = mapped[size:].tobytes()
        if checksum(table) != table_checksum:
            raise DamagedIndexError(f"{path} is damaged: the checksum of its table is not the manifest's")
        return cls(path, mapped[:size], np.frombuffer(table, dtype="<u8"))

    @classmethod
    def open_whole(cls, path: Path, size: int, whole_checksum: str) -> BlockFile:
        """A file without a table, as 0.1.0 wrote rows: one block, which is checked when the first byte is read.

        Raises:
            DamagedIndexError: another length.
        """
        content = _mapped(path, size)
        return cls(path, content, [int(whole_checksum, 16)], max(1, size), xxhash.xxh3_128_intdigest)

    def check(self, first: int, end: int) -> None:
        """Check the blocks of the bytes from ``first`` to ``end`` that have not been checked yet."""
        start = first // self._block
        todo = np.flatnonzero(self._unchecked[start : -(-end // self._block)])
        if len(todo):
            self._check(todo + start)

    def check_items(self, items: NDArray[np.int64], width: int) -> None:
        """Check the blocks of the items of ``width`` bytes at these places."""
        if width > self._block:  # an item may have blocks between its first and its last
            for item in items:
                self.check(int(item) * width, (int(item) + 1) * width)
            return
        blocks = np.concatenate([items * width // self._block, ((items + 1) * width - 1) // self._block])
        blocks = blocks[self._unchecked[blocks]]
        if len(blocks):
            self._check(np.unique(blocks))

    def verify(self) -> None:
        """Check every block again, as the disk has it now."""
        self._check(range(len(self._checksums)))

    def _check(self, blocks: Iterable[int]) -> None:
        for number in blocks:
            first = number * self._block
            data = self.content[first : first + self._block]
            if self._digest(data.data) != self._checksums[number]:
                raise DamagedIndexError(
                    f"{self.path} is damaged: bytes {first} to {first + len(data)} are not what was written; build the "
                    "index again, or put a copy back"
                )
            self._unchecked[number] = False
        if not self._unchecked.any():
            self.checked = True


def _mapped(path: Path, size: int) -> Bytes:
    if (found := path.stat().st_size) != size:
        raise DamagedIndexError(f"{path} is damaged: {found} bytes, the manifest says {size}")
    return np.asarray(np.memmap(path, dtype=np.uint8, mode="r")) if size else np.zeros(0, np.uint8)
