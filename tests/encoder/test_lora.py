"""Adapters train alone, are saved alone and load unchanged; recomputed activations give the same gradients."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_save import in_sentence_transformers
from torch import Tensor

from simcse_kit import MissingExtraError, ModelError, SimCSE
from simcse_kit.encoder.hub import resolve
from simcse_kit.encoder.load import load_encoder
from simcse_kit.encoder.lora import _base_of, add_lora, has_lora, merge_lora, set_gradient_checkpointing
from simcse_kit.errors import TrainingError
from simcse_kit.losses import info_nce
from support.plain import unit
from support.tiny import KINDS, make_model

pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore::simcse_kit.Notice")

POOLINGS = {"bert": "cls", "albert": "cls", "gpt2": "last_token", "llama": "last_token"}


def move(model: SimCSE) -> None:
    """Move adapters off their start, where they change nothing."""
    with torch.no_grad():
        for name, parameter in model.encoder.named_parameters():
            if "lora_B" in name:
                parameter += 0.1 * torch.randn(parameter.shape)


def adapted(folder: Path, pooling: str = "mean", *, seed: int = 0, **arguments: Any) -> SimCSE:
    """A model with adapters of rank 4 that change its vectors."""
    model = SimCSE(folder, pooling=pooling, device="cpu")
    torch.manual_seed(seed)
    add_lora(model.encoder, 4, **arguments)
    move(model)
    return model


def loss_of(model: SimCSE, sentences: list[str]) -> Tensor:
    """Two padded passes in training mode, and SimCSE's loss of them."""
    batch = model.tokenizer(sentences, padding=True, return_tensors="pt")
    model.encoder.train()
    first, second = (model.encoder(batch["input_ids"], batch["attention_mask"]) for _ in range(2))
    return info_nce(first, second, temperature=0.05)


# Adapters


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_is_the_adapter_and_it_comes_back_the_same(
    kind: str, tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path
) -> None:
    model = adapted(tiny_model(kind), POOLINGS.get(kind, "mean"))
    vectors = model.encode(sentences)
    model.save(tmp_path / "saved")
    names = {path.name for path in (tmp_path / "saved").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "modules.json"} <= names
    assert not {"config.json", "model.safetensors"} & names
    config = json.loads((tmp_path / "saved" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tiny_model(kind))
    loaded = SimCSE(tmp_path / "saved", device="cpu")
    np.testing.assert_array_equal(loaded.encode(sentences), vectors)
    assert loaded.fingerprint() == model.fingerprint()
    np.testing.assert_allclose(unit(in_sentence_transformers(tmp_path / "saved", sentences)), unit(vectors), atol=1e-5)
    loaded.save(tmp_path / "again")
    assert {p.name: p.read_bytes() for p in (tmp_path / "again").iterdir() if p.is_file()} == {
        p.name: p.read_bytes() for p in (tmp_path / "saved").iterdir() if p.is_file()
    }


@pytest.mark.parametrize("pooling", ["avg_top2", "avg_first_last"])
def test_poolings_of_inner_layers_are_the_same_in_sentence_transformers(
    pooling: str, sentences: list[str], tmp_path: Path
) -> None:
    base = make_model("bert", tmp_path / "base", num_hidden_layers=3)  # with two layers both poolings are equal
    model = adapted(base, pooling)
    model.save(tmp_path / "saved")
    loaded = SimCSE(tmp_path / "saved", device="cpu")
    assert loaded.pooling == pooling
    np.testing.assert_array_equal(loaded.encode(sentences), model.encode(sentences))
    theirs = in_sentence_transformers(tmp_path / "saved", sentences)
    np.testing.assert_allclose(unit(theirs), unit(model.encode(sentences)), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_every_linear_layer_has_adapters_and_a_step_moves_nothing_else(
    kind: str, tiny_model: Callable[[str], Path], sentences: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.pytorch_utils import Conv1D

    monkeypatch.setattr(
        "simcse_kit.encoder.backends.torch.fits", lambda _: False
    )  # adapters go through the backbone itself

    model = SimCSE(tiny_model(kind), pooling=POOLINGS.get(kind, "mean"), device="cpu")
    before = model.encode(sentences)
    linear = {name for name, m in model.encoder.backbone.named_modules() if isinstance(m, torch.nn.Linear | Conv1D)}
    add_lora(model.encoder, 2)
    np.testing.assert_array_equal(model.encode(sentences), before)  # lora_B starts at 0
    state = {name: tensor.clone() for name, tensor in model.encoder.state_dict().items()}
    lora = {name for name in state if "lora_" in name}
    assert {name.removeprefix("backbone.").split(".lora_")[0] for name in lora} == linear
    optimizer = torch.optim.AdamW((p for p in model.encoder.parameters() if p.requires_grad), lr=0.01)
    for _ in range(2):  # the first moves lora_B alone: lora_A's gradient is a multiple of it
        optimizer.zero_grad()
        loss_of(model, sentences[:8]).backward()
        optimizer.step()
    moved = {name for name, tensor in model.encoder.state_dict().items() if not torch.equal(tensor, state[name])}
    head = {name for name in state if name.startswith("post.")}
    assert moved == lora | head
    assert head or model.pooling != "cls"


def test_the_scale_is_alpha_over_rank(tiny_model: Callable[[str], Path], sentences: list[str]) -> None:
    """alpha / rank = 2 by default (8 / 4): weight + 2 * B A in every layer is the model with adapters."""
    model, plain = adapted(tiny_model("bert")), SimCSE(tiny_model("bert"), pooling="mean", device="cpu")
    state = model.encoder.state_dict()
    with torch.no_grad():
        for name, parameter in plain.encoder.named_parameters():
            layer = name.removesuffix(".weight")
            if f"{layer}.lora_A.default.weight" in state:
                a, b = (state[f"{layer}.lora_{x}.default.weight"] for x in "AB")
                parameter += 2 * b @ a
    np.testing.assert_allclose(plain.encode(sentences), model.encode(sentences), atol=1e-5)


@pytest.mark.filterwarnings("error:fan_in_fan_out")
@pytest.mark.parametrize("kind", KINDS)
def test_merging_changes_no_vector_and_makes_an_ordinary_model(
    kind: str, tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path
) -> None:
    model = adapted(tiny_model(kind), POOLINGS.get(kind, "mean"))
    vectors, start = model.encode(sentences), SimCSE(tiny_model(kind), pooling=model.pooling, device="cpu")
    merge_lora(model.encoder)
    assert model.encoder.state_dict().keys() == start.encoder.state_dict().keys()
    assert all(parameter.requires_grad for parameter in model.encoder.parameters())
    np.testing.assert_allclose(unit(model.encode(sentences)), unit(vectors), atol=2e-6)
    assert np.abs(unit(vectors) - unit(start.encode(sentences))).max() > 1e-3
    model.save(tmp_path / "whole")
    assert not (tmp_path / "whole" / "adapter_config.json").exists()
    np.testing.assert_array_equal(SimCSE(tmp_path / "whole", device="cpu").encode(sentences), model.encode(sentences))


@pytest.mark.parametrize("kind", ["bert", "albert", "gpt2"])
def test_a_state_goes_through_a_file_into_a_model_with_other_adapters(
    kind: str, tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    one, two = (adapted(tiny_model(kind), POOLINGS[kind], seed=seed) for seed in (0, 1))
    assert np.abs(one.encode(sentences) - two.encode(sentences)).max() > 1e-3
    save_file(one.encoder.state_dict(), tmp_path / "training.safetensors")
    two.encoder.load_state_dict(load_file(tmp_path / "training.safetensors"), strict=True)
    np.testing.assert_array_equal(two.encode(sentences), one.encode(sentences))


def test_other_adapters_another_fingerprint(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tiny_model("bert")
    one, same, other, louder = (
        adapted(folder), adapted(folder), adapted(folder, seed=1), adapted(folder, alpha=9)
    )  # fmt: skip
    assert one.fingerprint() == same.fingerprint()
    assert len({m.fingerprint() for m in (one, other, louder, SimCSE(folder, pooling="mean", device="cpu"))}) == 4
    one.save(tmp_path / "m")
    loaded = SimCSE(tmp_path / "m", device="cpu")
    before = loaded.fingerprint()
    merge_lora(loaded.encoder)
    assert loaded.fingerprint() != before


def test_a_fingerprint_is_not_remembered_over_adding_and_merging(tiny_model: Callable[[str], Path]) -> None:
    model = SimCSE(tiny_model("bert"), pooling="mean", device="cpu")
    before = model.fingerprint()
    torch.manual_seed(0)
    add_lora(model.encoder, 4)
    with torch.no_grad():
        for name, parameter in model.encoder.named_parameters():
            if "lora_B" in name:
                parameter += 1
    merge_lora(model.encoder)
    assert model.fingerprint() != before


# Folders of adapters


def test_loaded_adapters_train_on(tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path) -> None:
    adapted(tiny_model("bert")).save(tmp_path / "m")
    loaded = SimCSE(tmp_path / "m", device="cpu")
    trained = {name for name, parameter in loaded.encoder.named_parameters() if parameter.requires_grad}
    assert trained
    assert trained == {name for name in loaded.encoder.state_dict() if "lora_" in name}
    with pytest.raises(TrainingError, match="already has LoRA adapters"):
        add_lora(loaded.encoder, 4)


def test_a_base_that_moved_is_named_and_can_be_named_anew(sentences: list[str], tmp_path: Path) -> None:
    model = adapted(make_model("bert", tmp_path / "base"))
    model.save(tmp_path / "m")
    (tmp_path / "base").rename(tmp_path / "moved")
    with pytest.raises(ModelError, match=r"base model .*/base.*, which is missing.*base_model_name_or_path"):
        SimCSE(tmp_path / "m", device="cpu")
    config = tmp_path / "m" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": str(tmp_path / "moved")}))
    np.testing.assert_array_equal(SimCSE(tmp_path / "m", device="cpu").encode(sentences), model.encode(sentences))


def test_another_base_is_refused(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    adapted(tiny_model("bert")).save(tmp_path / "m")
    config = tmp_path / "m" / "adapter_config.json"
    values = json.loads(config.read_text())
    for other in (tiny_model("gpt2"), make_model("bert", tmp_path / "wide", intermediate_size=64)):
        config.write_text(json.dumps(values | {"base_model_name_or_path": str(other)}))
        with pytest.raises(ModelError, match="adapters"):
            SimCSE(tmp_path / "m", device="cpu")


def test_broken_adapters_are_refused(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    adapted(tiny_model("bert")).save(tmp_path / "m")
    weights = tmp_path / "m" / "adapter_model.safetensors"
    state = load_file(weights)
    lost = sorted(state)[0]
    save_file({name: tensor for name, tensor in state.items() if name != lost}, weights)
    with pytest.raises(ModelError, match="1 weights are missing or unknown"):
        SimCSE(tmp_path / "m", device="cpu")
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ModelError, match="cannot load the adapters"):
        SimCSE(tmp_path / "m", device="cpu")
    weights.unlink()
    with pytest.raises(ModelError, match="cannot load the adapters"):
        SimCSE(tmp_path / "m", device="cpu")


def test_adapters_and_a_whole_model_are_not_mixed_in_one_folder(
    tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    model = adapted(tiny_model("bert"))
    model.save(tmp_path / "adapters")
    model.save(tmp_path / "adapters")
    merge_lora(model.encoder)
    model.save(tmp_path / "whole")
    with pytest.raises(ModelError, match="holds adapters"):
        model.save(tmp_path / "adapters")
    with pytest.raises(ModelError, match="holds a complete model"):
        adapted(tiny_model("bert")).save(tmp_path / "whole")


def test_a_whole_model_with_its_adapters_is_read_as_transformers_reads_it(
    tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path
) -> None:
    model = adapted(tiny_model("bert"))
    model.save(tmp_path / "m")
    both = tmp_path / "both"
    shutil.copytree(tiny_model("bert"), both)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(tmp_path / "m" / name, both)
    loaded = SimCSE(both, pooling="mean", device="cpu")
    assert not has_lora(loaded.encoder)
    np.testing.assert_allclose(loaded.encode(sentences), model.encode(sentences), atol=1e-5)


def test_adapters_over_weights_that_no_folder_holds_are_not_saved(
    tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    model = adapted(tiny_model("bert"))
    merge_lora(model.encoder)
    add_lora(model.encoder, 2)
    with pytest.raises(ModelError, match="weights that no folder holds"):
        model.save(tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_base_from_the_hub_is_named_with_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = Path("hub/models--owner--a-model/snapshots") / commit
    assert _base_of(snapshot) == ("owner/a-model", commit)
    assert _base_of(Path("hub/models--gpt2/snapshots") / commit) == ("gpt2", commit)
    assert _base_of(snapshot / "0_Transformer").revision is None  # a folder inside has no name on the hub
    monkeypatch.chdir(tmp_path)
    assert _base_of(Path("runs/mine")) == (str(tmp_path / "runs" / "mine"), None)


def test_the_commit_of_the_base_is_what_is_loaded(
    tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two commits of one repository in the hub's cache: the adapters' own is taken, though main is the other."""
    from huggingface_hub import constants

    old, new = "1" * 40, "2" * 40
    repository = tmp_path / "hub" / "models--owner--name"
    make_model("bert", repository / "snapshots" / old, seed=1)
    make_model("bert", repository / "snapshots" / new, seed=2)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(new)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    model = adapted(repository / "snapshots" / old)
    model.save(tmp_path / "m")
    config = json.loads((tmp_path / "m" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("owner/name", old)
    np.testing.assert_array_equal(SimCSE(tmp_path / "m", device="cpu").encode(sentences), model.encode(sentences))


def test_peft_missing_names_the_install_command(
    tiny_model: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapted(tiny_model("bert")).save(tmp_path / "m")
    plain = SimCSE(tiny_model("bert"), pooling="mean", device="cpu")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "peft" else find(name, *a))
    for use in (lambda: SimCSE(tmp_path / "m", device="cpu"), lambda: add_lora(plain.encoder, 4)):
        with pytest.raises(MissingExtraError, match=r"pip install 'simcse-kit\[lora\]'"):
            use()


def test_mistakes_are_named(tiny_model: Callable[[str], Path]) -> None:
    model = SimCSE(tiny_model("bert"), pooling="mean", device="cpu")
    with pytest.raises(TrainingError, match="positive integer; got 0"):
        add_lora(model.encoder, 0)
    with pytest.raises(ModelError, match="no LoRA adapters to merge"):
        merge_lora(model.encoder)


# Gradient checkpointing

CHECKPOINTED = [
    ("bert", "cls"),
    ("bert", "avg_first_last"),
    ("roberta", "mean"),
    ("distilbert", "mean"),
    ("deberta", "mean"),
    ("modernbert", "cls_before_pooler"),
    ("xlmr", "mean"),
    ("gpt2", "last_token"),
    ("llama", "last_token"),
]


def step(model: SimCSE, sentences: list[str], *, seed: int) -> tuple[int, dict[str, Tensor]]:
    """Bytes that the forward passes keep for the gradient, parameters not counted, and the gradients."""
    own = {parameter.data_ptr() for parameter in model.encoder.parameters()}
    kept: dict[int, int] = {}
    storages = []  # alive, so that no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages.append(storage)
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    torch.manual_seed(seed)
    model.encoder.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = loss_of(model, sentences)
    held = sum(kept.values())
    loss.backward()
    return held, {name: p.grad.clone() for name, p in model.encoder.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize(("kind", "pooling"), CHECKPOINTED)
def test_checkpointing_keeps_less_and_gives_the_same_gradients(
    kind: str, pooling: str, lora: bool, tiny_model: Callable[[str], Path], sentences: list[str]
) -> None:
    """With dropout on: a layer that is computed again must draw the same masks again."""
    loaded = load_encoder(resolve(tiny_model(kind)), pooling=pooling, dropout=0.1)
    model = SimCSE.from_loaded(loaded, name=kind, device="cpu")
    if lora:
        add_lora(model.encoder, 4, dropout=0.1)
        move(model)
    vectors = model.encode(sentences)
    bytes_before, before = step(model, sentences[:8], seed=0)
    set_gradient_checkpointing(model.encoder)
    bytes_after, after = step(model, sentences[:8], seed=0)
    assert after.keys() == before.keys()
    for name, gradient in after.items():
        torch.testing.assert_close(gradient, before[name], rtol=1e-4, atol=1e-6, msg=name)
    _, other = step(model, sentences[:8], seed=1)
    assert max((other[name] - after[name]).abs().max() for name in other) > 1e-3  # the masks matter
    assert bytes_after < 0.5 * bytes_before
    np.testing.assert_array_equal(model.encode(sentences), vectors)


@pytest.mark.parametrize("kind", ["albert", "mpnet"])
def test_a_backbone_without_checkpointing_is_named(kind: str, tiny_model: Callable[[str], Path]) -> None:
    model = SimCSE(tiny_model(kind), pooling="mean", device="cpu")
    with pytest.raises(TrainingError, match=f"(?i){kind}model does not support gradient checkpointing"):
        set_gradient_checkpointing(model.encoder)


# Decoders


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_the_last_token_is_the_texts_own_padded_or_not(
    kind: str, tiny_model: Callable[[str], Path], sentences: list[str]
) -> None:
    """No end token is added if the tokenizer adds none, and padding (with the end token) is never pooled."""
    from transformers import AutoModel

    model = SimCSE(tiny_model(kind), pooling="last_token", device="cpu")
    batch = model.tokenizer(sentences, padding=True, return_tensors="pt")
    lengths = batch["attention_mask"].sum(1).tolist()
    assert len(set(lengths)) > 5
    assert model.tokenizer.pad_token_id in (model.tokenizer.eos_token_id, model.tokenizer.unk_token_id)
    backbone = AutoModel.from_pretrained(tiny_model(kind)).eval()
    with torch.no_grad():
        padded = model.encoder(batch["input_ids"], batch["attention_mask"])
        for i, sentence in enumerate(sentences):
            ids = model.tokenizer(sentence)["input_ids"]
            assert ids[-1] != model.tokenizer.eos_token_id
            alone = backbone(torch.tensor([ids])).last_hidden_state[0, lengths[i] - 1]
            torch.testing.assert_close(padded[i], alone, rtol=1e-4, atol=1e-5)


def test_versions_that_do_not_fit_are_named(tiny_model: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """As transformers 5.24 does with peft 0.21."""

    def refuse(*_: Any) -> None:
        raise ValueError("The version of PEFT you are using is not compatible, please use a version >= 0.22.0")

    model = SimCSE(tiny_model("bert"), pooling="mean", device="cpu")
    monkeypatch.setattr(type(model.encoder.backbone), "add_adapter", refuse)
    with pytest.raises(
        ModelError, match=r"transformers [\d.]+ and peft [\d.]+ are not compatible: .* >= 0\.22\.0 Install a newer"
    ):
        add_lora(model.encoder, 2)
