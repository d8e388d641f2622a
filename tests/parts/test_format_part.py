"""An export format that stands in this file alone is written, checked against the original, and offered."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from simcse_kit import ModelError, SimCSE, export_model
from simcse_kit.encoding.export.part import EXPORT_FORMATS, ExportFormat
from simcse_kit.types import EncodeFn, ScoredPairs
from support.tiny import SENTENCES

HERE = Path(__file__)
ModelFolder = Callable[[str], Path]
PAIRS = ScoredPairs(SENTENCES[0:20:2], SENTENCES[1:20:2], np.arange(10) / 2.0, "pairs")


@dataclass(frozen=True, kw_only=True)
class Halves(ExportFormat):
    """The vectors' first halves, in a text file, for the sentences of this test alone."""

    name = "halves"
    help = "Half of each vector."
    source = "This test (2026)"
    calibrated = True

    def write(self, model: SimCSE, target: Path, calibration: Sequence[str] | None) -> EncodeFn:
        if calibration == ["fail"]:
            target.mkdir()
            raise ModelError("cannot")
        model.save(target)
        (target / "halves.txt").write_text(f"{calibration}", encoding="utf-8")
        width = model.get_embedding_dimension() // 2
        return lambda sentences: np.asarray(model.encode(list(sentences)))[:, :width]


OWN = f"{HERE.stem}:Halves"


@pytest.fixture(params=[OWN, "halves"])
def to(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The user's own by its path, and registered as a part of another package would be."""
    monkeypatch.syspath_prepend(HERE.parent)
    if request.param == "halves":
        EXPORT_FORMATS.register(Halves)
    yield request.param
    EXPORT_FORMATS._parts.pop("halves", None)


def test_it_is_written_and_checked(to: str, tiny_model: ModelFolder, tmp_path: Path) -> None:
    model = SimCSE(tiny_model("bert"), pooling="mean", device="cpu")
    check = export_model(model, tmp_path / "out", to=to, check_pairs=PAIRS, calibration=["a"])
    assert (check.mean_cosine, check.pairs) == (None, 10)  # other widths have no cosine
    assert check.spearman != check.spearman_original
    assert (tmp_path / "out" / "halves.txt").read_text(encoding="utf-8") == "['a']"
    np.testing.assert_array_equal(SimCSE(tmp_path / "out", device="cpu").encode(SENTENCES), model.encode(SENTENCES))


def test_one_that_fails_leaves_nothing(to: str, tiny_model: ModelFolder, tmp_path: Path) -> None:
    model = SimCSE(tiny_model("bert"), pooling="mean", device="cpu")
    with pytest.raises(ModelError, match="cannot"):
        export_model(model, tmp_path / "out", to=to, check_pairs=PAIRS, calibration=["fail"])
    assert not (tmp_path / "out").exists()


def test_the_command_writes_it(to: str, tiny_model: ModelFolder, tmp_path: Path) -> None:
    from simcse_kit.cli import app

    arguments = ["export", str(tiny_model("bert")), str(tmp_path / "out"), "--to", to, "--pooling", "mean"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "Spearman x 100" in done.output
    assert "mean cosine" not in done.output


def test_errors_list_it(tiny_model: ModelFolder, tmp_path: Path) -> None:
    model = SimCSE(tiny_model("bert"), pooling="mean", device="cpu")
    EXPORT_FORMATS.register(Halves)
    try:
        listed = "export format must be one of onnx, openvino, openvino-int8, static, halves; got 'half'; did you mean"
        with pytest.raises(ModelError, match=listed):
            export_model(model, tmp_path / "out", to="half")
        with pytest.raises(ModelError, match="calibration sentences are for openvino-int8, halves; got onnx"):
            export_model(model, tmp_path / "out", to="onnx", calibration=["a"])
    finally:
        EXPORT_FORMATS._parts.pop("halves")


def test_the_help_names_it() -> None:
    code = (
        "import sys; from test_format_part import Halves; from simcse_kit.encoding.export.part import EXPORT_FORMATS;"
        "EXPORT_FORMATS.register(Halves); from simcse_kit.cli import main;"
        "sys.argv = ['simcse-kit', 'export', '--help']; main()"
    )
    environment = {"PYTHONPATH": f"{HERE.parents[1]}:{HERE.parents[2]}", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=HERE.parent, env=environment
    )
    said = " ".join(done.stdout.split())
    assert "halves Half of each vector." in said, done.stderr
    assert "quantize by (openvino-int8, halves)" in said


def test_every_format_says_what_it_is() -> None:
    assert EXPORT_FORMATS.names() == ("onnx", "openvino", "openvino-int8", "static")
    for part in EXPORT_FORMATS:
        assert all((part.help, part.source))
