"""The files of an index follow the umask, SQLite's and faiss's too."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from simcse_kit.search import Collection


@pytest.mark.parametrize("umask", [0o002, 0o027])
def test_modes_follow_the_umask(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        collection = Collection(4)
        collection.add(["a", "b"], np.eye(4, dtype=np.float32)[:2])
        collection.save(tmp_path / "index")
        collection.add(["c"], np.eye(4, dtype=np.float32)[2:3])
        collection.save()
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "index").iterdir()}
    assert any(name.endswith(".sqlite") for name in modes)
    assert set(modes.values()) == {0o666 & ~umask}
