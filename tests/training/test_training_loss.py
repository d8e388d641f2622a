"""The minimised loss: against plain loops, without length groups, by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simcse_kit import SimCSE, train_sup, train_unsup
from simcse_kit.encoder.hub import resolve
from simcse_kit.encoder.load import load_encoder
from simcse_kit.encoder.tokens import TokenTable
from simcse_kit.errors import TrainingError
from simcse_kit.losses import info_nce
from simcse_kit.training.batches import TrainingRows
from simcse_kit.training.config import make_config
from simcse_kit.training.events import TrainListener
from simcse_kit.training.job import Job, prepare
from simcse_kit.training.mlm import mask_tokens
from simcse_kit.training.objective import ContrastiveModel, WholeBatch
from simcse_kit.training.sampling import Item
from simcse_kit.training.settings import TrainSettings

pytestmark = pytest.mark.filterwarnings("ignore::simcse_kit.errors.Notice")


def sup_job(folder: Path, data: Any, **given: Any) -> Job:
    """A supervised run without dropout, ready for its first step: one batch of all rows."""
    values: dict[str, Any] = {"batch_size": len(data), "dropout": 0.0, "device": "cpu", "pooling": "mean"}
    return prepare("sup", data, Path("not-made"), TrainSettings(model=folder, **(values | given)))  # type: ignore[typeddict-item]


def items(count: int) -> list[Item]:
    """The first rows of the first epoch."""
    return [Item(0, row) for row in range(count)]


def loss_of(job: Job) -> Tensor:
    job.objective.train()
    loss: Tensor = job.objective(WholeBatch.of(**job.rows.collate(items(len(job.data)))))
    return loss


def ids_of(job: Job) -> Tensor:
    """Which texts are equal: (B, V)."""
    assert job.rows.texts is not None
    return torch.from_numpy(job.rows.texts)


def plain_vectors(job: Job) -> list[Tensor]:
    """Every sentence by itself: V tensors (B, D)."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(job.config.model)
    views = []
    for i in range(job.data.width):
        vectors = []
        for text in job.data.column(i):
            ids = tokenizer(text, truncation=True, max_length=job.config.max_seq_length, return_tensors="pt")[
                "input_ids"
            ]
            vectors.append(job.model.encoder.backbone(ids).last_hidden_state.mean(1))
        views.append(torch.cat(vectors))
    return views


def plain_info_nce(
    first: Tensor, second: Tensor, third: Tensor, temperature: float, weight: float, rows: list[tuple[str, ...]]
) -> float:
    """Eq. 5 of the paper, term by term, without hard negatives that are the row's own positive."""

    def cosine(a: Tensor, b: Tensor) -> float:
        return (a @ b / a.norm() / b.norm()).item()

    total = 0.0
    for i in range(len(first)):
        against = [math.exp(cosine(first[i], second[j]) / temperature) for j in range(len(first))]
        against += [
            math.exp(cosine(first[i], third[j]) / temperature + (weight if i == j else 0))
            for j in range(len(third))
            if rows[j][2] not in rows[i][:2]
        ]
        total -= math.log(math.exp(cosine(first[i], second[i]) / temperature) / sum(against))
    return total / len(first)


@pytest.mark.parametrize(("width", "weight"), [(2, 0.0), (3, 0.0), (3, 0.7)])
def test_the_loss_is_that_of_a_plain_loop(
    width: int, weight: float, bert: Path, triplets: list[tuple[str, str, str]]
) -> None:
    job = sup_job(bert, [row[:width] for row in triplets], hard_negative_weight=weight, max_seq_length=12)
    vectors = plain_vectors(job)
    third = vectors[2] if width == 3 else vectors[0][:0]
    expected = plain_info_nce(vectors[0], vectors[1], third, 0.05, weight, job.data.rows)
    if width == 3:  # of some rows, the hard negative is another row's positive
        assert plain_info_nce(vectors[0], vectors[1], third, 0.05, weight, [("", "", "a")] * 20) > expected + 0.01
    assert loss_of(job).item() == pytest.approx(expected, abs=1e-5)
    pure = info_nce(
        vectors[0],
        vectors[1],
        vectors[2] if width == 3 else None,
        temperature=0.05,
        hard_negative_weight=weight,
        ids=ids_of(job),
    )
    assert pure.item() == pytest.approx(expected, abs=1e-5)


def test_the_first_logged_loss_is_that_of_the_first_batch(bert: Path, triplets: list[Any], tmp_path: Path) -> None:
    """Through the whole trainer: one epoch of one batch, whose order does not matter."""
    job = sup_job(bert, triplets)
    heard: list[dict[str, float]] = []

    class Hear(TrainListener):
        def logged(self, step: int, metrics: dict[str, float]) -> None:
            heard.append(metrics)

    given: dict[str, Any] = {"batch_size": len(triplets), "dropout": 0.0, "device": "cpu", "pooling": "mean"}
    train_sup(triplets, tmp_path / "run", model=bert, epochs=1, listener=Hear(), **given)
    assert heard[0]["loss"] == pytest.approx(loss_of(job).item(), abs=1e-5)


def test_length_groups_change_neither_loss_nor_gradient(bert: Path, triplets: list[Any]) -> None:
    grouped, padded = sup_job(bert, triplets, train_head="mlp"), sup_job(bert, triplets, train_head="mlp")
    batch = grouped.rows.collate(items(len(triplets)))
    assert len(batch["groups"]) == 4
    loss_of(grouped).backward()

    texts = [text for i in range(3) for text in grouped.data.column(i)]
    limit = padded.config.max_seq_length
    encoded = padded.model.tokenizer(texts, padding=True, truncation=True, max_length=limit, return_tensors="pt")
    one = {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}
    loss = padded.objective(WholeBatch.of([one], places=torch.arange(len(texts)), views=3, ids=batch["ids"]))
    loss.backward()

    gradients = [dict(job.objective.named_parameters()) for job in (grouped, padded)]
    for name, parameter in gradients[0].items():
        other = gradients[1][name].grad
        if parameter.grad is None:
            assert other is None
            continue
        assert other is not None
        assert (parameter.grad - other).norm() < 1e-5 * max(1.0, float(other.norm())), name
    assert gradients[0]["sentence.encoder.backbone.embeddings.word_embeddings.weight"].grad.abs().sum() > 0  # type: ignore[union-attr]
    assert gradients[0]["sentence.train_head.linear.weight"].grad.abs().sum() > 0  # type: ignore[union-attr]


def test_the_head_is_between_vectors_and_loss(bert: Path, triplets: list[Any]) -> None:
    job = sup_job(bert, triplets, train_head="mlp")
    head: Any = job.objective.sentence.train_head
    views = [torch.tanh(head.linear(view)) for view in plain_vectors(job)]
    assert loss_of(job).item() == pytest.approx(info_nce(*views, temperature=0.05, ids=ids_of(job)).item(), abs=1e-5)


def test_views_of_an_unsupervised_run_differ_by_dropout_alone(bert: Path, sentences: list[str]) -> None:
    settings = TrainSettings(model=bert, batch_size=8, device="cpu", train_head="none")
    job = prepare("unsup", sentences, Path("not-made"), settings)
    batch = job.rows.collate(items(8))
    job.objective.eval()(WholeBatch.of(**batch))
    first, second = job.objective.seen
    torch.testing.assert_close(first, second)
    job.objective.train()(WholeBatch.of(**batch))
    first, second = job.objective.seen
    assert (first != second).any(1).all()


# Rows and their order


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=40),
    views=st.integers(1, 3),
    pad_id=st.sampled_from([0, 1, 7]),
    data=st.data(),
)
def test_collate_puts_every_sentence_back_in_its_place(
    lengths: list[int], views: int, pad_id: int, data: st.DataObject
) -> None:
    random = np.random.default_rng(len(lengths))
    tables = []
    for view in range(views):
        rows = [random.integers(10, 99, size=n) for n in lengths[view:] + lengths[:view]]
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
        tables.append(TokenTable(np.concatenate(rows).astype(np.int32), offsets.astype(np.int64), 0))
    indices = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=20))
    rows_of = TrainingRows(tables, pad_id)
    batch = rows_of.collate([Item(0, row) for row in indices])
    seen: list[list[int]] = []
    for group in batch["groups"]:
        mask = group.get("attention_mask", torch.ones_like(group["input_ids"]))
        assert (group["input_ids"][mask == 0] == pad_id).all()
        assert (mask.sum(1) == mask.shape[1]).any()  # no column of padding alone
        seen += [ids[keep == 1].tolist() for ids, keep in zip(group["input_ids"], mask, strict=True)]
    back = [seen[i] for i in torch.argsort(batch["places"])]
    assert back == [row.tolist() for table in tables for row in table.rows(indices)]
    assert batch["views"] == views
    assert len(rows_of) == len(lengths)


# The masked-language-model term


def mlm_loss(objective: ContrastiveModel, batch: dict[str, Any]) -> Tensor:
    """The weighted term of a batch alone."""
    return torch.stack([objective.mlm_loss(masked) for masked in objective.masked(batch["groups"])]).sum()


def test_masking_is_bert_s() -> None:
    torch.manual_seed(0)
    ids = torch.randint(10, 1000, (400, 500))
    fixed = torch.zeros_like(ids, dtype=torch.bool)
    fixed[:, 0] = fixed[:, -100:] = True
    masked, labels = mask_tokens(ids, fixed, mask_id=3, vocab_size=1000)
    chosen = labels != -100
    assert not (chosen & fixed).any()
    assert torch.equal(masked[~chosen], ids[~chosen])
    assert torch.equal(labels[chosen], ids[chosen])
    count = int(chosen.sum())
    assert count / int((~fixed).sum()) == pytest.approx(0.15, abs=0.005)
    assert int((masked[chosen] == 3).sum()) / count == pytest.approx(0.8, abs=0.01)
    assert int((masked[chosen] == ids[chosen]).sum()) / count == pytest.approx(0.1, abs=0.01)
    other = (masked != ids) & (masked != 3) & chosen
    assert int(other.sum()) / count == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "albert", "mpnet", "deberta", "modernbert", "xlmr"])
def test_the_mlm_head_shares_the_encoder(kind: str, tiny_model: Callable[[str], Path], sentences: list[str]) -> None:
    """Its backbone is ours, its output layer our embeddings, and its head learns."""
    settings = TrainSettings(model=tiny_model(kind), batch_size=8, device="cpu", mlm_weight=1.0, dropout=0.1)
    job = prepare("unsup", sentences, Path("not-made"), settings)
    term: Any = job.objective.mlm
    mlm = term.model
    backbone: Any = job.model.encoder.backbone
    assert mlm.get_output_embeddings().weight is backbone.get_input_embeddings().weight
    batch = job.rows.collate(items(8))
    loss = mlm_loss(job.objective.train(), batch)
    assert float(loss.detach()) == pytest.approx(math.log(term.vocab_size), rel=0.5)
    loss.backward()
    names = {name for name, parameter in job.objective.named_parameters() if parameter.grad is not None}
    assert any(name.startswith("sentence.encoder.backbone.") for name in names)
    assert any(name.startswith("mlm.") for name in names)
    assert not any(name.startswith("sentence.train_head.") for name in names)


def test_special_tokens_and_padding_are_never_predicted(bert: Path, sentences: list[str]) -> None:
    job = prepare("unsup", sentences, Path("not-made"), TrainSettings(model=bert, batch_size=8, mlm_weight=1.0))
    seen: list[tuple[Tensor, Tensor]] = []

    def hear(module: Any, args: Any, kwargs: dict[str, Tensor]) -> None:
        seen.append((kwargs["input_ids"], kwargs["labels"]))

    assert job.objective.mlm is not None
    job.objective.mlm.model.register_forward_pre_hook(hear, with_kwargs=True)
    for _ in range(20):
        mlm_loss(job.objective, job.rows.collate(items(40)))
    specials = set(job.model.tokenizer.all_special_ids)
    assert not specials & {int(label) for _, labels in seen for label in labels[labels != -100]}


def test_the_mlm_loss_falls(bert: Path, sentences: list[str]) -> None:
    settings = TrainSettings(model=bert, batch_size=8, device="cpu", mlm_weight=1.0)
    job = prepare("unsup", sentences, Path("not-made"), settings)
    batch = job.rows.collate(items(40))
    optimizer = torch.optim.Adam(job.objective.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        loss = mlm_loss(job.objective, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.5


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_decoder_has_no_mlm(
    kind: str, tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="--mlm-weight needs a tokenizer with a mask token"):
        train_unsup(
            sentences, tmp_path / "run", model=tiny_model(kind), pooling="last_token", mlm_weight=0.1, batch_size=8
        )
    assert not (tmp_path / "run").exists()


def test_the_mlm_term_is_added(bert: Path, triplets: list[Any]) -> None:
    plain, term = sup_job(bert, triplets), sup_job(bert, triplets, mlm_weight=0.5)
    torch.manual_seed(1)
    both = loss_of(term).item()
    torch.manual_seed(1)
    alone = float(mlm_loss(term.objective, term.rows.collate(items(len(triplets)))))  # weighted
    assert both == pytest.approx(loss_of(plain).item() + alone, abs=1e-5)


def test_bf16_leaves_the_loss_in_float32(bert: Path, triplets: list[Any]) -> None:
    loss = loss_of(sup_job(bert, triplets, bf16=True))
    assert loss.dtype == torch.float32
    exact = loss_of(sup_job(bert, triplets)).item()
    assert 0 < abs(float(loss) - exact) < 0.05


def test_gradients_reach_every_weight_of_the_encoder(bert: Path, triplets: list[Any]) -> None:
    encoder = load_encoder(resolve(bert), pooling="cls", training=True)
    config = make_config("sup", TrainSettings(model=bert))
    objective = ContrastiveModel(encoder.encoder, config)
    model = SimCSE.from_loaded(encoder, name="bert", device="cpu")
    columns = [model.tokenize([row[i] for row in triplets]) for i in range(3)]
    objective(WholeBatch.of(**TrainingRows(columns, 0).collate(items(len(triplets))))).backward()
    without = [name for name, parameter in objective.named_parameters() if parameter.grad is None]
    assert without == []


def test_the_training_head_sees_the_vector_before_its_normalisation(
    tiny_model: Callable[[str], Path], triplets: list[Any], tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    layers = [Transformer(str(tiny_model("bert"))), Pooling(32, "mean")]
    SentenceTransformer(modules=layers, device="cpu").save(str(tmp_path / "plain"))
    SentenceTransformer(modules=[*layers, Normalize()], device="cpu").save(str(tmp_path / "scaled"))
    plain, scaled = (sup_job(tmp_path / name, triplets, train_head="mlp") for name in ("plain", "scaled"))
    assert SimCSE(tmp_path / "scaled").encode("a cat") != pytest.approx(SimCSE(tmp_path / "plain").encode("a cat"))
    assert loss_of(scaled).item() == loss_of(plain).item()
