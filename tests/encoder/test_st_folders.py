"""Folders written by sentence-transformers give the same vectors here; unsupported ones raise errors."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from simcse_kit import ModelError, Notice, SimCSE
from support.plain import unit

Parts = Callable[..., list[Any]]


@pytest.fixture
def st_folder(tiny_model: Callable[[str], Path], tmp_path: Path) -> Callable[..., tuple[Path, Any]]:
    """Write a folder with sentence-transformers: Transformer, Pooling(mode), then more; returns its model too."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    def write(
        *after: Any, mode: Any = "mean", kind: str = "bert", layers: Any = None, **settings: Any
    ) -> tuple[Path, Any]:
        torch.manual_seed(3)
        inner = {key: settings.pop(key) for key in ("max_seq_length", "do_lower_case") if key in settings}
        if layers is not None:
            inner["config_kwargs"] = {"output_hidden_states": True}
        pooling = Pooling(32, pooling_mode=mode, include_prompt=settings.pop("include_prompt", True))
        transformer = Transformer(str(tiny_model(kind)), **inner)
        modules = [transformer, *([layers] if layers is not None else []), pooling, *after]
        if transformer.tokenizer.pad_token is None:
            transformer.tokenizer.pad_token = transformer.tokenizer.eos_token
        model = SentenceTransformer(modules=modules, device="cpu", **settings)
        model.eval()
        model.save(str(tmp_path / "st"))
        return tmp_path / "st", model

    return write


def check(folder: Path, theirs: Any, texts: list[str], **arguments: Any) -> SimCSE:
    ours = SimCSE(folder, device="cpu")
    np.testing.assert_allclose(
        unit(ours.encode(texts, **arguments)), unit(theirs.encode(texts, **arguments)), atol=1e-5
    )
    return ours


@pytest.mark.parametrize(
    ("mode", "pooling"),
    [
        ("cls", "cls_before_pooler"),
        ("mean", "mean"),
        ("max", "max"),
        ("weightedmean", "weighted_mean"),
        ("lasttoken", "last_token"),
    ],
)
def test_pooling_modes(st_folder: Any, sentences: list[str], mode: str, pooling: str) -> None:
    assert check(*st_folder(mode=mode), sentences).pooling == pooling


@pytest.mark.parametrize("kind", ["roberta", "mpnet", "albert", "modernbert", "gpt2"])
def test_architectures(st_folder: Any, sentences: list[str], kind: str) -> None:
    check(*st_folder(kind=kind, mode="lasttoken" if kind == "gpt2" else "mean"), sentences)


@pytest.mark.parametrize(
    "dense",
    [
        {"in_features": 32, "out_features": 32},
        {"in_features": 32, "out_features": 12},
        {"in_features": 32, "out_features": 12, "bias": False, "activation_function": torch.nn.Identity()},
        {"in_features": 32, "out_features": 48, "activation_function": torch.nn.GELU()},
        {"in_features": 32, "out_features": 32, "bias": False},
        {"in_features": 32, "out_features": 32, "use_residual": True},
        {"in_features": 32, "out_features": 8, "use_residual": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["mean", "cls"])
def test_dense(st_folder: Any, sentences: list[str], mode: str, dense: dict[str, Any], tmp_path: Path) -> None:
    """Dense of any kind, after mean and after CLS (where a tanh makes it our `cls`), also through our own `save`."""
    from sentence_transformers.sentence_transformer.modules import Dense

    torch.manual_seed(3)
    folder, theirs = st_folder(Dense(**dense), mode=mode)
    ours = check(folder, theirs, sentences)
    assert ours.get_embedding_dimension() == dense["out_features"]
    ours.save(tmp_path / "ours")
    check(tmp_path / "ours", theirs, sentences)


def test_a_folder_of_the_first_versions(st_folder: Any, sentences: list[str]) -> None:
    folder, theirs = st_folder()
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["type"] = "sentence_transformers.models.BERT"
    (folder / "modules.json").write_text(json.dumps(modules))
    check(folder, theirs, sentences)


def test_several_modules_after_the_pooling(st_folder: Any, sentences: list[str], tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    ours = check(
        *st_folder(Dense(32, 24), Dense(24, 16, activation_function=torch.nn.Identity()), Normalize()), sentences
    )
    np.testing.assert_allclose(np.linalg.norm(ours.encode(sentences), axis=1), 1, atol=1e-5)
    ours.save(tmp_path / "ours")
    again = SimCSE(tmp_path / "ours", device="cpu")
    np.testing.assert_array_equal(again.encode(sentences), ours.encode(sentences))
    assert again.fingerprint() == ours.fingerprint()


def test_weighted_layers(st_folder: Any, sentences: list[str]) -> None:
    from sentence_transformers.sentence_transformer.modules import WeightedLayerPooling

    layers = WeightedLayerPooling(32, num_hidden_layers=2, layer_start=1)
    assert check(*st_folder(layers=layers), sentences).pooling == "avg_top2"


def test_weighted_layers_without_the_layers_have_no_effect(st_folder: Any, sentences: list[str]) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import WeightedLayerPooling

    folder, _ = st_folder(layers=WeightedLayerPooling(32, num_hidden_layers=2, layer_start=1))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"output_hidden_states": False}), encoding="utf-8")
    with pytest.warns(Notice, match="has no effect"):
        model = check(folder, SentenceTransformer(str(folder), device="cpu"), sentences)
    assert model.pooling == "mean"


def test_weighted_layers_that_are_no_pooling_of_ours(st_folder: Any) -> None:
    from sentence_transformers.sentence_transformer.modules import WeightedLayerPooling

    folder, _ = st_folder(layers=WeightedLayerPooling(32, num_hidden_layers=2, layer_start=0))
    with pytest.raises(ModelError, match="neither avg_top2 nor avg_first_last"):
        SimCSE(folder)


@pytest.mark.parametrize("mode", ["mean", "cls", "max", "weightedmean", "lasttoken"])
@pytest.mark.parametrize("include", [True, False])
def test_prompts_and_their_exclusion(st_folder: Any, sentences: list[str], mode: str, include: bool) -> None:
    prompts = {"query": "where is ", "document": "", "book": "a book about "}
    folder, theirs = st_folder(mode=mode, include_prompt=include, prompts=prompts, default_prompt_name="book")
    check(folder, theirs, sentences)
    check(folder, theirs, sentences, prompt_name="query")
    check(folder, theirs, sentences, prompt="")
    check(folder, theirs, sentences, prompt="the sea, ")
    np.testing.assert_allclose(
        SimCSE(folder, device="cpu").encode_query(sentences), theirs.encode_query(sentences), atol=1e-5
    )


def test_a_prompt_before_a_text_that_is_cut(st_folder: Any, sentences: list[str]) -> None:
    folder, theirs = st_folder(include_prompt=False, prompts={"query": "where is "}, max_seq_length=8)
    with pytest.warns(UserWarning, match="longer than max_seq_length = 8"):
        check(folder, theirs, sentences, prompt_name="query")


def test_lower_case_and_length(st_folder: Any, sentences: list[str]) -> None:
    folder, theirs = st_folder(kind="roberta", do_lower_case=True, max_seq_length=7)
    with pytest.warns(UserWarning, match="longer than max_seq_length = 7"):
        ours = check(folder, theirs, [text.upper() for text in sentences])
    assert ours.max_seq_length == 7


def test_truncate_dim_and_similarity(st_folder: Any, sentences: list[str]) -> None:
    folder, theirs = st_folder(truncate_dim=10, similarity_fn_name="euclidean")
    ours = check(folder, theirs, sentences)
    vectors = ours.encode(sentences)
    if theirs.get_embedding_dimension() == 10:
        assert vectors.shape[1] == ours.get_embedding_dimension()
    np.testing.assert_allclose(ours.similarity(vectors, vectors), theirs.similarity(vectors, vectors), atol=1e-3)


def test_a_default_prompt_is_part_of_the_index_and_the_evaluators(st_folder: Any, sentences: list[str]) -> None:
    folder, theirs = st_folder(prompts={"book": "a book about "}, default_prompt_name="book")
    ours = SimCSE(folder, device="cpu")
    assert ours.default_prompt() == "a book about "
    np.testing.assert_allclose(ours.encoder_fn()(sentences), theirs.encode(sentences), atol=1e-5)


@pytest.mark.parametrize("mode", [("cls", "mean"), "mean_sqrt_len_tokens"])
def test_pooling_that_is_refused_is_named(st_folder: Any, mode: Any) -> None:
    folder, _ = st_folder(mode=mode)
    named = " + ".join([mode] if isinstance(mode, str) else mode)
    with pytest.raises(ModelError, match=rf"pooling {re.escape(named)} is not supported; supported: cls, mean, max"):
        SimCSE(folder)


def test_a_module_that_is_refused_is_named(st_folder: Any) -> None:
    from sentence_transformers.sentence_transformer.modules import LayerNorm

    folder, _ = st_folder(LayerNorm(32))
    with pytest.raises(ModelError, match=r"module LayerNorm of modules.json is not supported; supported: Transformer"):
        SimCSE(folder)


def test_an_activation_that_is_refused_is_named(st_folder: Any) -> None:
    from sentence_transformers.sentence_transformer.modules import Dense

    folder, _ = st_folder(Dense(32, 32))
    config = next(folder.glob("*Dense/config.json"))
    config.write_text(json.dumps(json.loads(config.read_text()) | {"activation_function": "os.system"}))
    with pytest.raises(ModelError, match=r"activation os\.system is not in torch\.nn"):
        SimCSE(folder)


@pytest.mark.parametrize(
    ("file", "content", "text"),
    [
        ("modules.json", "[{", "modules.json is not valid JSON"),
        ("modules.json", "[]", "has no Transformer"),
        ("modules.json", '{"a": 1}', "modules.json"),
        ("1_Pooling/config.json", None, "1_Pooling/config.json"),
        ("config.json", "{", "config.json"),
        ("model.safetensors", "", "cannot load the weights|damaged or truncated"),
    ],
)
def test_a_broken_folder_is_an_error_that_names_the_file(
    st_folder: Any, file: str, content: str | None, text: str
) -> None:
    from simcse_kit import SimCSEKitError

    folder, _ = st_folder()
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(SimCSEKitError, match=text):
        SimCSE(folder)


def test_a_missing_weight_is_an_error(st_folder: Any) -> None:
    from safetensors.torch import load_file, save_file

    folder, _ = st_folder()
    state = load_file(folder / "model.safetensors")
    del state["encoder.layer.1.output.dense.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"weights are missing, such as .*layer\.1\.output\.dense\.weight"):
        SimCSE(folder)


def test_overriding_the_pooling_drops_dense_and_keeps_normalize(st_folder: Any, sentences: list[str]) -> None:
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    folder, _ = st_folder(Dense(32, 12), Normalize())
    over = SimCSE(folder, pooling="max", device="cpu")
    assert over.get_embedding_dimension() == 32
    vectors = over.encode(sentences)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert SimCSE(folder, pooling="mean", device="cpu").get_embedding_dimension() == 12
