"""Memory-mapped files of an index, checked block by block when they are read.

A block file is its content, followed by the xxh3 checksum of each of its 64 KiB blocks. The manifest holds the checksum
of that table. So opening reads only the table, every answer is checked, and no data are read only to be checked.
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
    """The 128-bit xxh3 checksum, in hexadecimal."""
    return xxhash.xxh3_128_hexdigest(data)


def file_checksum(path: Path) -> str:
    """The `checksum` of a file."""
    total = xxhash.xxh3_128()
    with path.open("rb") as file:
        while data := file.read(1 << 22):
            total.update(data)
    return total.hexdigest()


def seal(path: Path) -> tuple[int, str]:
    """Append a table of checksums to a file. Returns the content's size and the table's checksum."""
    sums, size = [], 0
    with path.open("r+b") as file:
        while data := file.read(BLOCK):
            sums.append(xxhash.xxh3_64_intdigest(data))
            size += len(data)
        table = np.array(sums, dtype="<u8").tobytes()
        file.write(table)
    return size, checksum(table)


class BlockFile:
    """A mapped block file; call `check` before reading ``content`` (bytes,)."""

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
        self.checked = not len(content)  # whether all blocks are checked
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
            raise DamagedIndexError(f"{path} is damaged: the checksum of its table does not match the manifest")
        return cls(path, mapped[:size], np.frombuffer(table, dtype="<u8"))

    @classmethod
    def open_whole(cls, path: Path, size: int, whole_checksum: str) -> BlockFile:
        """A file without a table, as 0.1.0 wrote rows: a single block, checked at its first use.

        Raises:
            DamagedIndexError: another length.
        """
        content = _mapped(path, size)
        return cls(path, content, [int(whole_checksum, 16)], max(1, size), xxhash.xxh3_128_intdigest)

    def check(self, first: int, end: int) -> None:
        """Check the blocks between the bytes ``first`` and ``end``, unless already checked."""
        start = first // self._block
        todo = np.flatnonzero(self._unchecked[start : -(-end // self._block)])
        if len(todo):
            self._check(todo + start)

    def check_items(self, items: NDArray[np.int64], width: int) -> None:
        """Check the blocks of the items of ``width`` bytes at these positions."""
        if width > self._block:  # an item may span more than two blocks
            for item in items:
                self.check(int(item) * width, (int(item) + 1) * width)
            return
        blocks = np.concatenate([items * width // self._block, ((items + 1) * width - 1) // self._block])
        blocks = blocks[self._unchecked[blocks]]
        if len(blocks):
            self._check(np.unique(blocks))

    def verify(self) -> None:
        """Check every block again against the disk."""
        self._check(range(len(self._checksums)))

    def _check(self, blocks: Iterable[int]) -> None:
        for number in blocks:
            first = number * self._block
            data = self.content[first : first + self._block]
            if self._digest(data.data) != self._checksums[number]:
                raise DamagedIndexError(
                    f"{self.path} is damaged: bytes {first} to {first + len(data)} have changed since they were "
                    "written; build the index again, or restore a copy"
                )
            self._unchecked[number] = False
        if not self._unchecked.any():
            self.checked = True


def _mapped(path: Path, size: int) -> Bytes:
    if (found := path.stat().st_size) != size:
        raise DamagedIndexError(f"{path} is damaged: {found} bytes, the manifest says {size}")
    return np.asarray(np.memmap(path, dtype=np.uint8, mode="r")) if size else np.zeros(0, np.uint8)
