"""A model opened by its light form gives the vectors of the full one, or is loaded in full."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from simcse_kit import SimCSE
from simcse_kit.encoder.light import opened
from simcse_kit.encoder.light.arrays import erf
from simcse_kit.encoder.light.opened import Light
from simcse_kit.encoder.modules import Dense, Normalize
from simcse_kit.errors import ModelError
from support.tiny import SENTENCES, make_config, make_model, make_tokenizer, save_model

ModelFolder = Callable[[str], Path]
TEXTS = ["A man is playing the guitar.", "x", "", "Gänse 안전모 [MASK] </s>", " ".join(SENTENCES[:9])]


@pytest.fixture(autouse=True)
def cold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Every load is one of a new process, with an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(opened, "is_cold", lambda: True)
    return tmp_path / "cache"


def is_light(model: SimCSE) -> bool:
    return isinstance(model._parts, Light)


def twice(folder: Path, **how: Any) -> tuple[SimCSE, SimCSE]:
    """The model in full, and as the next process opens it."""
    whole, light = SimCSE(folder, **how), SimCSE(folder, **how)
    assert not is_light(whole)
    return whole, light


def assert_same(light: SimCSE, whole: SimCSE, texts: list[str] = TEXTS, **how: Any) -> None:
    found, expected = light.encode(texts, **how), whole.encode(texts, **how)
    assert type(found) is type(expected)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_allclose(found, expected, atol=2e-6 * np.abs(expected).max(), rtol=2e-5)


@pytest.mark.parametrize("pooling", ["mean", "cls_before_pooler", "cls"])
@pytest.mark.parametrize("kind", ["bert", "roberta", "xlmr"])
def test_vectors_of_a_few_texts_are_those_of_torch(kind: str, pooling: str, tiny_model: ModelFolder) -> None:
    whole, light = twice(tiny_model(kind), pooling=pooling, device="cpu")
    if pooling == "cls":  # each load gives the notice that the dense layer comes from the backbone's pooler
        assert not is_light(light)
        return
    assert is_light(light)
    assert_same(light, whole)
    assert_same(light, whole, normalize_embeddings=True, truncate_dim=5)
    assert_same(light, whole, TEXTS[:2], prompt="The weather: ")
    np.testing.assert_array_equal(light.encode("x"), light.encode(["x"])[0])
    assert light.encode([]).shape == whole.encode([]).shape
    assert light.fingerprint() == whole.fingerprint()
    assert light.get_embedding_dimension() == whole.get_embedding_dimension()
    np.testing.assert_array_equal(light.tokenize(TEXTS).flat, whole.tokenize(TEXTS).flat)
    assert is_light(light)


def test_electra_has_a_projection(tmp_path: Path) -> None:
    from transformers import ElectraConfig

    tokenizer = make_tokenizer("bert")
    config = ElectraConfig(
        vocab_size=len(tokenizer), embedding_size=16, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=48, max_position_embeddings=64,
    )  # fmt: skip
    whole, light = twice(save_model(config, tokenizer, tmp_path / "electra"), pooling="mean", device="cpu")
    assert is_light(light)
    assert_same(light, whole)


@pytest.mark.parametrize("post", [[Normalize()], [Dense(32, 8)], [Dense(32, 8, bias=False), Normalize()]])
def test_what_comes_after_the_pooling_is_there(post: list[nn.Module], tiny_model: ModelFolder, tmp_path: Path) -> None:
    model = SimCSE(tiny_model("bert"), pooling="mean", device="cpu")
    model.encoder.post.extend(post)
    model.save(tmp_path / "model")
    whole, light = twice(tmp_path / "model", device="cpu")
    assert is_light(light)
    assert_same(light, whole)


def test_settings_of_the_folder_and_of_the_call_hold(tiny_model: ModelFolder, tmp_path: Path) -> None:
    model = SimCSE(tiny_model("bert"), pooling="mean", device="cpu", max_seq_length=9)
    model.prompts["query"] = "The soup: "
    model.settings.do_lower_case = True
    model.settings.truncate_dim = 12
    model.record |= {"int8_ranges": [[-1.0] * 32, [1.0] * 32]}
    model.save(tmp_path / "model")
    for how in ({}, {"max_seq_length": 12}):
        whole, light = twice(tmp_path / "model", device="cpu", **how)
        assert is_light(light)
        assert light.max_seq_length == whole.max_seq_length
        with pytest.warns(UserWarning, match="and were cut"):
            assert_same(light, whole)
        np.testing.assert_allclose(light.encode_query(TEXTS), whole.encode_query(TEXTS), atol=1e-5)
        np.testing.assert_array_equal(light.int8_ranges, whole.int8_ranges)
        assert light.fingerprint() == whole.fingerprint()
    named = SimCSE(tmp_path / "model", pooling="mean", max_seq_length=9, device="cpu")  # the names that an index uses
    assert is_light(named)
    assert named.fingerprint() == model.fingerprint()


def test_int8_of_an_array_is_that_of_a_tensor(tiny_model: ModelFolder) -> None:
    whole, light = twice(tiny_model("bert"), pooling="mean", device="cpu")
    for precision in ("int8", "ubinary"):
        found, expected = (model.encode(TEXTS, precision=precision).astype(int) for model in (light, whole))
        assert np.abs(found - expected).max() <= 1  # a value at the edge of a step may be rounded to the other side
    assert is_light(light)


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("distilbert", {"pooling": "mean"}),
        ("mpnet", {"pooling": "mean"}),
        ("gpt2", {"pooling": "last_token"}),
        ("bert", {"pooling": "avg_first_last"}),
        ("bert", {"pooling": "max"}),
        ("bert", {"pooling": "mean", "dtype": "bfloat16"}),
        ("bert", {"pooling": "mean", "trust_remote_code": True}),
        ("bert", {"pooling": "mean", "device": torch.device("cpu")}),
    ],
)
def test_what_has_no_light_form_is_loaded_in_full(kind: str, how: dict[str, Any], tiny_model: ModelFolder) -> None:
    for model in twice(tiny_model(kind), **how):
        assert not is_light(model)


def test_speed_off_is_the_full_model(tiny_model: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    twice(tiny_model("bert"), pooling="mean")
    monkeypatch.setenv("SIMCSE_KIT_PLAIN", "1")
    assert not is_light(SimCSE(tiny_model("bert"), pooling="mean"))


@pytest.mark.parametrize(
    "ask",
    [
        lambda model: model.encoder,
        lambda model: model.tokenizer,
        lambda model: model.encode(SENTENCES * 7),  # more than numpy takes in all
        lambda model: model.encode(["word " * 1000]),
        lambda model: model.encode(["a"], convert_to_tensor=True),
        lambda model: model.encode(["a"], device="cpu"),
        lambda model: model.to("cpu"),
        lambda model: model.load(),
        lambda model: pickle.dumps(model),
        lambda model: copy.deepcopy(model),
        lambda model: setattr(model, "max_seq_length", 12),
        lambda model: model.full_length().__enter__(),
    ],
)
def test_what_needs_the_full_model_loads_it(ask: Callable[[SimCSE], object], tiny_model: ModelFolder) -> None:
    _, light = twice(tiny_model("bert"), pooling="mean")
    light.encode(["a"])
    light.prompts["query"] = "The soup: "
    assert is_light(light)
    ask(light)
    assert not is_light(light)
    assert light.prompts["query"] == "The soup: "  # earlier settings stay


def test_the_fingerprint_follows_the_settings(tiny_model: ModelFolder) -> None:
    whole, light = twice(tiny_model("bert"), pooling="mean")
    for model in (whole, light):
        model.prompts["query"] = "The soup: "
    assert light.fingerprint() == whole.fingerprint()


# The files it is of


def test_a_changed_file_is_another_model(tiny_model: ModelFolder, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model("bert"), tmp_path / "model")
    whole, _ = twice(folder, pooling="mean")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"layer_norm_eps": 1e-2}))
    changed = SimCSE(folder, pooling="mean")
    assert not is_light(changed)
    assert np.abs(changed.encode(TEXTS) - whole.encode(TEXTS)).max() > 1e-4


@pytest.mark.parametrize("damage", ["cut", "nan"])
def test_damaged_weights_are_an_error_as_before(damage: str, tiny_model: ModelFolder, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model("bert"), tmp_path / "model")
    twice(folder, pooling="mean")
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    if damage == "nan":
        data[-4:] = np.float32(np.nan).tobytes()
    weights.write_bytes(data if damage == "nan" else data[:-100])
    with pytest.raises(ModelError):
        SimCSE(folder, pooling="mean")


def test_the_rest_of_another_model_is_not_loaded(tiny_model: ModelFolder, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model("bert"), tmp_path / "model")
    _, light = twice(folder, pooling="mean")
    before = light.encode(["a"])
    shutil.rmtree(folder)
    make_model("bert", folder, seed=1)
    np.testing.assert_array_equal(light.encode(["a"]), before)  # the file that was opened
    with pytest.raises(ModelError, match="have changed since it was opened; open it again"):
        light.load()


def test_a_copy_of_the_folder_is_the_same_model(tiny_model: ModelFolder, tmp_path: Path) -> None:
    twice(tiny_model("bert"), pooling="mean")
    assert is_light(SimCSE(shutil.copytree(tiny_model("bert"), tmp_path / "copy"), pooling="avg"))


def test_a_damaged_form_is_made_again(tiny_model: ModelFolder, cold: Path) -> None:
    twice(tiny_model("bert"), pooling="mean")
    for path in cold.rglob("tokenizer.json"):
        path.write_text(path.read_text().replace('"##ing"', '"##gni"'))
    assert not is_light(SimCSE(tiny_model("bert"), pooling="mean"))
    assert is_light(SimCSE(tiny_model("bert"), pooling="mean"))


def test_a_cache_that_cannot_be_written_costs_nothing(
    tiny_model: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for model in twice(tiny_model("bert"), pooling="mean"):
        assert not is_light(model)


def test_vectors_that_differ_in_numpy_are_not_kept(tiny_model: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simcse_kit.encoder.light.arrays.erf", lambda x: 1.001 * erf(x))
    for model in twice(tiny_model("bert"), pooling="mean"):
        assert not is_light(model)


def test_what_a_load_has_to_say_is_said_at_each(tmp_path: Path) -> None:
    tokenizer = make_tokenizer("bert")
    folder = save_model(make_config("bert", tokenizer), tokenizer, tmp_path / "model")
    from simcse_kit import errors

    for _ in range(2):
        errors._said.clear()
        with pytest.warns(UserWarning, match="from its pooler.dense"):
            assert not is_light(SimCSE(folder, pooling="cls", device="cpu"))


# OpenVINO


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("bert", {"pooling": "mean"}),
        ("distilbert", {"pooling": "max"}),
        ("bert", {"pooling": "avg_first_last", "dtype": "bfloat16"}),
    ],
)
def test_a_converted_model_answers_all_without_torch(kind: str, how: dict[str, Any], tiny_model: ModelFolder) -> None:
    pytest.importorskip("openvino")
    whole, light = twice(tiny_model(kind), backend="openvino", **how)
    assert is_light(light)
    assert_same(light, whole)  # OpenVINO's graph from its file and from memory round in other places
    assert_same(light, whole, SENTENCES * 9)
    assert light.load().device == torch.device("cpu")
    assert light.fingerprint() == whole.fingerprint()
    assert is_light(light)


def test_without_its_converted_form_it_is_converted_again(tiny_model: ModelFolder, cold: Path) -> None:
    pytest.importorskip("openvino")
    twice(tiny_model("bert"), pooling="mean", backend="openvino")
    shutil.rmtree(cold / "simcse-kit" / "openvino")
    assert not is_light(SimCSE(tiny_model("bert"), pooling="mean", backend="openvino"))
    assert is_light(SimCSE(tiny_model("bert"), pooling="mean", backend="openvino"))
    assert is_light(SimCSE(tiny_model("bert"), pooling="mean"))  # the form is one for both
