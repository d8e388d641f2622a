"""One loss at several widths."""

from __future__ import annotations

import pytest
import torch
from sentence_transformers.sentence_transformer import losses as reference
from torch import Tensor, nn

from simcse_kit.errors import TrainingError
from simcse_kit.losses import cosent, info_nce, matryoshka


def views(count: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(5, 8, generator=generator, dtype=torch.float64) for _ in range(count)]


def test_it_is_the_mean_of_the_cut_losses() -> None:
    a, b, n = views()
    by_hand = (info_nce(a[:, :8], b[:, :8], n[:, :8]) + info_nce(a[:, :3], b[:, :3], n[:, :3])) / 2
    torch.testing.assert_close(matryoshka(info_nce, (a, b, n), [8, 3]), by_hand)
    torch.testing.assert_close(matryoshka(info_nce, (a, b, n), [3, 8]), by_hand)
    gold = torch.arange(5)
    cut = (cosent(a[:, :2], b[:, :2], gold) + cosent(a[:, :6], b[:, :6], gold)) / 2
    torch.testing.assert_close(matryoshka(lambda x, y: cosent(x, y, gold), (a, b), [2, 6]), cut)


def test_the_full_width_alone_is_the_plain_loss() -> None:
    a, b, n = views()
    assert torch.equal(matryoshka(info_nce, (a, b, n), [8]), info_nce(a, b, n))


class Ready(nn.Module):
    """A model whose features are its embeddings."""

    def get_embedding_dimension(self) -> int:
        return 8

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"sentence_embedding": features["vectors"]}


def test_sentence_transformers_sums_the_widths() -> None:
    """Its value, and so its gradient, is that of the mean times the number of widths."""
    vectors = [view.requires_grad_() for view in views()]
    model, dims = Ready(), [8, 4, 2]
    theirs = reference.MatryoshkaLoss(model, reference.MultipleNegativesRankingLoss(model), dims)
    expected = theirs([{"vectors": vector} for vector in vectors], None)
    loss = len(dims) * matryoshka(info_nce, vectors, dims)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, vectors), torch.autograd.grad(expected, vectors))


def test_what_is_cut_off_gets_no_gradient() -> None:
    a, b, _ = views()
    (gradient,) = torch.autograd.grad(matryoshka(info_nce, (a.requires_grad_(), b), [2, 5]), a)
    assert not gradient[:, 5:].any()
    assert gradient[:, :5].all()


@pytest.mark.parametrize("dims", [[], [8, 9], [0], [-1, 8]])
def test_widths_that_the_vectors_do_not_have_are_named(dims: list[int]) -> None:
    with pytest.raises(TrainingError, match="from 1 to 8"):
        matryoshka(info_nce, views(), dims)


def test_gradients() -> None:
    inputs = tuple(view.requires_grad_() for view in views())
    assert torch.autograd.gradcheck(
        lambda a, b, n: matryoshka(lambda *cut: info_nce(*cut, temperature=0.5), (a, b, n), [8, 3]), inputs, atol=1e-6
    )
