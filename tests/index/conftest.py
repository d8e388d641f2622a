"""A small model in a folder of its own, to index with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from simcse_kit import SimCSE


@pytest.fixture(scope="module")
def folder(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("index") / "model"
    SimCSE(tiny_model("bert"), pooling="mean", device="cpu").save(target)
    return target


@pytest.fixture(scope="module")
def model(folder: Path) -> SimCSE:
    return SimCSE(folder, device="cpu")
