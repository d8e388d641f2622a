"""Inconsistent folders, and folders that need a missing option: each raises an error that says what to do."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from simcse_kit import MissingExtraError, ModelError, SearchIndexError, SentenceIndex, SimCSE, add_files
from simcse_kit.encoder import backbone
from support.commands import run
from support.tiny import SENTENCES

TinyModel = Callable[[str], Path]


@pytest.fixture
def folder(tiny_model: TinyModel, tmp_path: Path) -> Path:
    """A copy of the two-layer BERT, to be damaged."""
    return Path(shutil.copytree(tiny_model("bert"), tmp_path / "bert"))


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("more", [(), ("spiece.model",)])
def test_a_folder_without_its_vocabulary_is_refused(more: tuple[str, ...], folder: Path) -> None:
    """transformers makes a vocabulary of special tokens only, in which all texts are the same."""
    for path in [*folder.glob("*token*"), *folder.glob("vocab*")]:
        path.unlink()
    for name in more:
        (folder / name).write_bytes(b"\x0a\x00")
    with pytest.raises(ModelError, match=r"finds no vocabulary \(vocab\.txt or tokenizer\.json\)"):
        SimCSE(folder, pooling="mean", device="cpu")


@pytest.mark.parametrize(
    "values", [{"num_attention_heads": 0}, {"hidden_act": "nope"}, {"pad_token_id": 10**9}, {"intermediate_size": 40}]
)
def test_a_config_that_its_weights_do_not_fit(values: dict[str, object], folder: Path) -> None:
    change(folder / "config.json", **values)
    with pytest.raises(ModelError, match=r"cannot load the weights with this config\.json: "):
        SimCSE(folder, pooling="mean", device="cpu")


@pytest.mark.parametrize("content", ["null", "[]", "3", ""])
def test_json_of_another_form(content: str, model_folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "simcse_kit.json"):
        copy = Path(shutil.copytree(model_folder, tmp_path / name))
        (copy / name).write_text(content)
        with pytest.raises(ModelError, match=name.replace(".", r"\.")):
            SimCSE(copy, device="cpu")


def test_limits_and_ranges_that_are_none(model_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(model_folder, tmp_path / "copy"))
    for odd in ("long", -3, 0, True):
        change(copy / "sentence_bert_config.json", max_seq_length=odd)
        with pytest.raises(ModelError, match=r"max_seq_length must be a number of tokens, at least 1, or null; got"):
            SimCSE(copy, device="cpu")
    change(copy / "sentence_bert_config.json", max_seq_length=1e99)
    change(copy / "simcse_kit.json", int8_ranges="x")
    model = SimCSE(copy, device="cpu")
    assert model.max_seq_length == SimCSE(model_folder, device="cpu").encoder.backbone.config.max_position_embeddings
    np.testing.assert_allclose(model.encode("a"), SimCSE(model_folder, device="cpu").encode("a"), atol=1e-6)
    with pytest.raises(ModelError, match="int8_ranges are not valid"):
        model.encode("a", precision="int8")


def shard(folder: Path, state: dict[str, torch.Tensor], name: str) -> None:
    """Write weights in two shards and their index file."""
    stem, ending = name.rsplit(".", 1)
    keys = sorted(state)
    weight_map = {}
    for number, part in enumerate((keys[::2], keys[1::2]), 1):
        path = folder / f"{stem}-0000{number}-of-00002.{ending}"
        values = {key: state[key].contiguous() for key in part}
        if ending == "safetensors":
            safetensors.torch.save_file(values, path, metadata={"format": "pt"})
        else:
            torch.save(values, path)
        weight_map |= dict.fromkeys(part, path.name)
    (folder / f"{name}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value: float, folder: Path) -> None:
    state = safetensors.torch.load_file(folder / "model.safetensors")
    name = "encoder.layer.1.output.dense.weight"
    state[name][3, 2] = value
    safetensors.torch.save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=f"the weight {re.escape(name)} has NaN or infinite numbers"):
        SimCSE(folder, pooling="mean", device="cpu")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_hidden_layers", 10**9),
        ("hidden_size", 10**15),
        ("vocab_size", 10**12),
        ("max_position_embeddings", 10**13),
        ("vocab_size", -1),
    ],
)
def test_a_giant_number_in_the_config_is_refused(name: str, value: int, folder: Path) -> None:
    change(folder / "config.json", **{name: value})
    with pytest.raises(ModelError, match=r"config\.json.*: " + f"{name} is {value:,}"):
        SimCSE(folder, pooling="mean", device="cpu")


def test_a_config_of_other_types_is_refused(folder: Path) -> None:
    change(folder / "config.json", hidden_size="wide")
    with pytest.raises(ModelError, match=r"config\.json cannot be used"):
        SimCSE(folder, pooling="mean", device="cpu")


@pytest.mark.parametrize("path", ["../elsewhere", "/etc", "1_Pooling/../../elsewhere", "..\\elsewhere"])
def test_a_module_outside_the_folder_is_refused(path: str, model_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(model_folder, tmp_path / "model"))
    shutil.copytree(copy / "1_Pooling", tmp_path / "elsewhere")
    modules = json.loads((copy / "modules.json").read_text())
    modules[1]["path"] = path
    (copy / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError, match=r"modules\.json: the path .* is outside the folder"):
        SimCSE(copy, device="cpu")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_a_sharded_checkpoint_of_the_original_project(name: str, folder: Path, tiny_model: TinyModel) -> None:
    state = safetensors.torch.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    change(folder / "config.json", architectures=["BertForCL"])
    mlp = {"mlp.dense.weight": torch.eye(32), "mlp.dense.bias": torch.zeros(32)}
    shard(folder, {f"bert.{key}": tensor for key, tensor in state.items()} | mlp, name)
    bare = SimCSE(tiny_model("bert"), pooling="cls_before_pooler", device="cpu").encode(SENTENCES[:3])
    found = SimCSE(folder, pooling="cls", device="cpu").encode(SENTENCES[:3])
    np.testing.assert_allclose(found, np.tanh(bare), atol=1e-5)
    next(folder.glob(f"{name.split('.')[0]}-00002*")).unlink()
    with pytest.raises(ModelError, match=r"00002-of-00002.* is missing"):
        SimCSE(folder, pooling="cls", device="cpu")


def test_a_shard_outside_the_folder_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
    change(folder / "config.json", architectures=["BertForCL"])
    index = {"weight_map": {"bert.embeddings.word_embeddings.weight": "../outside.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"index\.json: the path '\.\./outside\.safetensors' is outside the folder"):
        SimCSE(folder, pooling="cls", device="cpu")


def test_sentencepiece_alone_names_the_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(folder / "config.json", model_type="xlm-roberta", architectures=["XLMRobertaModel"])
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)
    (folder / "sentencepiece.bpe.model").write_bytes(b"\x0a\x00")
    monkeypatch.setattr(backbone, "_installed", lambda module: module != "sentencepiece")
    with pytest.raises(MissingExtraError, match=r"only sentencepiece\.bpe\.model.*: pip install sentencepiece$"):
        SimCSE(folder, pooling="mean", device="cpu")


@pytest.fixture
def own_code(tmp_path: Path, tiny_model: TinyModel) -> Path:
    """A BERT with another name, and its code."""
    folder = Path(shutil.copytree(tiny_model("bert"), tmp_path / "house"))
    (folder / "house_code.py").write_text(
        "from transformers import BertConfig, BertModel\n\n\n"
        "class HouseConfig(BertConfig):\n    model_type = 'house'\n\n\n"
        "class HouseModel(BertModel):\n    config_class = HouseConfig\n"
    )
    own = {"AutoConfig": "house_code.HouseConfig", "AutoModel": "house_code.HouseModel"}
    change(folder / "config.json", model_type="house", auto_map=own, architectures=["HouseModel"])
    return folder


def test_code_of_the_models_own_is_run_when_it_is_trusted(
    own_code: Path, tiny_model: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(ModelError, match=r"auto_map.*trust_remote_code=True.*--trust-remote-code"):
        SimCSE(own_code, pooling="mean", device="cpu")
    model = SimCSE(own_code, pooling="mean", device="cpu", trust_remote_code=True)
    plain = SimCSE(tiny_model("bert"), pooling="mean", device="cpu")
    np.testing.assert_allclose(model.encode(SENTENCES), plain.encode(SENTENCES), atol=1e-5)
    SentenceIndex.build(model, SENTENCES).save(tmp_path / "index")
    (tmp_path / "more.txt").write_text("A new line.\n")
    index, more = tmp_path / "index", tmp_path / "more.txt"
    with pytest.raises(SearchIndexError, match="trust_remote_code=True"):
        add_files(index, more)
    assert add_files(index, more, trust_remote_code=True).rows == 1
    for command in (["search", index, "a man"], ["index", "add", index, more], ["encode", own_code, more, "v.npy"]):
        arguments = [*command, "--pooling", "mean"] if command[0] == "encode" else command
        refused = run(*arguments, cwd=tmp_path)
        assert refused.returncode != 0
        assert "--trust-remote-code" in refused.stdout + refused.stderr
        assert run(*arguments, "--trust-remote-code", cwd=tmp_path).returncode == 0


def test_a_server_runs_the_models_own_code_when_it_is_trusted(
    own_code: Path, tiny_model: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an index's model and of a saved model that is served by itself."""
    pytest.importorskip("fastapi")
    from fastapi.testclient import TestClient

    from support.server import only_loading

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = SimCSE(own_code, pooling="mean", device="cpu", trust_remote_code=True)
    model.save(tmp_path / "saved")
    SentenceIndex.build(model, SENTENCES).save(tmp_path / "index")
    plain = SimCSE(tiny_model("bert"), pooling="mean", device="cpu").encode(SENTENCES[:2], normalize_embeddings=True)
    served = only_loading(monkeypatch)
    for command in (["serve", tmp_path / "index"], ["serve", tmp_path / "saved"], ["demo", tmp_path / "index"]):
        arguments = [*command, "--port", "0", *(["--no-browser"] if command[0] == "demo" else [])]
        refused = run(*arguments)
        assert refused.returncode == 1
        assert "--trust-remote-code" in " ".join(refused.stderr.split())
        done = run(*arguments, "--trust-remote-code")
        assert done.returncode == 0, done.stderr
    assert len(served) == 3
    with TestClient(served[1], base_url="http://localhost") as client:
        answer = client.post("/v1/embeddings", json={"input": SENTENCES[:2], "model": "saved"}).json()
    assert ((np.array([row["embedding"] for row in answer["data"]]) * plain).sum(1) > 0.999).all()
    with TestClient(served[0], base_url="http://localhost") as client:
        found = client.post("/search", json={"queries": SENTENCES[3], "k": 1}).json()
    assert SENTENCES[3] in str(found)


def test_a_cache_that_cannot_be_written_is_said(
    tiny_model: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="cannot store the converted model in .*Set XDG_CACHE_HOME"):
        model = SimCSE(tiny_model("bert"), pooling="mean", backend="openvino")
    plain = SimCSE(tiny_model("bert"), pooling="mean", device="cpu")
    np.testing.assert_allclose(model.encode(SENTENCES), plain.encode(SENTENCES), atol=1e-4)
