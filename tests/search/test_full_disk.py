"""A full disk, a real one: the last commit stays, unsaved rows stay in memory, and freeing space lets it continue."""

from __future__ import annotations

import contextlib
import gc
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from simcse_kit.files import DiskFullError
from simcse_kit.search import Collection

MEBIBYTE = 2**20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("may not mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)  # its files are still mapped


def rows(first: int, count: int) -> tuple[list[str], np.ndarray]:
    draw = np.random.default_rng(first)
    return [f"text {first + i} {'x' * 100}" for i in range(count)], draw.normal(size=(count, 64)).astype(np.float32)


def fill_up(disk: Path) -> Path:
    """A file that takes the remaining space, once deleted files that are still mapped have freed their pages."""
    gc.collect()
    rest = disk / "rest"
    with contextlib.suppress(OSError), rest.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    return rest


def test_the_last_commit_outlives_a_full_disk(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2 * MEBIBYTE))  # room to write all segments as one
    folder = small_disk / "index"
    index = Collection(64)

    def fill() -> None:
        for first in range(0, 100_000, 500):
            index.add(*rows(first, 500))
            index.save(folder)

    with pytest.raises(DiskFullError, match="no space left on the disk"):
        fill()
    committed = len(index) - 500
    assert committed >= 500
    assert len(index) == committed + 500  # still in memory
    again = Collection.open(folder)
    again.verify()
    assert [row.id for row, _ in again.rows()] == list(range(committed))
    rest = fill_up(small_disk)
    with pytest.raises(DiskFullError):
        index.save()
    with pytest.raises(DiskFullError):
        again.compact()
    Collection.open(folder).verify()
    ballast.unlink()
    rest.unlink()
    index.save()
    reopened = Collection.open(folder)
    reopened.verify()
    assert len(reopened) == committed + 500
    query = rows(committed, 500)[1][:1]
    assert reopened.search(query, 1)[0][0].id == committed
