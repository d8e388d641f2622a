"""Options of `info_nce` and `nt_xent`: plain loops, hand-worked numbers, sentence-transformers."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import GISTEmbedLoss, MultipleNegativesRankingLoss
from torch import Tensor, nn

from simcse_kit.errors import TrainingError
from simcse_kit.losses import HARDNESS_MODES, info_nce, nt_xent
from simcse_kit.losses.contrastive import _with_margin

EYE = torch.eye(2, dtype=torch.float64)


def batch(rows: int = 5, count: int = 4, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(rows, 6, generator=generator, dtype=torch.float64) for _ in range(count)]


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def plain(
    h: Tensor,
    p: Tensor,
    n: Tensor | None = None,
    *,
    temperature: float = 0.05,
    hard_negative_weight: float = 0.0,
    angular_margin: float = 0.0,
    hardness_mode: str | None = None,
    hardness_strength: float = 0.0,
    bidirectional: bool = False,
    extra_negatives: Tensor | None = None,
    ids: Tensor | None = None,
    false_negative_margin: float | None = None,
) -> float:
    """Every option term by term: candidates are ("kind", row, vector); a row's loss is -log of its positive's share."""

    def positive_logit(i: int) -> float:
        theta, margin = math.acos(cosine(h[i], p[i])), math.radians(angular_margin)
        if theta < math.pi - margin:
            return math.cos(theta + margin) / temperature
        return (math.cos(theta) + math.cos(margin) - 1) / temperature

    def row(i: int, own: Tensor, candidates: list[tuple[str, int, Tensor]]) -> float:
        below = math.exp(positive_logit(i))
        for kind, j, vector in candidates:
            if kind in ("positive", "anchor") and i == j:
                continue
            s = cosine(own, vector)
            if false_negative_margin is not None and s > cosine(h[i], p[i]) - false_negative_margin:
                continue
            column = {"anchor": 0, "positive": 1, "hard": 2}.get(kind)
            if ids is not None and column is not None and ids[j, column] in ids[i, :2]:
                continue
            logit = s / temperature
            own_hard = kind == "hard" and i == j
            if own_hard:
                logit += hard_negative_weight
            if kind != "anchor" and (
                hardness_mode == "all_negatives"
                or hardness_mode == ("hard_negatives" if own_hard else "in_batch_negatives")
            ):
                logit += hardness_strength * s
            below += math.exp(logit)
        return -math.log(math.exp(positive_logit(i)) / below)

    candidates = [("positive", j, vector) for j, vector in enumerate(p)]
    candidates += [("hard", j, vector) for j, vector in enumerate(n if n is not None else ())]
    candidates += [("extra", -1, vector) for vector in (extra_negatives if extra_negatives is not None else ())]
    forward = sum(row(i, h[i], candidates) for i in range(len(h))) / len(h)
    if not bidirectional:
        return forward
    anchors = [("anchor", j, vector) for j, vector in enumerate(h)]
    return (forward + sum(row(i, p[i], anchors) for i in range(len(h))) / len(h)) / 2


# texts 0 and 4 come twice among anchors and positives; 1's own hard negative is its positive
IDS = torch.tensor([[0, 0, 9], [1, 5, 5], [2, 6, 4], [0, 7, 8], [4, 4, 10]])
OPTIONS: list[dict[str, Any]] = [
    {"angular_margin": 10.0},
    {"hardness_mode": "in_batch_negatives", "hardness_strength": 3.0},
    {"hardness_mode": "hard_negatives", "hardness_strength": 3.0, "hard_negative_weight": 0.4},
    {"hardness_mode": "all_negatives", "hardness_strength": 3.0},
    {"bidirectional": True},
    {"extra_negatives": batch(7, 1, seed=5)[0]},
    {"ids": IDS},
    {"false_negative_margin": 0.0},
    {"false_negative_margin": 0.3},
    {"false_negative_margin": -0.3},
    {"bidirectional": True, "ids": IDS, "false_negative_margin": -0.4, "angular_margin": 20.0},
    {
        "angular_margin": 30.0,
        "hardness_mode": "all_negatives",
        "hardness_strength": 1.0,
        "hard_negative_weight": -0.5,
        "bidirectional": True,
        "extra_negatives": batch(3, 1, seed=6)[0],
        "ids": IDS,
        "false_negative_margin": -0.2,
    },
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(options))
@pytest.mark.parametrize("with_hard", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_every_option_is_its_formula(options: dict[str, Any], with_hard: bool, seed: int) -> None:
    h, p, n, _ = batch(seed=seed)
    args = (h, p, n) if with_hard else (h, p)
    for temperature in (0.2, 1.0):
        loss = info_nce(*args, temperature=temperature, **options)
        assert loss.item() == pytest.approx(plain(*args, temperature=temperature, **options), rel=1e-7)


def test_the_options_move_the_loss() -> None:
    """Else the test above would also pass for options without effect."""
    h, p, n, _ = batch()
    losses = [info_nce(h, p, n, temperature=0.2, **options).item() for options in [{}, *OPTIONS]]
    assert all(abs(a - b) > 1e-6 for a, b in itertools.combinations(losses, 2))


def reference(scale: float, **options: Any) -> MultipleNegativesRankingLoss:
    return MultipleNegativesRankingLoss(None, scale=scale, **options)


@pytest.mark.parametrize("mode", HARDNESS_MODES)
@pytest.mark.parametrize("with_hard", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_hardness_and_both_directions_are_those_of_sentence_transformers(
    mode: str, with_hard: bool, bidirectional: bool
) -> None:
    """Values and gradients: the penalty has no gradient."""
    vectors = [vector.requires_grad_() for vector in batch(count=3 if with_hard else 2)]
    both = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"} if bidirectional else {}
    theirs = reference(5.0, hardness_mode=mode, hardness_strength=4.0, **both)
    expected = theirs.compute_loss_from_embeddings(vectors, labels=None)
    loss = info_nce(*vectors, temperature=0.2, hardness_mode=mode, hardness_strength=4.0, bidirectional=bidirectional)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, vectors), torch.autograd.grad(expected, vectors))


class Ready(nn.Module):
    """A model whose features are its embeddings."""

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"sentence_embedding": features["vectors"]}


@pytest.mark.parametrize("margin", [0.0, 0.25, -0.25])
@pytest.mark.parametrize("with_hard", [False, True])
def test_the_false_negative_margin_is_gistembeds(margin: float, with_hard: bool) -> None:
    theirs = GISTEmbedLoss.__new__(GISTEmbedLoss)  # its constructor needs tokenizers
    nn.Module.__init__(theirs)
    theirs.model = theirs.guide = Ready()
    theirs.temperature, theirs.margin, theirs.margin_strategy = 0.2, margin, "absolute"
    theirs.similarity_fct, theirs.cross_entropy_loss = nn.CosineSimilarity(dim=-1), nn.CrossEntropyLoss()
    theirs.must_retokenize = theirs.contrast_anchors = theirs.contrast_positives = theirs.gather_across_devices = False
    vectors = batch(8, count=3 if with_hard else 2)
    expected = theirs([{"vectors": vector} for vector in vectors], None)
    torch.testing.assert_close(info_nce(*vectors, temperature=0.2, false_negative_margin=margin), expected)
    assert expected != info_nce(*vectors, temperature=0.2)


def test_hand_worked_numbers() -> None:
    # 60 degrees on a pair at angle 0: its logit is cos 60 = 1/2, the other's stays 0
    assert info_nce(EYE, EYE, temperature=1.0, angular_margin=60.0).item() == pytest.approx(
        math.log(1 + math.exp(-0.5))
    )
    # one more negative at cosine 1 to the first anchor, 0 to the second: (e + 1 + e) / e and (e + 1 + 1) / e
    expected = (math.log((2 * math.e + 1) / math.e) + math.log((math.e + 2) / math.e)) / 2
    assert info_nce(EYE, EYE, temperature=1.0, extra_negatives=EYE[:1]).item() == pytest.approx(expected)
    # anchors e1, e2, positives e1, e1, so cosines (1, 1) and (0, 0): 2 ways to pick everywhere. From the positives'
    # side the columns (1, 0) and (1, 0): the first's own anchor stands at e of e + 1, the second's at 1 of e + 1
    p = EYE[[0, 0]]
    backward = (math.log((math.e + 1) / math.e) + math.log(math.e + 1)) / 2
    assert info_nce(EYE, p, temperature=1.0).item() == pytest.approx(math.log(2))
    assert info_nce(EYE, p, temperature=1.0, bidirectional=True).item() == pytest.approx((math.log(2) + backward) / 2)
    # strength 2 on the own hard negative at cosine 1: its logit is 1 + 2, the other rows' are 0
    loss = info_nce(EYE, EYE, EYE, temperature=1.0, hardness_mode="hard_negatives", hardness_strength=2.0)
    assert loss.item() == pytest.approx(math.log((math.e + 2 + math.e**3) / math.e))


def test_the_margin_falls_all_the_way_without_a_jump() -> None:
    theta = torch.linspace(0, math.pi, 2001, dtype=torch.float64)
    for degrees in (1.0, 10.0, 60.0, 120.0):
        value = _with_margin(theta.cos(), degrees)
        steps = value.diff()
        assert (steps < 0).all()
        assert steps.abs().max() < 1.01 * (theta[1] - theta[0])  # no steeper than a cosine
        assert value[0].item() == pytest.approx(math.cos(math.radians(degrees)), abs=1e-7)
        assert value[-1].item() == pytest.approx(math.cos(math.radians(degrees)) - 2)  # cos(pi) + cos(m) - 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_margins_gradient_is_finite_at_the_ends(dtype: torch.dtype, sign: float) -> None:
    h = batch(16)[0].to(dtype).requires_grad_()
    info_nce(h, sign * h.detach(), angular_margin=10.0).backward()
    assert h.grad is not None
    assert h.grad.isfinite().all()


def test_equal_texts_are_no_negatives() -> None:
    h, p, n, _ = batch(3)
    # rows 0 and 1 are one text in both views: what is left of row 0 is a batch of rows 0 and 2, and so on
    ids = torch.tensor([[0, 0, 3], [0, 0, 4], [2, 2, 5]])

    def first_row(rows: list[int]) -> Tensor:
        return info_nce(h[rows], p[rows], extra_negatives=n) * len(rows) - sum(
            info_nce(h[[i]], torch.cat([p[[i]]]), extra_negatives=torch.cat([p[[j for j in rows if j != i]], n]))
            for i in rows[1:]
        )

    expected = (first_row([0, 2]) + first_row([1, 2]) + first_row([2, 0, 1])) / 3
    torch.testing.assert_close(info_nce(h, p, n, ids=ids), expected)


def test_texts_that_all_differ_change_nothing() -> None:
    h, p, n, _ = batch()
    ids = torch.arange(15).view(5, 3)
    for options in ({}, {"bidirectional": True}, {"extra_negatives": n[:2]}):
        torch.testing.assert_close(info_nce(h, p, n, ids=ids, **options), info_nce(h, p, n, **options))
        torch.testing.assert_close(info_nce(h, p, ids=ids, **options), info_nce(h, p, **options))
    torch.testing.assert_close(nt_xent(h, p, ids=ids[:, 0]), nt_xent(h, p))


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        (1, {}),
        (
            1,
            {"bidirectional": True, "angular_margin": 10.0, "hardness_mode": "all_negatives", "hardness_strength": 5.0},
        ),
        (1, {"ids": torch.zeros(1, 2, dtype=torch.long)}),
        (4, {"ids": torch.zeros(4, 2, dtype=torch.long), "bidirectional": True}),
        (4, {"false_negative_margin": 3.0, "bidirectional": True}),  # every cosine exceeds own - 3
    ],
)
def test_nothing_left_to_tell_apart_costs_nothing(rows: int, options: dict[str, Any]) -> None:
    h, p = (tensor.requires_grad_() for tensor in batch(rows, 2))
    temperature = torch.tensor(0.05, dtype=torch.float64, requires_grad=True)
    loss = info_nce(h, p, temperature=temperature, **options)
    assert loss.item() == 0
    for gradient in torch.autograd.grad(loss, (h, p, temperature)):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-12, rtol=0)


def test_the_own_hard_negative_drops_out_when_it_is_the_positive_or_the_anchor() -> None:
    h, p, n, _ = (tensor.requires_grad_() for tensor in batch(1))
    for own in ([0, 1, 1], [0, 1, 0]):
        loss = info_nce(h, p, n, ids=torch.tensor([own]), hard_negative_weight=3.0)
        assert loss.item() == 0
        assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(loss, (h, p, n)))
    assert info_nce(h, p, n, ids=torch.tensor([[0, 1, 2]])) > 0


def test_an_unknown_hardness_mode_is_named() -> None:
    with pytest.raises(TrainingError, match="in_batch_negatives, hard_negatives, all_negatives or None; got 'hard'"):
        info_nce(EYE, EYE, hardness_mode="hard")


SMOOTH = [options for options in OPTIONS if "hardness_mode" not in options]  # gradcheck rejects stop_grad


@pytest.mark.parametrize("options", SMOOTH, ids=lambda options: "+".join(options))
def test_gradients(options: dict[str, Any]) -> None:
    """Of the vectors and of a temperature that is learned."""
    inputs = [tensor.requires_grad_() for tensor in batch(count=3)]
    inputs.append(torch.tensor(0.5, dtype=torch.float64, requires_grad=True))
    assert torch.autograd.gradcheck(lambda h, p, n, t: info_nce(h, p, n, temperature=t, **options), inputs, atol=1e-6)


def test_nt_xent_without_equal_texts_is_the_formula() -> None:
    a, b, *_ = batch(4)
    texts = [0, 1, 0, 2]
    views, owners = [*a, *b], [0, 1, 2, 3, 0, 1, 2, 3]
    total = 0.0
    for i, view in enumerate(views):
        twin = (i + 4) % 8
        kept = [twin] + [k for k in range(8) if texts[owners[k]] != texts[owners[i]]]
        shares = [math.exp(cosine(view, views[k]) / 0.5) for k in kept]
        total -= math.log(shares[0] / sum(shares))
    ids = torch.tensor(texts)
    assert nt_xent(a, b, ids=ids).item() == pytest.approx(total / 8)
    assert nt_xent(a, b, ids=torch.zeros(4, dtype=torch.long)).item() == 0
    inputs = (a.requires_grad_(), b.requires_grad_(), torch.tensor(0.5, dtype=torch.float64, requires_grad=True))
    assert torch.autograd.gradcheck(lambda x, y, t: nt_xent(x, y, temperature=t, ids=ids), inputs, atol=1e-6)
