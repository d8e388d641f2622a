"""Block files: what is read is what was written, or an error that names the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcse_kit import SearchIndexError
from simcse_kit.search.blocks import BLOCK, BlockFile, seal


def made(path: Path, size: int) -> tuple[bytes, BlockFile]:
    content = np.random.default_rng(size).bytes(size)
    path.write_bytes(content)
    found = seal(path)
    assert found[0] == size
    return content, BlockFile(path, *found)


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
def test_content_comes_back(size: int, tmp_path: Path) -> None:
    content, file = made(tmp_path / "f", size)
    file.check(0, size)
    file.verify()
    assert file.content.tobytes() == content


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
def test_a_file_is_checked_once_its_last_block_is(order: tuple[int, ...], tmp_path: Path) -> None:
    size = 3 * BLOCK + 7
    _, file = made(tmp_path / "f", size)
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
    _, file = made(path, size)
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1 << bit
    path.write_bytes(bytes(raw))
    damaged = BlockFile(path, size, file.table_checksum)
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
    _, file = made(path, 100)
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(SearchIndexError, match="f is damaged: the checksum of its table"):
        BlockFile(path, 100, file.table_checksum)
    for other in (raw[:-1], raw + b"x", b""):
        path.write_bytes(other)
        with pytest.raises(SearchIndexError, match=r"f is damaged: .* bytes, the manifest says"):
            BlockFile(path, 100, file.table_checksum)
