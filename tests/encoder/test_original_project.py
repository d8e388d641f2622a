"""The original project's checkpoints, hub names and index methods."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from simcse_kit import ModelError, SearchIndexError, SimCSE
from simcse_kit.encoder.known import KNOWN_POOLINGS
from support.original import write_original
from support.plain import plain_vectors

pytestmark = pytest.mark.filterwarnings("ignore::simcse_kit.Notice")


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_training_checkpoints(
    kind: str, file: str, tiny_model: Callable[[str], Path], tmp_path: Path, sentences: list[str]
) -> None:
    state = write_original(tiny_model(kind), tmp_path / "ck", kind, file=file)
    bare = plain_vectors(tiny_model(kind), "cls_before_pooler", sentences[:6])
    before = SimCSE(tmp_path / "ck", pooling="cls_before_pooler", device="cpu")
    np.testing.assert_allclose(before.encode(sentences[:6]), bare, atol=1e-5)
    headed = SimCSE(tmp_path / "ck", pooling="cls", device="cpu")
    expected = np.tanh(bare @ state["mlp.dense.weight"].numpy().T + state["mlp.dense.bias"].numpy())
    np.testing.assert_allclose(headed.encode(sentences[:6]), expected, atol=1e-5)
    headed.save(tmp_path / "saved")
    np.testing.assert_array_equal(SimCSE(tmp_path / "saved", device="cpu").encode(sentences), headed.encode(sentences))
    np.testing.assert_allclose(plain_vectors(tmp_path / "saved", "cls", sentences[:6]), expected, atol=1e-5)


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_a_training_checkpoint_needs_its_pooling_named(
    file: str, tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    write_original(tiny_model("bert"), tmp_path / "ck", "bert", file=file)
    with pytest.raises(
        ModelError, match=r"does not record whether to keep its MLP: name the pooling, cls .* or cls_before_pooler"
    ):
        SimCSE(tmp_path / "ck")


def test_a_checkpoint_of_another_shape_is_an_error(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    state = write_original(tiny_model("bert"), tmp_path / "ck", "bert")
    save_file({k: v for k, v in state.items() if "layer.1" not in k}, tmp_path / "ck" / "model.safetensors")
    with pytest.raises(ModelError, match="weights are missing"):
        SimCSE(tmp_path / "ck", pooling="cls")
    state["mlp.dense.weight"] = torch.zeros(5, 5)
    save_file(state, tmp_path / "ck" / "model.safetensors")
    with pytest.raises(ModelError, match="size mismatch"):
        SimCSE(tmp_path / "ck", pooling="cls")


class _Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
@pytest.mark.parametrize("kind", ["original", "plain"])
def test_a_pickle_with_code_is_refused_and_not_run(
    kind: str, write: Callable[[Any, Path], Any], tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    write_original(tiny_model("bert"), tmp_path / "ck", "bert", file="pytorch_model.bin")
    if kind == "plain":
        config = json.loads((tmp_path / "ck" / "config.json").read_text())
        (tmp_path / "ck" / "config.json").write_text(json.dumps(config | {"architectures": ["BertModel"]}))
    write({"bert.x": _Bomb(tmp_path / "ran")}, tmp_path / "ck" / "pytorch_model.bin")
    with pytest.raises(ModelError):
        SimCSE(tmp_path / "ck", pooling="cls_before_pooler")
    assert not (tmp_path / "ran").exists()


# Hub names, from a cache without a network


@pytest.mark.filterwarnings("error::simcse_kit.Notice")
@pytest.mark.parametrize(
    ("name", "kind", "pooling"),
    [
        ("princeton-nlp/unsup-simcse-bert-base-uncased", "bert", "cls_before_pooler"),
        ("princeton-nlp/sup-simcse-bert-base-uncased", "bert", "cls"),
        ("princeton-nlp/unsup-simcse-roberta-large", "roberta", "cls_before_pooler"),
        ("princeton-nlp/sup-simcse-roberta-base", "roberta", "cls"),
    ],
)
def test_known_names_have_their_pooling(
    name: str, kind: str, pooling: str, hub_cache: Any, tiny_model: Callable[[str], Path], sentences: list[str]
) -> None:
    hub_cache(name, tiny_model(kind))
    model = SimCSE(name, device="cpu")
    assert (model.name, model.pooling) == (name, pooling)
    np.testing.assert_allclose(
        model.encode(sentences[:4]), plain_vectors(tiny_model(kind), pooling, sentences[:4]), atol=1e-5
    )
    assert SimCSE(name, pooling="mean", local_files_only=True).pooling == "mean"


def test_the_table_holds_the_eight_checkpoints() -> None:
    assert len(KNOWN_POOLINGS) == 8
    for name, pooling in KNOWN_POOLINGS.items():
        assert pooling == ("cls_before_pooler" if "/unsup-" in name else "cls")


def test_an_old_checkpoint_in_the_cache(
    hub_cache: Any, tiny_model: Callable[[str], Path], tmp_path: Path, sentences: list[str]
) -> None:
    """The original project's repositories hold ``pytorch_model.bin`` only."""
    shutil.copytree(tiny_model("bert"), tmp_path / "old")
    torch.save(load_file(tmp_path / "old" / "model.safetensors"), tmp_path / "old" / "pytorch_model.bin")
    (tmp_path / "old" / "model.safetensors").unlink()
    hub_cache("princeton-nlp/sup-simcse-bert-base-uncased", tmp_path / "old")
    vectors = SimCSE("princeton-nlp/sup-simcse-bert-base-uncased", device="cpu").encode(sentences[:4])
    np.testing.assert_allclose(vectors, plain_vectors(tiny_model("bert"), "cls", sentences[:4]), atol=1e-5)


@pytest.mark.parametrize("name", ["nobody/nothing", "no-such-model", "/no/such/folder", "./here", "a b", "a/b/c"])
def test_a_name_that_leads_nowhere_is_named(name: str, hub_cache: Any) -> None:
    with pytest.raises(ModelError) as caught:
        SimCSE(name)
    assert name in str(caught.value)


def test_other_names_have_no_pooling(hub_cache: Any, tiny_model: Callable[[str], Path]) -> None:
    hub_cache("google-bert/bert-base-uncased", tiny_model("bert"))
    with pytest.raises(ModelError, match="does not record how its vectors are pooled"):
        SimCSE("google-bert/bert-base-uncased")


def test_files_and_empty_folders_are_not_models(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="is a file; a model is a folder"):
        SimCSE(tmp_path / "file")
    with pytest.raises(ModelError, match=r"has neither config\.json nor modules\.json"):
        SimCSE(tmp_path)


# Index methods


@pytest.fixture
def model(tiny_model: Callable[[str], Path]) -> SimCSE:
    return SimCSE(tiny_model("bert"), pooling="mean", device="cpu")


def test_index_methods_have_the_original_shapes(model: SimCSE, sentences: list[str]) -> None:
    model.build_index(sentences[:20])
    model.add_to_index(sentences[20:])
    single = model.search(sentences[3], threshold=0.0, top_k=4)
    assert isinstance(single, list)
    assert len(single) == 4
    text, score = single[0]
    assert type(single[0]) is tuple
    assert (text, type(score)) == (sentences[3], float)
    assert score == pytest.approx(1, abs=1e-5)
    several = model.search(sentences[:3], threshold=0.0)
    assert [len(found) for found in several] == [5, 5, 5]
    assert [found[0][0] for found in several] == sentences[:3]
    matrix = np.asarray(model.similarity(sentences[3], sentences))
    assert [s for _, s in single] == pytest.approx(sorted(matrix.tolist(), reverse=True)[:4], abs=1e-5)
    assert all(s >= 0.6 for _, s in model.search(sentences[3], top_k=40))


def test_index_methods_take_a_file(model: SimCSE, sentences: list[str], tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text("\n".join(sentences) + "\n", encoding="utf-8")
    model.build_index(str(tmp_path / "s.txt"))
    assert model.search(sentences[7], threshold=0.99)[0][0] == sentences[7]
    model.build_index(sentences[:2])
    assert len(model.search(sentences[7], threshold=-1.0, top_k=9)) == 2


def test_search_before_an_index(model: SimCSE) -> None:
    with pytest.raises(SearchIndexError, match="call build_index"):
        model.search("The cat.")


def test_a_name_without_an_owner_may_be_sentence_transformers(
    hub_cache: Any, tiny_model: Callable[[str], Path], tmp_path: Path, sentences: list[str]
) -> None:
    SimCSE(tiny_model("bert"), pooling="mean", device="cpu").save(tmp_path / "saved")
    hub_cache("sentence-transformers/all-tiny-v1", tmp_path / "saved")
    expected = SimCSE(tmp_path / "saved", device="cpu").encode(sentences)
    np.testing.assert_array_equal(SimCSE("all-tiny-v1", device="cpu").encode(sentences), expected)


def test_a_dense_in_an_old_format_beside_a_new_backbone(
    hub_cache: Any, tiny_model: Callable[[str], Path], tmp_path: Path, sentences: list[str]
) -> None:
    SimCSE(tiny_model("bert"), pooling="cls", device="cpu").save(tmp_path / "saved")
    dense = tmp_path / "saved" / "2_Dense"
    torch.save(load_file(dense / "model.safetensors"), dense / "pytorch_model.bin")
    expected = SimCSE(tmp_path / "saved", device="cpu").encode(sentences)
    (dense / "model.safetensors").unlink()
    hub_cache("somebody/old-dense", tmp_path / "saved")
    np.testing.assert_array_equal(SimCSE("somebody/old-dense", device="cpu").encode(sentences), expected)


def test_the_start_models_pooler_goes_along(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    """Without a head, AutoModel finds the pooler that the start model had, instead of making one up."""
    SimCSE(tiny_model("bert"), pooling="mean", device="cpu").save(tmp_path / "saved")
    before, after = (load_file(f / "model.safetensors") for f in (tiny_model("bert"), tmp_path / "saved"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
