"""Block files: reads return what was written, or raise an error that names the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcse_kit import SearchIndexError
from simcse_kit.errors import DamagedIndexError
from simcse_kit.search.blocks import BLOCK, BlockFile, checksum, seal


def made(path: Path, size: int) -> tuple[bytes, str]:
    """Its content, and the checksum of its table."""
    content = np.random.default_rng(size).bytes(size)
    path.write_bytes(content)
    found = seal(path)
    assert found[0] == size
    return content, found[1]


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
def test_content_comes_back(size: int, tmp_path: Path) -> None:
    content, table = made(tmp_path / "f", size)
    file = BlockFile.open(tmp_path / "f", size, table)
    file.check(0, size)
    file.verify()
    assert file.content.tobytes() == content


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
def test_a_file_is_checked_once_its_last_block_is(order: tuple[int, ...], tmp_path: Path) -> None:
    size = 3 * BLOCK + 7
    _, table = made(tmp_path / "f", size)
    file = BlockFile.open(tmp_path / "f", size, table)
    for block in order:
        assert not file.checked
        file.check(block * BLOCK, min((block + 1) * BLOCK, size))
    assert file.checked


@settings(max_examples=40, deadline=None)
@given(at=st.integers(0, 3 * BLOCK + 6), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found_when_its_block_is_read(
    at: int, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("flip") / "f"
    size = 3 * BLOCK + 7
    _, table = made(path, size)
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1 << bit
    path.write_bytes(bytes(raw))
    damaged = BlockFile.open(path, size, table)
    block = at // BLOCK
    for first, end in ((0, block * BLOCK), ((block + 1) * BLOCK, size)):
        damaged.check(first, max(first, min(end, size)))
    with pytest.raises(SearchIndexError, match="f is damaged: bytes"):
        damaged.check(at, at + 1)
    with pytest.raises(SearchIndexError, match="f is damaged: bytes"):
        damaged.check_items(np.array([at // 4]), 4)
    with pytest.raises(SearchIndexError, match="f is damaged: bytes"):
        damaged.verify()


def test_a_damaged_table_and_another_length_are_found_at_opening(tmp_path: Path) -> None:
    path = tmp_path / "f"
    _, table = made(path, 100)
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(SearchIndexError, match="f is damaged: the checksum of its table"):
        BlockFile.open(path, 100, table)
    for other in (raw[:-1], raw + b"x", b""):
        path.write_bytes(other)
        with pytest.raises(SearchIndexError, match=r"f is damaged: .* bytes, the manifest says"):
            BlockFile.open(path, 100, table)


@pytest.mark.parametrize("at", [0, BLOCK, 3 * BLOCK + 6])
def test_a_file_without_a_table_is_checked_as_a_whole(at: int, tmp_path: Path) -> None:
    """As 0.1.0 wrote rows: a flipped bit anywhere is found when any byte is read."""
    path = tmp_path / "f"
    content = np.random.default_rng(0).bytes(3 * BLOCK + 7)
    path.write_bytes(content)
    file = BlockFile.open_whole(path, len(content), checksum(content))
    file.check(5, 6)
    assert file.checked
    assert file.content.tobytes() == content
    raw = bytearray(content)
    raw[at] ^= 1
    path.write_bytes(bytes(raw))
    with pytest.raises(DamagedIndexError, match="f is damaged: bytes"):
        BlockFile.open_whole(path, len(content), checksum(content)).check(5, 6)
    path.write_bytes(content[:-1])
    with pytest.raises(DamagedIndexError, match="bytes, the manifest says"):
        BlockFile.open_whole(path, len(content), checksum(content))
