"""What a commit to a folder writes, and what it leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from simcse_kit.search import Collection


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)


def filled(count: int) -> Collection:
    collection = Collection(6)
    collection.add([f"text {i}" for i in range(count)], vectors(count))
    return collection


def test_a_commit_writes_what_was_added(tmp_path: Path) -> None:
    """Adding one row to an index of 3,000 writes less than a hundredth of it, and its other files stay."""
    filled(3000).save(tmp_path / "i")
    before = {path.name: path.stat() for path in (tmp_path / "i").iterdir()}
    again = Collection.open(tmp_path / "i")
    again.add(["new"], vectors(1, 5))
    again.delete([17])
    again.save()
    after = {path.name: path.stat() for path in (tmp_path / "i").iterdir()}
    new = [name for name in after if name not in before]
    assert before.keys() - after.keys() == set()
    assert all(after[name].st_ino == before[name].st_ino for name in before if name != "manifest.json")
    assert sum(after[name].st_size for name in new if name.startswith("vectors")) < 100
    assert len(Collection.open(tmp_path / "i")) == 3000


def test_many_small_commits_are_few_files(tmp_path: Path) -> None:
    collection = filled(4)
    collection.save(tmp_path / "i")
    for i in range(100):
        collection.add([f"one {i}"], vectors(1, i))
        collection.save()
    assert collection.info().segments <= 9  # about the logarithm
    assert len(Collection.open(tmp_path / "i")) == 104
    for i in range(50):
        collection.delete([i])
        collection.save()
    assert collection.info().segments <= 12
    assert [row.id for row, _ in Collection.open(tmp_path / "i").rows()] == list(range(50, 104))
