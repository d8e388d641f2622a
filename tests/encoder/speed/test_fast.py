"""Faster training steps compute the same as plain ones."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from simcse_kit.encoder.backbone import load_backbone, load_config
from simcse_kit.encoder.modules import Encoder
from simcse_kit.encoder.speed import dropout as dropouts
from simcse_kit.encoder.speed.dropout import ATTENTION, dropout, fast_attention, fast_dropout
from simcse_kit.encoder.speed.families import stack_of
from simcse_kit.encoder.speed.fast import first_token_only, sparse_word_gradient, training_speedups
from simcse_kit.losses import info_nce
from support.tiny import make_electra

ModelFolder = Callable[[str], Path]
SMALLEST = 1 / 65536  # dropout probability


def make_encoder(folder: Path, pooling: str = "cls_before_pooler", *, rate: float = 0.0) -> Encoder:
    """A tiny encoder in training mode, every dropout probability ``rate``."""
    backbone = load_backbone(folder, load_config(folder, dropout=rate))
    return Encoder(backbone.model, pooling, []).train()


def batch(*lengths: int, seed: int = 0) -> tuple[Tensor, Tensor | None]:
    """Random ids (B, L), padded with 0, and their mask, None where nothing is padded."""
    ids = torch.randint(5, 90, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(seed))
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return ids * mask, None if mask.all() else mask


def gradients(encoder: Encoder, *batches: tuple[Tensor, Tensor | None]) -> dict[str, Tensor]:
    """One backward pass over a forward pass for each batch; the loss weighs every coordinate differently."""
    encoder.zero_grad()
    out = torch.cat([encoder(*one) for one in batches]).float()
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    return {name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None}


def assert_same(left: dict[str, Tensor], right: dict[str, Tensor], *, atol: float = 2e-5) -> None:
    assert left.keys() == right.keys()
    assert any(bool(tensor.abs().max() > 100 * atol) for tensor in left.values())
    for name, tensor in left.items():
        torch.testing.assert_close(tensor, right[name], atol=atol, rtol=1e-4, msg=lambda text, n=name: f"{n}: {text}")


# Dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("p", "scale"),
    [
        (0.25, 4 / 3),  # 49152 of 65536 numbers keep
        (0.1, 65536 / 58982),  # 0.9 * 65536 = 58982.4
        (0.9, 65536 / 6554),  # 6553.6
    ],
)
def test_values_are_dropped_or_scaled_by_the_exact_rate(p: float, scale: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    count = 1_000_003
    out = dropout(torch.ones(count, dtype=dtype), p)
    assert out.dtype == dtype
    assert set(out.unique().tolist()) == {0.0, torch.tensor(scale).to(dtype).item()}
    kept = float((out != 0).double().mean())
    assert abs(kept - 1 / scale) < 5 * math.sqrt(p * (1 - p) / count)


def test_neighbours_and_draws_are_independent() -> None:
    torch.manual_seed(0)
    count = 1_000_000
    first, second = ((dropout(torch.ones(count), 0.5) != 0).double() - 0.5 for _ in range(2))  # variance 1/4
    limit = 5 * 0.25 / math.sqrt(count)
    for lag in (1, 2, 3, 4, 5, 8, 64):
        assert abs(float((first[lag:] * first[:-lag]).mean())) < limit, lag
    assert abs(float((first * second).mean())) < limit


def test_every_bit_is_used() -> None:
    """The 65536 possible numbers come about equally often: chi-square with 65535 degrees of freedom is normal,
    mean 65535, deviation sqrt(2 * 65535) = 362."""
    torch.manual_seed(0)
    bits = dropouts._random_bits(65536 * 40)
    counts = torch.bincount(bits.long() + 32768, minlength=65536).double()
    assert abs(float(((counts - 40) ** 2 / 40).sum()) - 65535) < 5 * 362


def test_the_gradient_passes_the_same_mask() -> None:
    torch.manual_seed(0)
    x = torch.randn(7, 5, 3).transpose(0, 1).requires_grad_()
    out = dropout(x, 0.4)
    out.backward(torch.full_like(out, 2.0))
    torch.testing.assert_close(x.grad, 2 * out.detach() / x.detach())
    assert 0 < int((out == 0).sum()) < out.numel()


def test_masks_follow_the_torch_generator_alone() -> None:
    x = torch.ones(1001)
    torch.manual_seed(3)
    first = dropout(x, 0.5)
    state = torch.get_rng_state()
    np.random.seed(0)
    second, third = dropout(x, 0.5), dropout(x, 0.5)
    torch.set_rng_state(state)
    assert torch.equal(dropout(x, 0.5), second)
    torch.manual_seed(3)
    assert torch.equal(dropout(x, 0.5), first)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


def test_dropout_modules_are_lent_another_class() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Dropout(0.0))
    text, x = repr(module), torch.ones(3, 4)
    with fast_dropout(module) as done:
        assert done
        assert repr(module) == text
        assert torch.equal(module[1].eval()(x), x)
        assert set(module[1].train()(torch.ones(1000)).tolist()) == {0.0, 2.0}
        clone = copy.deepcopy(module)
    assert [type(part) for part in module] == [nn.Linear, nn.Dropout, nn.Dropout]
    torch.manual_seed(0)
    fast = clone[1](x)
    torch.manual_seed(0)
    assert torch.equal(fast, dropout(x, 0.5))
    with fast_dropout(nn.Sequential(nn.Dropout(0.0))) as done:
        assert not done


# Attention


@pytest.fixture
def nothing_dropped(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Dropout that keeps everything; with p = 1/65536 it scales by 65536/65535. The list counts its calls."""
    calls: list[int] = []

    def lowest(count: int) -> Tensor:
        calls.append(count)
        return torch.full((count,), -32768, dtype=torch.int16)

    monkeypatch.setattr(dropouts, "_random_bits", lowest)
    return calls


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "albert", "mpnet", "modernbert", "gpt2", "llama"])
@pytest.mark.parametrize("lengths", [(20, 7, 3), (12, 12)])
def test_attention_equals_sdpa(
    kind: str, lengths: tuple[int, ...], tiny_model: ModelFolder, nothing_dropped: list[int]
) -> None:
    plain = make_encoder(tiny_model(kind), "mean")
    fast = make_encoder(tiny_model(kind), "mean", rate=SMALLEST)
    for module in fast.modules():
        if type(module) is nn.Dropout and module.p == SMALLEST:
            module.eval()  # attention's own probability is read, its module is not called
    one = batch(*lengths)
    with fast_attention(fast.backbone) as done:
        ours = gradients(fast, one)
        vectors = fast(*one)
    assert done == (plain.config._attn_implementation == "sdpa")
    causal_without_mask = kind in ("gpt2", "llama") and one[1] is None
    assert bool(nothing_dropped) == (done and not causal_without_mask)
    torch.testing.assert_close(vectors, plain(*one), atol=1e-3, rtol=1e-3)
    assert_same(ours, gradients(plain, one), atol=1e-3)


def test_attention_under_autocast_is_as_close_to_float32_as_sdpa(
    tiny_model: ModelFolder, nothing_dropped: list[int]
) -> None:
    one = batch(20, 7, 3)
    plain, fast = (make_encoder(tiny_model("bert"), rate=rate) for rate in (0.0, SMALLEST))
    with torch.no_grad(), fast_attention(fast.backbone):
        exact = plain(*one)
        with torch.autocast("cpu", torch.bfloat16):
            theirs, ours = plain(*one), fast(*one)
    assert nothing_dropped
    assert (ours - exact).abs().mean() < 1.5 * (theirs - exact).abs().mean()


def test_grouped_heads_and_biases_go_to_sdpa() -> None:
    module = nn.Module()
    generator = torch.Generator().manual_seed(0)
    query, key, value, bias = (torch.randn(2, heads, 5, 5, generator=generator) for heads in (4, 2, 2, 4))
    for grouped, extra in ((True, {}), (False, {"position_bias": bias})):
        keys = (key, value) if grouped else (query, query)
        module.num_key_value_groups = 1 + grouped  # type: ignore[assignment]
        results = []
        for attention in (dropouts.cpu_attention, sdpa_attention_forward):
            torch.manual_seed(1)
            results.append(attention(module, query, *keys, None, 0.5, is_causal=False, **extra)[0])
        assert torch.equal(*results)


# The word table's gradient


def test_the_word_gradient_is_the_dense_one(tiny_model: ModelFolder) -> None:
    """Over several forward and backward passes, and steps of AdamW, whose moments decay for absent words."""
    batches = [batch(9, 4, seed=1), batch(6, 6, seed=2), batch(9, 9, 2, seed=3)]
    states = []
    for fits in (True, False):
        encoder = make_encoder(tiny_model("bert"))
        optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-2)
        table = encoder.backbone.get_input_embeddings().weight  # type: ignore[operator]
        with sparse_word_gradient(encoder.backbone if fits else _WithoutTable()):
            for step in range(4):
                for part in (batches[:2], batches[2:]):  # two backward passes in one step
                    (torch.cat([encoder(*one) for one in part]) ** 3).mean().backward()
                assert not table.grad.is_sparse
                assert not table.grad[0].any()  # the padding word's
                optimizer.step()
                optimizer.zero_grad(set_to_none=step % 2 == 0)
            assert not copy.deepcopy(encoder).backbone.get_input_embeddings().weight.grad  # type: ignore[operator]
        states.append(dict(encoder.state_dict()))
    assert_same(*states)


class _WithoutTable:
    def get_input_embeddings(self) -> None:
        return None


def test_a_copy_has_dense_word_gradients_too(tiny_model: ModelFolder) -> None:
    encoder, one = make_encoder(tiny_model("bert")), batch(9, 4)
    expected = gradients(encoder, one)
    with sparse_word_gradient(encoder.backbone):
        assert_same(gradients(encoder, one), expected)
        clone = copy.deepcopy(encoder)
    assert_same(gradients(clone, one), expected)
    table = encoder.backbone.get_input_embeddings()  # type: ignore[operator]
    assert type(table) is nn.Embedding
    assert not table.weight._post_accumulate_grad_hooks


# The last layer


def bert_like(kind: str, tiny_model: ModelFolder, pooling: str = "cls_before_pooler") -> Encoder:
    if kind != "electra":
        return make_encoder(tiny_model(kind), pooling)
    return Encoder(make_electra(), pooling, []).train()


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlmr", "electra", "distilbert", "mpnet"])
@pytest.mark.parametrize("lengths", [(20, 7, 3), (12, 12), (5,)])
def test_the_first_token_alone_gives_the_same_vectors_and_gradients(
    kind: str, lengths: tuple[int, ...], tiny_model: ModelFolder
) -> None:
    encoder, one = bert_like(kind, tiny_model), batch(*lengths)
    widths: list[int] = []
    last = stack_of(encoder.backbone).layers[-1]  # type: ignore[union-attr]
    last.intermediate.register_forward_hook(lambda module, args, out: widths.append(out.shape[1]))
    expected, vectors = gradients(encoder, one), encoder(*one)
    with first_token_only(encoder) as done:
        assert done
        widths.clear()
        assert_same(gradients(encoder, one), expected)
        assert widths == [1]
        assert torch.equal(encoder.eval()(*one), vectors)
    assert widths == [1, max(lengths)]


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [
        ("bert", "mean"),
        ("bert", "avg_first_last"),
        ("bert", "mask"),
        ("roberta", "last_token"),
        ("mpnet", "mean"),
        ("albert", "cls_before_pooler"),
        ("modernbert", "cls_before_pooler"),
        ("gpt2", "cls_before_pooler"),
    ],
)
def test_where_more_is_read_than_the_first_token_nothing_changes(
    kind: str, pooling: str, tiny_model: ModelFolder
) -> None:
    encoder = make_encoder(tiny_model(kind), pooling)
    classes = [type(module) for module in encoder.modules()]
    with first_token_only(encoder) as done:
        assert not done
        assert [type(module) for module in encoder.modules()] == classes


# Together


def test_a_step_is_the_plain_step(tiny_model: ModelFolder, nothing_dropped: list[int]) -> None:
    groups = [batch(4, 5), batch(9, 9, seed=1), batch(20, 12, seed=2)]
    plain, fast = (make_encoder(tiny_model("bert"), rate=rate) for rate in (0.0, SMALLEST))
    with training_speedups(fast) as names:
        assert names == ("dropout", "attention", "word gradient", "first token")
        ours = gradients(fast, *groups)
    # 3 groups: embeddings; attention and 2 dropouts in each of 2 layers
    assert len(nothing_dropped) == 3 * (1 + 2 * 3)
    assert_same(ours, gradients(plain, *groups), atol=5e-3)


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlmr", "distilbert", "mpnet", "modernbert"])
def test_every_family_keeps_its_loss_and_gradient(kind: str, tiny_model: ModelFolder) -> None:
    encoder, views = make_encoder(tiny_model(kind)), (batch(20, 7, 3), batch(4, 9, 9, seed=1))

    def step() -> tuple[Tensor, dict[str, Tensor]]:
        encoder.zero_grad()
        loss = info_nce(*(encoder(*view) for view in views), temperature=0.05)
        loss.backward()
        return loss.detach(), {name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None}

    plain = step()
    with training_speedups(encoder) as names:
        assert ("first token" in names) == (kind != "modernbert")
        ours = step()
    torch.testing.assert_close(ours[0], plain[0], atol=1e-5, rtol=1e-5)
    assert_same(ours[1], plain[1])


def test_steps_replay(tiny_model: ModelFolder) -> None:
    encoder, one = make_encoder(tiny_model("bert"), rate=0.1), batch(9, 9)
    with training_speedups(encoder):
        torch.manual_seed(7)
        first, second = encoder(*one), encoder(*one)
        torch.manual_seed(7)
        again = encoder(*one)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_with_a_masked_language_model_every_token_stays(tiny_model: ModelFolder) -> None:
    encoder = make_encoder(tiny_model("bert"), rate=0.1)
    with training_speedups(encoder, mlm=True) as names:
        assert names == ("dropout", "attention")
        assert encoder.backbone(*batch(9, 9)).last_hidden_state.shape == (2, 9, 32)


@pytest.mark.parametrize("kind", ["bert", "mpnet", "deberta", "modernbert", "gpt2"])
def test_names_files_copies_and_evaluation_stay(kind: str, tiny_model: ModelFolder, tmp_path: Path) -> None:
    encoder, one = make_encoder(tiny_model(kind), rate=0.1), batch(9, 4)
    backbone: Any = encoder.backbone
    state, text, classes = encoder.state_dict(), repr(encoder), [type(module) for module in encoder.modules()]
    expected = encoder.eval()(*one)
    backbone.save_pretrained(tmp_path / "before")
    with contextlib.suppress(KeyboardInterrupt), training_speedups(encoder) as names:
        assert "dropout" in names
        assert repr(encoder) == text
        assert list(encoder.state_dict()) == list(state)
        assert torch.equal(encoder(*one), expected)
        encoder.train()(*one).sum().backward()
        backbone.save_pretrained(tmp_path / "inside")
        clone = copy.deepcopy(encoder)
        raise KeyboardInterrupt
    assert torch.equal(clone.eval()(*one), expected)
    clone.train()(*one).sum().backward()
    assert [type(module) for module in encoder.modules()] == classes
    assert backbone.config._attn_implementation != ATTENTION
    assert torch.equal(encoder.eval()(*one), expected)
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "before" / name).read_bytes() == (tmp_path / "inside" / name).read_bytes()
