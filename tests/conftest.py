"""Shared by all tests: offline mode, small random models, the packaged MiniLM, the benchmark data if available."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

os.environ["HF_HUB_OFFLINE"] = "1"  # huggingface_hub reads it once, at import
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault(
    "OMP_WAIT_POLICY", "PASSIVE"
)  # tiny models on busy cores: spinning threads make it 4 times slower

import pytest

from simcse_kit import errors
from support.stores import MILVUS, Store

if TYPE_CHECKING:
    from simcse_kit import SimCSE


# Tests that start Milvus Lite are collected only in the process that this file starts for them
_milvus = ["test_in_its_own_process.py"] if MILVUS else ["test_milvus_*.py"]
collect_ignore_glob = [f"search/milvus/{name}" for name in _milvus]
if not find_spec("fastapi"):
    attacks = ("hostile_clients", "nesting", "rebuilt_server", "server_lives", "soak")
    collect_ignore_glob += ["serving/test_*.py", "support/server.py", "whole/test_deploy.py", "whole/test_nginx.py"]
    collect_ignore_glob += [*(f"attack/test_{name}.py" for name in attacks)]


@pytest.fixture(autouse=True)
def _said_afresh() -> Iterator[None]:
    """Notices appear once per process; here, once per test."""
    errors._said.clear()
    yield
    errors._said.clear()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Where a test stores its indexes: in folders, or in Milvus."""
    made = Store(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The benchmark data's folder; tests that use it are marked `data`."""
    folder = os.environ.get("SIMCSE_KIT_DATA")
    if not folder:
        pytest.skip("set SIMCSE_KIT_DATA to the benchmark data's folder")
    return Path(folder)


@pytest.fixture(scope="session")
def sentences() -> list[str]:
    """Forty sentences of different lengths that the tiny tokenizers know."""
    from support.tiny import SENTENCES

    return list(SENTENCES)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a two-layer random model of a kind (`tiny.KINDS`), hidden size 32; made once, do not write into it."""
    from support.tiny import make_model

    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = make_model(kind, tmp_path_factory.mktemp("tiny") / kind)
        return made[kind]

    return folder


@pytest.fixture(scope="session")
def model_folder(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two-layer BERT with mean pooling, saved; do not write into it."""
    from simcse_kit import SimCSE

    folder = tmp_path_factory.mktemp("saved") / "model"
    SimCSE(tiny_model("bert"), pooling="mean", device="cpu").save(folder)
    return folder


@pytest.fixture(scope="session")
def model(model_folder: Path) -> SimCSE:
    """The model of `model_folder`, read-only."""
    from simcse_kit import SimCSE

    return SimCSE(model_folder, device="cpu")


@pytest.fixture(scope="session")
def minilm() -> SimCSE:
    """The packaged all-MiniLM-L6-v2, mean pooling."""
    from simcse_kit import SimCSE
    from simcse_kit.encoder.known import MINILM, packaged_minilm

    if packaged_minilm() is None:
        pytest.skip("needs the extra offline")
    return SimCSE(MINILM)


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a folder into an empty hub cache under a repository's name, as a download leaves it."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)

    def put(name: str, folder: Path, kind: str = "models") -> None:
        repo = tmp_path / "hub" / f"{kind}--{name.replace('/', '--')}"
        (repo / "refs").mkdir(parents=True)
        (repo / "refs" / "main").write_text("a" * 40)
        (repo / "blobs").mkdir()
        snapshot = repo / "snapshots" / ("a" * 40)
        snapshot.mkdir(parents=True)
        for path in (path for path in folder.rglob("*") if path.is_file()):
            place = path.relative_to(folder)
            blob = repo / "blobs" / "-".join(place.parts)
            shutil.copy(path, blob)
            (snapshot / place).parent.mkdir(exist_ok=True)
            (snapshot / place).symlink_to(blob)

    return put
