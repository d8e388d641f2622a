"""Backend onnx: runs the export of exactly these weights, gives torch's vectors, and reports what is missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcse_kit import ModelError, SimCSE, export_model
from simcse_kit.encoder.backends.onnx import GRAPH
from simcse_kit.types import ScoredPairs
from support.commands import run
from support.plain import unit
from support.tiny import SENTENCES

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

PAIRS = ScoredPairs(SENTENCES[0:20:2], SENTENCES[1:20:2], np.arange(10) / 2.0, "pairs")


@pytest.fixture(scope="module")
def original(tiny_model: Callable[[str], Path]) -> SimCSE:
    return SimCSE(tiny_model("bert"), pooling="mean", device="cpu")


@pytest.fixture(scope="module")
def exported(original: SimCSE, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx") / "model"
    export_model(original, folder, to="onnx", check_pairs=PAIRS)
    return folder


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "copy"))


def test_its_vectors_are_torchs(original: SimCSE, exported: Path) -> None:
    model = SimCSE(exported, backend="onnx")
    assert (model.backend.name, model.backend.dtype, str(model.device)) == ("onnx", "float32", "cpu")
    expected = unit(np.asarray(original.encode(SENTENCES)))
    np.testing.assert_allclose(unit(model.encode(SENTENCES)), expected, atol=1e-5)
    np.testing.assert_allclose(unit(model.encode(SENTENCES[:5], batch_size=1)), expected[:5], atol=1e-5)
    assert model.encode([]).shape == (0, expected.shape[1])
    assert model.fingerprint() == original.fingerprint()  # so that an index accepts both


def test_it_takes_as_many_threads_as_the_process_may(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    asked: list[int] = []

    def noted(graph: Path, options: Any, **more: Any) -> None:
        asked.append(options.intra_op_num_threads)

    monkeypatch.setattr(onnxruntime, "InferenceSession", noted)
    monkeypatch.setenv("SIMCSE_KIT_THREADS", "1")
    SimCSE(exported, backend="onnx").backend  # noqa: B018 - made here
    assert asked == [1]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda folder: shutil.rmtree(folder / "onnx"), f"holds no ONNX graph ({GRAPH})"),
        (lambda folder: (folder / "onnx/simcse_kit.json").unlink(), "no record of the weights"),
        (
            lambda folder: (folder / GRAPH).write_bytes((folder / GRAPH).read_bytes()[:-9]),
            "has changed since it was written",
        ),
    ],
)
def test_a_folder_without_its_graph_is_an_error_with_the_remedy(
    change: Callable[[Path], object], text: str, copy: Path
) -> None:
    change(copy)
    with pytest.raises(ModelError) as caught:
        SimCSE(copy, backend="onnx").backend  # noqa: B018
    assert text in str(caught.value)
    assert f"simcse-kit export {copy} FOLDER --to onnx" in str(caught.value)
    SimCSE(copy)  # torch needs no conversion


def test_a_graph_of_other_weights_is_not_run(original: SimCSE, copy: Path) -> None:
    import torch

    other = SimCSE(copy, device="cpu")
    with torch.no_grad():
        next(other.encoder.parameters()).add_(1)
    other.save(copy)
    with pytest.raises(ModelError, match="made from other weights"):
        SimCSE(copy, backend="onnx").backend  # noqa: B018


def test_what_it_does_not_run_is_an_error(exported: Path) -> None:
    with pytest.raises(ModelError, match="backend onnx runs on the CPU here; got device cuda"):
        SimCSE(exported, backend="onnx", device="cuda")
    with pytest.raises(ModelError, match="dtype of backend onnx must be one of float32, auto; got 'int8'"):
        SimCSE(exported, backend="onnx", dtype="int8")


def test_the_command_runs_it(original: SimCSE, exported: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(SENTENCES[:9]), encoding="utf-8")
    done = run("encode", exported, texts, tmp_path / "out.npy", "--backend", "onnx", "--dtype", "auto")
    assert done.returncode == 0, done.stderr
    found = unit(np.load(tmp_path / "out.npy"))
    np.testing.assert_allclose(found, unit(np.asarray(original.encode(SENTENCES[:9]))), atol=1e-5)


@pytest.mark.slow  # two new processes
def test_a_new_process_runs_it_without_torch(exported: Path, original: SimCSE, tmp_path: Path) -> None:
    code = (
        "import json, sys; from simcse_kit import SimCSE\n"
        f"vector = SimCSE({str(exported)!r}, backend='onnx').encode({SENTENCES[0]!r})\n"
        "print(json.dumps([vector.tolist(), 'torch' in sys.modules]))"
    )
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    found = [
        json.loads(subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True).stdout)
        for _ in range(2)
    ]
    assert [torch for _, torch in found] == [True, False]
    np.testing.assert_allclose(found[1][0], found[0][0], atol=1e-6)
