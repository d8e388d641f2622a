"""An exported model gives the original's vectors if the format allows it, and reports the difference otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from simcse_kit import DataError, ModelError, SimCSE, export_model
from simcse_kit.cli import app
from simcse_kit.encoder.backends import conversion
from simcse_kit.encoder.poolers import POOLERS
from simcse_kit.encoding.export.static import distill
from simcse_kit.types import ScoredPairs
from support.commands import parsed
from support.marks import fast
from support.plain import unit
from support.tiny import SENTENCES

ModelFolder = Callable[[str], Path]
PAIRS = ScoredPairs(SENTENCES[0:20:2], SENTENCES[1:20:2], np.arange(10) / 2.0, "pairs")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def load(tiny_model: ModelFolder, kind: str = "bert", pooling: str = "mean") -> SimCSE:
    return SimCSE(tiny_model(kind), pooling=pooling, device="cpu")


def onnx_vectors(folder: Path, sentences: Sequence[str], output: str = "sentence_embedding") -> list[np.ndarray]:
    """As a user of onnxruntime alone would: one sentence at a time, by the folder's own tokenizer."""
    import onnxruntime
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx", providers=["CPUExecutionProvider"])
    found = []
    for sentence in sentences:
        given = tokenizer(sentence, return_tensors="np")
        inputs = {name: given[name].astype(np.int64) for name in ("input_ids", "attention_mask")}
        found.append(session.run([output], inputs)[0][0])
    return found


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [
        ("bert", "mean"),
        pytest.param("bert", "cls", marks=pytest.mark.slow),
        pytest.param("bert", "cls_before_pooler", marks=pytest.mark.slow),
        pytest.param("bert", "avg_first_last", marks=pytest.mark.slow),
        pytest.param("roberta", "mean", marks=pytest.mark.slow),
        pytest.param("distilbert", "max", marks=pytest.mark.slow),
        pytest.param("mpnet", "mean", marks=pytest.mark.slow),
        pytest.param("modernbert", "mean", marks=pytest.mark.slow),
        pytest.param("llama", "last_token", marks=pytest.mark.slow),
    ],
)
def test_onnx_runs_in_onnxruntime_with_the_same_vectors(
    kind: str, pooling: str, tiny_model: ModelFolder, tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript")
    model = load(tiny_model, kind, pooling)
    check = export_model(model, tmp_path / "out", to="onnx", check_pairs=PAIRS)
    assert check.mean_cosine == pytest.approx(1, abs=1e-6)
    assert check.lowest_cosine == pytest.approx(1, abs=1e-5)
    assert check.lost == pytest.approx(0, abs=0.01)
    assert check.pairs == 10
    expected = unit(np.asarray(model.encode(SENTENCES[:6])))
    np.testing.assert_allclose(unit(np.stack(onnx_vectors(tmp_path / "out", SENTENCES[:6]))), expected, atol=1e-5)
    np.testing.assert_array_equal(SimCSE(tmp_path / "out", device="cpu").encode(SENTENCES), model.encode(SENTENCES))


@pytest.mark.slow
def test_onnx_gives_the_token_states_too(tiny_model: ModelFolder, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    model = load(tiny_model)
    export_model(model, tmp_path / "out", to="onnx", check_pairs=PAIRS)
    states = onnx_vectors(tmp_path / "out", SENTENCES[:2], "last_hidden_state")
    np.testing.assert_allclose(np.stack([one.mean(0) for one in states]), model.encode(SENTENCES[:2]), atol=1e-5)


@pytest.mark.parametrize("dtype", fast(["float32"], of=["float32", "int8"]))
def test_openvino_is_loaded_without_converting(
    dtype: str, tiny_model: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nncf")
    model = load(tiny_model)
    own = SENTENCES[:30]
    check = export_model(
        model,
        tmp_path / "out",
        to="openvino" if dtype == "float32" else "openvino-int8",
        calibration=own if dtype == "int8" else None,
        check_pairs=PAIRS,
    )
    least = {"float32": 0.99999, "int8": 0.99}[dtype]
    assert check.mean_cosine is not None
    assert least < check.mean_cosine <= 1.00001
    assert not (tmp_path / "cache").exists()

    def refuse(*given: Any, **more: Any) -> Any:
        raise AssertionError("converted again")

    monkeypatch.setattr(conversion, "convert", refuse)
    again = SimCSE(tmp_path / "out", backend="openvino", dtype=dtype)
    cosines = (unit(again.encode(SENTENCES)) * unit(np.asarray(model.encode(SENTENCES)))).sum(1)
    assert cosines.mean() > least
    if dtype == "int8":
        with pytest.raises(AssertionError, match="converted again"):  # sentences of the user's go before
            SimCSE(tmp_path / "out", backend="openvino", dtype=dtype, calibration=SENTENCES[:8])
    broken = next((tmp_path / "out").rglob("encoder.bin"))
    broken.write_bytes(broken.read_bytes()[:-100])
    with pytest.raises(AssertionError, match="converted again"):
        SimCSE(tmp_path / "out", backend="openvino", dtype=dtype)


@pytest.mark.slow
def test_static_is_a_model2vec_model(minilm: SimCSE, tmp_path: Path) -> None:
    pytest.importorskip("skeletoken")
    from model2vec import StaticModel

    check = export_model(SimCSE(minilm.name, device="cpu"), tmp_path / "out", to="static")
    assert check.mean_cosine is None or check.mean_cosine < 0.999  # another space
    assert check.speed > 5 * check.speed_original
    assert check.spearman > 30
    table = StaticModel.from_pretrained(tmp_path / "out")
    a, b, c = unit(table.encode(["A man plays the guitar.", "Somebody plays guitar.", "The stock market fell."]))
    assert a @ b > a @ c


def test_static_takes_the_pooling_from_the_pooler(
    tiny_model: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distillation = pytest.importorskip("model2vec.distill", exc_type=ImportError)
    modes = {mode.value for mode in distillation.inference.PoolingMode}
    assert {pooler.model2vec_mode for pooler in POOLERS} == {*modes, None}
    asked: list[str] = []

    class Table:
        def save_pretrained(self, folder: Path) -> None: ...

    monkeypatch.setattr(distillation, "distill", lambda *_, pooling, **more: asked.append(pooling) or Table())
    for pooling in ("mean", "cls_before_pooler"):
        distill(load(tiny_model, pooling=pooling), tmp_path / "out")
    assert asked == ["mean", "first"]
    with pytest.raises(ModelError, match="static: model2vec does not support pooling max"):
        distill(load(tiny_model, pooling="max"), tmp_path / "out")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"to": "tflite"}, "export format must be one of onnx, openvino, openvino-int8, static; got 'tflite'"),
        ({"to": "onnx", "calibration": ["a"]}, "calibration sentences need openvino-int8"),
    ],
)
def test_what_is_refused(given: dict[str, Any], text: str, tiny_model: ModelFolder, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=text):
        export_model(load(tiny_model), tmp_path / "out", **given)


def test_a_folder_in_use_and_an_export_that_fails_are_left_as_they_were(
    tiny_model: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("mine")
    with pytest.raises(ModelError, match="already exists"):
        export_model(load(tiny_model), tmp_path / "used", to="openvino")
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["file"]

    def fail(*given: Any, **more: Any) -> Any:
        raise ModelError("cannot")

    monkeypatch.setattr(conversion, "convert", fail)
    with pytest.raises(ModelError, match="cannot"):
        export_model(load(tiny_model), tmp_path / "new", to="openvino")
    assert not (tmp_path / "new").exists()


def test_pairs_that_cannot_be_read_are_said_before_any_work(
    tiny_model: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SimCSE, "save", lambda *given: pytest.fail("it had begun"))
    with pytest.raises(DataError, match=r"missing\.tsv does not exist"):
        export_model(load(tiny_model), tmp_path / "out", to="onnx", check_pairs=tmp_path / "missing.tsv")


def test_the_command_prints_the_check(tiny_model: ModelFolder, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    result = CliRunner().invoke(
        app,
        ["export", str(tiny_model("bert")), str(tmp_path / "out"), "--to", "openvino", "--pooling", "mean"],
    )
    assert result.exit_code == 0, result.output
    begun = [line.partition(" ")[0] for line in result.stderr.splitlines()]
    assert [word for word in begun if word in ("writing", "measuring")] == ["writing", "measuring"]
    assert "pairs of the package's sample" in result.output
    for text in ("Spearman x 100, ", "sentences/s", "mean cosine", "lowest cosine", "MB on disk", "1.00000"):
        assert text in result.output
    step = parsed(result.stdout.splitlines()[-1].removeprefix("next: "))
    assert step == ["serve", str(tmp_path / "out"), "--backend", "openvino"]
