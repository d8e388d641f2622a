"""Fast layers of a BERT-like encoder give the plain backbone's vectors, and are not used for other models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from simcse_kit import SimCSE
from simcse_kit.encoder.backbone import load_backbone, load_config
from simcse_kit.encoder.backends.torch import TorchBackend
from simcse_kit.encoder.modules import Encoder
from simcse_kit.encoder.speed import inference
from simcse_kit.encoder.speed.inference import FastBackbone, fits
from simcse_kit.encoder.tokens import TokenTable
from support.tiny import make_electra, masked_batch

ModelFolder = Callable[[str], Path]
LENGTHS = [(20, 7, 3, 20), (12, 12), (5,), (1, 1)]


def make_encoder(kind: str, pooling: str, tiny_model: ModelFolder) -> Encoder:
    if kind == "electra":
        return Encoder(make_electra(), pooling, [], mask_id=90).eval()
    folder = tiny_model(kind)
    return Encoder(load_backbone(folder, load_config(folder)).model, pooling, [], mask_id=90).eval()


def run_by(encoder: Encoder, lengths: tuple[int, ...], run: Any = None, *, masked: bool = True) -> Tensor:
    ids, mask = masked_batch(*lengths)
    with torch.inference_mode():
        return encoder(ids, mask if masked else None, run=run)


@pytest.mark.parametrize("laid_out", [True, False])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("kind", ["bert", "roberta", "xlmr", "electra", "mpnet", "distilbert", "modernbert"])
def test_states_are_the_backbones(
    kind: str,
    lengths: tuple[int, ...],
    fused: bool,
    laid_out: bool,
    tiny_model: ModelFolder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if fused:
        monkeypatch.setattr(inference, "_SHORT", {torch.float32: 0})
    if not laid_out:
        monkeypatch.setattr(inference, "_laid_out", lambda weight: None)
    backbone = make_encoder(kind, "mean", tiny_model).backbone
    for pooling in ("mean", "max", "cls_before_pooler", "mask", "last_token"):
        encoder = Encoder(backbone, pooling, [], mask_id=90).eval()
        assert fits(encoder)
        fast = FastBackbone(encoder, torch.float32)
        torch.testing.assert_close(run_by(encoder, lengths, fast), run_by(encoder, lengths), atol=2e-6, rtol=1e-5)
        if len(set(lengths)) == 1:
            found = run_by(encoder, lengths, fast, masked=False)
            torch.testing.assert_close(found, run_by(encoder, lengths, masked=False), atol=2e-6, rtol=1e-5)


def test_bfloat16_is_near(tiny_model: ModelFolder) -> None:
    encoder = make_encoder("bert", "mean", tiny_model)
    found = run_by(encoder, (9, 4), FastBackbone(encoder, torch.bfloat16))
    exact = run_by(encoder, (9, 4))
    assert found.dtype == torch.float32
    assert torch.cosine_similarity(found, exact).min() > 0.999
    assert not torch.allclose(found, exact, atol=1e-6)


def test_only_the_first_token_is_computed_where_it_alone_is_read(tiny_model: ModelFolder) -> None:
    ids, mask = masked_batch(9, 4)
    shapes = {}
    for pooling in ("cls_before_pooler", "mean"):
        fast = FastBackbone(make_encoder("bert", pooling, tiny_model), torch.float32)
        with torch.inference_mode():
            shapes[pooling] = fast(ids, mask).last_hidden_state.shape, fast(ids, mask, whole=True)[0].shape
    assert shapes == {"cls_before_pooler": ((2, 1, 32), (2, 9, 32)), "mean": ((2, 9, 32), (2, 9, 32))}


def vectors_of(backend: TorchBackend, *, prompt_length: int = 0) -> Tensor:
    ids, mask = masked_batch(9, 4)
    lengths = mask.sum(1).numpy()
    tokens = TokenTable(
        ids[mask.bool()].numpy().astype(np.int32), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), 0
    )
    out = torch.empty(2, 32)
    backend.embed(tokens, out, prompt_length=prompt_length)
    return out


@pytest.mark.parametrize("pooling", ["cls_before_pooler", "mean"])
def test_a_prompt_left_out_of_the_pooling(pooling: str, tiny_model: ModelFolder) -> None:
    encoder = make_encoder("bert", pooling, tiny_model)
    ids, mask = masked_batch(9, 4)
    rest = mask.clone()
    rest[:, :2] = 0
    with torch.inference_mode():
        expected = encoder(ids, mask, rest)
    torch.testing.assert_close(vectors_of(TorchBackend(encoder, 1), prompt_length=2), expected, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("change", ["in place", "another tensor", "an exchanged layer", "a hook", "a fused step"])
def test_what_changes_in_the_encoder_is_followed(change: str, tiny_model: ModelFolder) -> None:
    encoder = make_encoder("bert", "mean", tiny_model)
    backend = TorchBackend(encoder, 1)
    before = vectors_of(backend)
    layer: Any = encoder.backbone.encoder.layer[1]  # type: ignore[union-attr, index]
    if change == "in place":
        with torch.no_grad():
            layer.output.dense.weight.mul_(3)
    elif change == "another tensor":
        layer.output.dense.weight = torch.nn.Parameter(3 * layer.output.dense.weight.detach())
    elif change == "an exchanged layer":
        layer.output.dense = torch.nn.Sequential(layer.output.dense, torch.nn.ReLU())
    elif change == "a fused step":  # counts no version up
        weight = layer.output.dense.weight
        weight.grad = torch.linspace(-1, 1, weight.numel()).view_as(weight)
        torch.optim.AdamW([weight], lr=0.3, fused=True).step()
    else:
        layer.output.register_forward_hook(lambda module, given, result: result * 2)
    after = vectors_of(backend)
    torch.testing.assert_close(after, run_by(encoder, (9, 4)), atol=2e-6, rtol=1e-5)
    assert not torch.allclose(before, after, atol=1e-3)


def test_lora_adapters_and_their_merge_are_followed(tiny_model: ModelFolder) -> None:
    pytest.importorskip("peft")
    from simcse_kit.encoder.lora import add_lora, merge_lora

    encoder = make_encoder("bert", "mean", tiny_model)
    backend = TorchBackend(encoder, 1)
    plain = vectors_of(backend)
    torch.manual_seed(0)
    add_lora(encoder, rank=2)
    for name, weight in encoder.named_parameters():
        if "lora_B" in name:
            torch.nn.init.constant_(weight, 0.1)  # larger ones make the rounding of the sums larger too
    adapted = vectors_of(backend)
    assert not torch.allclose(plain, adapted, atol=1e-3)
    merge_lora(encoder)
    torch.testing.assert_close(vectors_of(backend), adapted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "pooling", "expected"),
    [
        ("bert", "mean", True),
        ("bert", "avg_first_last", False),
        ("mpnet", "mean", True),
        ("distilbert", "mean", True),
        ("modernbert", "mean", True),
        ("albert", "mean", False),
        ("deberta", "mean", False),
        ("gpt2", "last_token", False),
    ],
)
def test_which_encoders_fit(kind: str, pooling: str, expected: bool, tiny_model: ModelFolder) -> None:
    assert fits(make_encoder(kind, pooling, tiny_model)) is expected


def test_modes_are_put_back_as_they_were(tiny_model: ModelFolder) -> None:
    encoder = make_encoder("bert", "mean", tiny_model).train()
    encoder.backbone.encoder.layer[0].eval()  # type: ignore[union-attr, index]
    modes = [module.training for module in encoder.modules()]
    vectors_of(TorchBackend(encoder, 1))
    assert [module.training for module in encoder.modules()] == modes


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_cuda_gives_the_vectors_of_the_cpu(dtype: str, tiny_model: ModelFolder, sentences: list[str]) -> None:
    models = [SimCSE(tiny_model("bert"), pooling="mean", device="cpu")]
    models.append(SimCSE(tiny_model("bert"), pooling="mean", device="cuda", dtype=dtype))
    exact, found = (torch.from_numpy(model.encode(sentences)) for model in models)
    assert torch.cosine_similarity(exact, found).min() > (0.999 if dtype == "bfloat16" else 0.99999)
