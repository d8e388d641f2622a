"""Batches without padding, and compiled steps, compute the same as padded ones."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from simcse_kit.encoder.backbone import load_backbone, load_config
from simcse_kit.encoder.modules import Encoder
from simcse_kit.encoder.padding import Packing
from simcse_kit.encoder.pooling import POOLERS
from simcse_kit.encoder.speed.compiled import compiled
from simcse_kit.encoder.speed.packed import attend_jagged, attend_packed, can_pack, packed_attention
from simcse_kit.errors import Notice
from support.tiny import masked_batch

ModelFolder = Callable[[str], Path]
LENGTHS = (5, 9, 1, 12, 3)


def make_encoder(folder: Path, pooling: str = "mean", *, rate: float = 0.0) -> Encoder:
    backbone = load_backbone(folder, load_config(folder, dropout=rate))
    return Encoder(backbone.model, pooling, [], mask_id=90).train()


def gradients(encoder: Encoder, packing: Packing | None) -> tuple[Tensor, dict[str, Tensor]]:
    encoder.zero_grad()
    vectors = encoder(*masked_batch(*LENGTHS), packing=packing)
    (vectors * torch.linspace(-1, 1, vectors.numel()).view_as(vectors)).sum().backward()
    return vectors.detach(), {name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None}


def assert_same(one: tuple[Tensor, dict[str, Tensor]], other: tuple[Tensor, dict[str, Tensor]]) -> None:
    torch.testing.assert_close(one[0], other[0], atol=2e-6, rtol=1e-5)
    assert one[1].keys() == other[1].keys()
    for name, tensor in one[1].items():
        torch.testing.assert_close(
            tensor, other[1][name], atol=2e-5, rtol=1e-4, msg=lambda text, n=name: f"{n}: {text}"
        )


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("pooling", [name for name in POOLERS if name != "cls"])
def test_packed_equals_padded(kind: str, pooling: str, tiny_model: ModelFolder) -> None:
    encoder = make_encoder(tiny_model(kind), pooling)
    assert can_pack(encoder.backbone)
    plain = gradients(encoder, None)
    with packed_attention(encoder.backbone):
        assert_same(gradients(encoder, Packing.of(LENGTHS)), plain)
        assert_same(gradients(encoder, None), plain)  # a padded batch inside the context
    assert_same(gradients(encoder, Packing.of(LENGTHS)), plain)  # outside it the packing is left alone
    assert encoder.config._attn_implementation == "sdpa"


def test_padding_is_never_computed(tiny_model: ModelFolder) -> None:
    encoder = make_encoder(tiny_model("bert"))
    seen: list[torch.Size] = []
    encoder.backbone.embeddings.register_forward_hook(lambda module, args, out: seen.append(out.shape))  # type: ignore
    with packed_attention(encoder.backbone):
        encoder(*masked_batch(*LENGTHS), packing=Packing.of(LENGTHS))
    assert seen[0][:2] == (1, sum(LENGTHS))


def test_what_cannot_be_packed(tiny_model: ModelFolder) -> None:
    for kind in ("mpnet", "modernbert", "gpt2", "llama"):
        assert not can_pack(make_encoder(tiny_model(kind), "last_token").backbone)


def test_attention_kernels_agree() -> None:
    """torch's attention for variable lengths, as used on CUDA, against masked attention."""
    starts = Packing.of(LENGTHS).starts
    query, key, value = torch.randn(3, 1, 4, sum(LENGTHS), 8, dtype=torch.float64, generator=torch.manual_seed(1))
    plain, _ = attend_packed(None, query, key, value, None, 0.0, 0.3, cu_seq_lens_q=starts, max_length_q=12)
    attend = functools.partial(scaled_dot_product_attention, scale=0.3)
    for longest in (12, 32):  # a bound that is not reached changes nothing
        torch.testing.assert_close(attend_jagged(attend, query, key, value, starts, longest), plain)
    alone = scaled_dot_product_attention(*(x[:, :, 5:14] for x in (query, key, value)), scale=0.3)  # the second one
    torch.testing.assert_close(plain[:, 5:14], alone.transpose(1, 2))


def test_dropout_differs_between_packed_passes(tiny_model: ModelFolder) -> None:
    encoder = make_encoder(tiny_model("bert"), rate=0.3)
    with packed_attention(encoder.backbone):
        one, other = (encoder(*masked_batch(*LENGTHS), packing=Packing.of(LENGTHS)) for _ in range(2))
    assert (one - other).abs().max() > 0.01


@pytest.mark.slow
def test_compiled_steps_equal_plain_ones(tiny_model: ModelFolder) -> None:
    encoder = make_encoder(tiny_model("bert"))
    names = set(encoder.state_dict())
    packing = Packing.of(LENGTHS)
    plain = gradients(encoder, packing)
    with packed_attention(encoder.backbone), compiled(encoder, lambda: None, backend="aot_eager") as works:
        assert works
        assert_same(gradients(encoder, packing), plain)
        assert set(encoder.state_dict()) == names
        assert encoder.run is not None
        calls: list[int] = []
        encoder.run = lambda **given: calls.append(1) or encoder.backbone(**given)  # type: ignore
        encoder.eval()(*masked_batch(2, 3))
        assert not calls  # scores come from the backbone itself
        encoder.train()(*masked_batch(2, 3))
        assert calls
    assert encoder.run is None


def test_a_compiler_that_fails_is_said_and_left_out(tiny_model: ModelFolder) -> None:
    encoder = make_encoder(tiny_model("bert"))

    def no_compiler(*args: object) -> None:
        raise OSError("no C compiler found\nmore of it")

    def trial() -> None:
        encoder(*masked_batch(2, 3))

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with compiled(encoder, trial, backend=no_compiler) as works:  # type: ignore[arg-type]
            assert not works
            gradients(encoder, None)
    (notice,) = (str(one.message) for one in said if one.category is Notice)
    assert "torch.compile fails here" in notice
    assert "no C compiler found" in notice
