"""A backend defined only in this file loads a model, encodes, and is offered by the command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from simcse_kit import SimCSE
from simcse_kit.encoder.backends.dtypes import choose_dtype
from simcse_kit.encoder.backends.part import (
    BACKENDS,
    BackendRequest,
    EncodeBackend,
    check_backend_device,
    default_device,
)
from simcse_kit.encoder.backends.torch import TorchBackend
from simcse_kit.errors import ModelError
from support.tiny import SENTENCES

HERE = Path(__file__)
ModelFolder = Callable[[str], Path]


class _Negated(TorchBackend):
    """The vectors of PyTorch with the other sign."""

    name = "negated"

    def embed(self, tokens: Any, out: torch.Tensor, **options: Any) -> None:
        super().embed(tokens, out, **options)
        out.neg_()


@dataclass(frozen=True, kw_only=True)
class Negated(EncodeBackend):
    """A backend with recognisable vectors."""

    name = "negated"
    help = "The other sign."
    source = "This test (2026)"
    dtypes = ("float32", "int4")
    calibrated = ("int4",)
    device = "cpu"

    def make(self, request: BackendRequest) -> _Negated:
        made = _Negated(request.encoder, request.pad_id, "float32")
        made.dtype = request.dtype
        return made


OWN = f"{HERE.stem}:Negated"


@pytest.fixture(params=[OWN, "negated"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The user's own by its path, and registered as a part of another package would be."""
    monkeypatch.syspath_prepend(HERE.parent)
    if request.param == "negated":
        BACKENDS.register(Negated)
    yield request.param
    BACKENDS._parts.pop("negated", None)


def test_it_loads_and_encodes(backend: str, tiny_model: ModelFolder, tmp_path: Path) -> None:
    plain = SimCSE(tiny_model("bert"), pooling="mean", device="cpu")
    own = SimCSE(tiny_model("bert"), pooling="mean", device="cpu", backend=backend)
    np.testing.assert_array_equal(own.encode(SENTENCES), -plain.encode(SENTENCES))
    assert "backend='negated'" in repr(own)
    own.save(tmp_path / "saved")
    np.testing.assert_array_equal(SimCSE(tmp_path / "saved", device="cpu").encode(SENTENCES), plain.encode(SENTENCES))


def test_its_dtypes_and_device_are_its_own(backend: str, tiny_model: ModelFolder) -> None:
    def load(**options: Any) -> SimCSE:
        return SimCSE(tiny_model("bert"), pooling="mean", backend=backend, **{"device": "cpu"} | options)

    assert load(dtype="int4", calibration=["a"]).backend.dtype == "int4"
    assert load(dtype="auto").backend.dtype == "float32"
    with pytest.raises(
        ModelError, match=f"dtype of backend {backend} must be one of float32, int4, auto; got 'bfloat16'"
    ):
        load(dtype="bfloat16")
    with pytest.raises(ModelError, match="calibration sentences need dtype int8"):
        load(calibration=["a"])
    with pytest.raises(ModelError, match=f"backend {backend} runs on the CPU here; got device meta"):
        load(device="meta")
    with pytest.raises(ModelError, match="several processes need backend torch; negated runs in one"):
        load().start_multi_process_pool(["cpu", "cpu"])
    assert default_device(backend, None) == "cpu"
    assert default_device(backend, "meta") == "meta"
    assert default_device("torch", None) is None


def test_without_a_device_it_gets_the_one_that_it_needs(
    backend: str, tiny_model: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even on a machine with an accelerator, which `pick_device` would take."""
    monkeypatch.setattr("simcse_kit.encoder.whole.pick_device", lambda asked: torch.device(asked or "meta"))
    assert SimCSE(tiny_model("bert"), pooling="mean", backend=backend).device.type == "cpu"


def test_what_it_offers_is_named_where_another_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    BACKENDS.register(Negated)
    try:
        with pytest.raises(ModelError, match=r"got 'int4'; int4 runs with backend negated"):
            choose_dtype("int4", "torch", torch.device("cpu"))
        with pytest.raises(
            ModelError, match=r"backend must be one of torch, openvino, onnx, negated; got 'negate'; did you m"
        ):
            choose_dtype("float32", "negate", torch.device("cpu"))
        with pytest.raises(ModelError, match="backend negated runs on the CPU here; got device meta"):
            check_backend_device("negated", torch.device("meta"))
    finally:
        BACKENDS._parts.pop("negated")
    check_backend_device("negated", torch.device("meta"))  # the user's own backend, not registered


def test_the_help_names_it_and_its_dtypes() -> None:
    code = (
        "import sys; from test_backend_part import Negated; from simcse_kit.encoder.backends.part import BACKENDS;"
        "BACKENDS.register(Negated); from simcse_kit.cli import main; sys.argv = ['simcse-kit', 'encode', '--help'];"
        "main()"
    )
    environment = {"PYTHONPATH": f"{HERE.parents[1]}:{HERE.parents[2]}", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=HERE.parent, env=environment
    )
    said = " ".join(done.stdout.split())
    assert "negated: The other sign." in said, done.stderr
    assert "negated: float32, int4." in said


def test_every_backend_says_what_it_is() -> None:
    assert BACKENDS.names() == ("torch", "openvino", "onnx")
    for part in BACKENDS:
        assert all((part.help, part.source, part.dtypes))
        assert set(part.calibrated) <= set(part.dtypes)
