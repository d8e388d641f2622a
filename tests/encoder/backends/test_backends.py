"""Backends and dtypes give the plain loop's vectors, within the accuracy of their number format."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simcse_kit import ModelError, SimCSE
from simcse_kit.encoder.backends import conversion, tracing
from simcse_kit.encoder.backends.dtypes import choose_dtype, multiplies_bfloat16
from simcse_kit.encoder.backends.torch import TorchBackend
from simcse_kit.encoder.call import CHUNK, embed_texts
from support.marks import fast
from support.plain import plain_vectors, unit
from support.tiny import SENTENCES

ModelFolder = Callable[[str], Path]
KINDS = ["bert", "roberta", "xlmr", "distilbert", "mpnet", "modernbert", "gpt2", "llama"]


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Converted models go to a cache for tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def pooling_of(kind: str) -> str:
    return "last_token" if kind in ("gpt2", "llama") else "mean"


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray((unit(a) * unit(b)).sum(1))


# What is exact


@pytest.mark.parametrize("kind", fast(["bert", "modernbert", "gpt2"], of=KINDS))
def test_openvino_in_float32_is_the_plain_loop(kind: str, tiny_model: ModelFolder) -> None:
    pytest.importorskip("openvino")
    pooling = pooling_of(kind)
    model = SimCSE(tiny_model(kind), pooling=pooling, backend="openvino")
    expected = unit(plain_vectors(tiny_model(kind), pooling, SENTENCES))
    np.testing.assert_allclose(unit(model.encode(SENTENCES)), expected, atol=1e-5)
    np.testing.assert_allclose(unit(model.encode(SENTENCES[:5], batch_size=1)), expected[:5], atol=1e-5)


@pytest.mark.parametrize(
    "pooling",
    fast(["cls", "max"], of=["cls", "cls_before_pooler", "avg_top2", "avg_first_last", "max", "weighted_mean"]),
)
def test_openvino_pools_as_torch(pooling: str, tiny_model: ModelFolder) -> None:
    pytest.importorskip("openvino")
    both = [SimCSE(tiny_model("bert"), pooling=pooling, backend=name, device="cpu") for name in ("torch", "openvino")]
    one, other = (unit(model.encode(SENTENCES)) for model in both)
    np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("include", [True, False])
def test_openvino_leaves_prompts_out_of_the_pooling(include: bool, tiny_model: ModelFolder) -> None:
    pytest.importorskip("openvino")
    vectors = []
    for name in ("torch", "openvino"):
        model = SimCSE(tiny_model("bert"), pooling="mean", backend=name, device="cpu")
        model.settings.include_prompt = include
        vectors.append(unit(model.encode(SENTENCES, prompt="the cat: ")))
    np.testing.assert_allclose(*vectors, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(texts=st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=40), batch_size=st.none() | st.integers(1, 9))
def test_order_batches_and_duplicates_change_nothing(
    openvino_model: SimCSE, texts: list[str], batch_size: int | None
) -> None:
    expected = dict(zip(SENTENCES, unit(openvino_model.encode(SENTENCES)), strict=True))
    vectors = unit(openvino_model.encode(texts, batch_size=batch_size))
    np.testing.assert_allclose(vectors, np.stack([expected[text] for text in texts]), atol=1e-5)


@pytest.fixture(scope="module")
def openvino_model(tiny_model: ModelFolder) -> SimCSE:
    pytest.importorskip("openvino")
    return SimCSE(tiny_model("bert"), pooling="mean", backend="openvino")


# Nearly equal models


@pytest.mark.parametrize(
    ("kind", "backend", "dtype", "least"),
    [
        *((kind, "torch", "bfloat16", 0.999) for kind in ("bert", "roberta", "distilbert", "modernbert")),
        ("bert", "openvino", "int8", 0.99),
        *(
            pytest.param(kind, "openvino", "int8", 0.99, marks=pytest.mark.slow)
            for kind in ("roberta", "distilbert", "modernbert")
        ),
    ],
)
def test_other_dtypes_are_near(kind: str, backend: str, dtype: str, least: float, tiny_model: ModelFolder) -> None:
    if backend == "openvino":
        pytest.importorskip("nncf")
    model = SimCSE(tiny_model(kind), pooling="mean", backend=backend, dtype=dtype, device="cpu")
    vectors = model.encode(SENTENCES)
    assert vectors.dtype == np.float32
    exact = plain_vectors(tiny_model(kind), "mean", SENTENCES)
    assert least < cosines(vectors, exact).min()
    assert np.abs(unit(vectors) - unit(exact)).max() > 1e-6  # it did multiply in another format


def test_bfloat16_keeps_the_weights(tiny_model: ModelFolder, tmp_path: Path) -> None:
    plain = SimCSE(tiny_model("bert"), pooling="mean", device="cpu")
    half = SimCSE(tiny_model("bert"), pooling="mean", device="cpu", dtype="bfloat16")
    half.encode(SENTENCES)
    assert half.fingerprint() == plain.fingerprint()
    half.save(tmp_path / "saved")
    np.testing.assert_array_equal(SimCSE(tmp_path / "saved", device="cpu").encode(SENTENCES), plain.encode(SENTENCES))


@pytest.mark.parametrize("kind", ["bert", "mpnet"])  # layers of our own, and the backbone's linear layers
def test_bfloat16_follows_weights_that_change(kind: str, tiny_model: ModelFolder) -> None:
    model = SimCSE(tiny_model(kind), pooling="mean", device="cpu", dtype="bfloat16")
    before = model.encode(SENTENCES[:3])
    with torch.no_grad():
        for weight in model.encoder.backbone.parameters():
            weight.mul_(1.5)
    after = model.encode(SENTENCES[:3])
    expected = TorchBackend(model.encoder, 0)
    out = torch.empty(3, model.encoder.dimension)
    model.encoder.train()
    model.encoder.eval()
    expected.embed(model.tokenize(SENTENCES[:3]), out)
    assert cosines(after, out.numpy()).min() > 0.999
    assert cosines(after, before).min() < 0.999


# Choosing


def test_auto_asks_the_processor_and_says_so(tiny_model: ModelFolder) -> None:
    able = multiplies_bfloat16(torch.device("cpu"))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert choose_dtype("auto", "torch", torch.device("cpu")) == ("bfloat16" if able else "float32")
    assert all(("has bfloat16" if able else "has no bfloat16") in str(one.message) for one in said)
    assert "dtype='float32'" in repr(SimCSE(tiny_model("bert"), pooling="mean", device="cpu"))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"backend": "tflite"}, "backend must be one of torch, openvino, onnx; got 'tflite'"),
        ({"dtype": "float16"}, "dtype of backend torch must be one of float32, bfloat16, auto; got 'float16'"),
        ({"dtype": "int8"}, "int8 runs with backend openvino"),
        ({"calibration": ["a"]}, "calibration sentences need dtype int8"),
        ({"backend": "openvino", "device": "meta"}, "runs on the CPU"),
    ],
)
def test_what_is_refused(given: dict[str, Any], text: str, tiny_model: ModelFolder) -> None:
    with pytest.raises(ModelError, match=text):
        SimCSE(tiny_model("bert"), pooling="mean", **given)


# The cache of conversions


def test_a_model_is_converted_once(tiny_model: ModelFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calls = []
    convert = conversion.convert
    monkeypatch.setattr(conversion, "convert", lambda *given, **more: calls.append(1) or convert(*given, **more))
    for _ in range(2):
        SimCSE(tiny_model("bert"), pooling="mean", backend="openvino")
    assert len(calls) == 1
    SimCSE(tiny_model("bert"), pooling="cls_before_pooler", backend="openvino")  # other vectors, another model
    assert len(calls) == 2
    kept = next(tmp_path.rglob("encoder.bin"))
    kept.write_bytes(kept.read_bytes()[: -(1 << 10)])
    for pooling in ("mean", "cls_before_pooler"):  # the truncated one is converted again
        SimCSE(tiny_model("bert"), pooling=pooling, backend="openvino")
    assert len(calls) == 3


def test_a_conversion_that_is_wrong_is_refused(tiny_model: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr(tracing, "_TOLERANCE", 0.0)
    model = SimCSE(tiny_model("bert"), pooling="mean", device="cpu")
    with pytest.raises(
        ModelError, match=r"cannot convert .*m with OpenVINO: the converted model's vectors differ by .* from PyTorch's"
    ):
        conversion.convert(model.encoder, name="m")


# The pipeline


def test_chunks_and_duplicates(tiny_model: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many chunks, equal texts in several of them: each once, in order, all counted."""
    monkeypatch.setattr("simcse_kit.encoder.call.CHUNK", 4)
    assert CHUNK > 4
    model = SimCSE(tiny_model("bert"), pooling="mean", device="cpu", max_seq_length=8)
    texts = [*SENTENCES[:11], *SENTENCES[5:9], SENTENCES[0]]
    seen: list[str] = []
    done: list[int] = []

    def tokenize(chunk: Any) -> Any:
        seen.extend(chunk)
        return model.tokenize(chunk)

    found = embed_texts(
        texts, tokenize, model.backend, model.encoder.dimension, output_device=torch.device("cpu"), on_batch=done.append
    )
    assert seen == SENTENCES[:11]
    assert sum(done) == len(texts)
    lengths = model.tokenize(texts, max_seq_length=60).lengths
    assert found.cut.tolist() == [number for number, length in enumerate(lengths) if length > 8]
    expected = np.stack([model.encode(text) for text in texts])
    np.testing.assert_allclose(found.vectors.numpy(), expected, atol=1e-6)


def test_an_error_in_a_later_chunk_is_raised(tiny_model: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simcse_kit.encoder.call.CHUNK", 4)
    model = SimCSE(tiny_model("bert"), pooling="mean", device="cpu")

    def tokenize(chunk: Any) -> Any:
        if SENTENCES[9] in chunk:
            raise OSError("the tokenizer broke")
        return model.tokenize(chunk)

    with pytest.raises(OSError, match="the tokenizer broke"):
        embed_texts(SENTENCES[:12], tokenize, model.backend, model.encoder.dimension, output_device=torch.device("cpu"))
