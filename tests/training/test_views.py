"""The views of a row: augmented, in templates, with a teacher's vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from simcse_kit import ModelError, SimCSE, TrainingError, train_sup, train_unsup
from simcse_kit.encoder.template import template_bias, template_span
from simcse_kit.training.config import make_config
from simcse_kit.training.job import Job, prepare
from simcse_kit.training.objective import WholeBatch
from simcse_kit.training.sampling import Item
from simcse_kit.training.settings import TrainSettings
from simcse_kit.types import ScoredPairs

pytestmark = pytest.mark.filterwarnings("ignore::simcse_kit.errors.Notice")


def ready(mode: str, data: Any, folder: Path, **given: Any) -> Job:
    values: dict[str, Any] = {"model": folder, "batch_size": 8, "device": "cpu", "dropout": 0.1}
    return prepare(mode, data, Path("not-made"), TrainSettings(**(values | given)))  # type: ignore[typeddict-item]


def views_of(job: Job, items: list[Item]) -> list[list[list[int]]]:
    """Token ids of every view of the rows."""
    batch = job.rows.collate(items)
    rows: list[list[int]] = []
    for group in batch["groups"]:
        mask = group.get("attention_mask", torch.ones_like(group["input_ids"]))
        rows += [ids[keep == 1].tolist() for ids, keep in zip(group["input_ids"], mask, strict=True)]
    rows = [rows[i] for i in torch.argsort(batch["places"])]
    size = len(items)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


# Augmentation


def test_the_positive_alone_is_augmented_in_simcse(bert: Path, sentences: list[str]) -> None:
    plain, job = ready("unsup", sentences, bert), ready("unsup", sentences, bert, augmentation="deletion")
    items = [Item(0, row) for row in range(40)]
    assert views_of(job, items)[0] == views_of(plain, items)[0] == views_of(plain, items)[1]
    assert views_of(job, items)[1] != views_of(plain, items)[1]


def test_both_views_are_augmented_in_simclr(bert: Path, sentences: list[str]) -> None:
    job = ready("unsup", sentences, bert, objective="simclr", augmentation=("cropping", "shuffling"))
    items = [Item(0, row) for row in range(40)]
    plain = views_of(ready("unsup", sentences, bert), items)[0]
    first, second = views_of(job, items)
    changed = [a != b for a, b in zip(first, plain, strict=True)]
    assert sum(changed) > 20
    assert first != second


def test_draws_go_by_seed_epoch_and_row_alone(bert: Path, sentences: list[str]) -> None:
    """In whatever batch, and on whatever rank, a row is the same."""
    job = ready("unsup", sentences, bert, augmentation="shuffling", seed=1)
    alone = [views_of(job, [Item(2, row)])[1][0] for row in range(40)]
    assert views_of(job, [Item(2, row) for row in reversed(range(40))])[1] == alone[::-1]
    assert views_of(job, [Item(3, row) for row in range(40)])[1] != alone
    other = ready("unsup", sentences, bert, augmentation="shuffling", seed=2)
    assert views_of(other, [Item(2, row) for row in range(40)])[1] != alone


def test_repetition_never_grows_past_the_model(bert: Path) -> None:
    texts = [" ".join(["cat"] * (70 + i)) for i in range(8)]
    job = ready("unsup", texts, bert, augmentation="repetition", max_seq_length=64)
    rows = views_of(job, [Item(epoch, 0) for epoch in range(20)])[1]
    assert {len(row) for row in rows} == {64}
    assert all(row[-1] == job.model.tokenizer.sep_token_id for row in rows)


# Templates


def test_each_view_has_its_template_and_the_first_is_saved(bert: Path, sentences: list[str], tmp_path: Path) -> None:
    settings: dict[str, Any] = {"template": 'The cat : "[X]" is [MASK] .', "second_template": "my [X] , [MASK] !"}
    job = ready("unsup", sentences, bert, pooling="mask", train_head="none", **settings)
    tokenizer = job.model.tokenizer
    first, second = views_of(job, [Item(0, 3)])
    assert tokenizer.decode(first[0]) == "[CLS] the cat : [UNK] a small cat is asleep. [UNK] is [MASK]. [SEP]"
    assert tokenizer.decode(second[0]) == "[CLS] my a small cat is asleep., [MASK]! [SEP]"
    train_unsup(
        sentences,
        tmp_path / "run",
        model=bert,
        pooling="mask",
        train_head="none",
        batch_size=8,
        device="cpu",
        **settings,
    )
    saved = SimCSE(tmp_path / "run", device="cpu")
    assert saved.pooling == "mask"
    assert saved.tokenizer(sentences[3])["input_ids"] == first[0]


def test_the_template_s_own_vector_is_subtracted_in_training(bert: Path, sentences: list[str]) -> None:
    settings: dict[str, Any] = {"recipe": "promptbert", "pooling": "mask", "dropout": 0.0, "augmentation": "deletion"}
    job = ready("unsup", sentences, bert, **settings)
    batch = job.rows.collate([Item(0, row) for row in range(8)])
    job.objective.train()(WholeBatch.of(**batch))
    views = job.objective.seen
    encoder = job.model.encoder
    for view, rows in zip(views, views_of(job, [Item(0, row) for row in range(8)]), strict=True):
        span = job.views.templates[0] if view is views[0] else job.views.templates[1]  # type: ignore[index]
        for vector, row in zip(view, rows, strict=True):
            ids = torch.tensor([row])
            expected = encoder(ids, None)[0] - template_bias(encoder, ids, None, span)[0]
            torch.testing.assert_close(vector, expected, atol=1e-5, rtol=1e-4)
    plain = ready("unsup", sentences, bert, **settings, template_denoising=False)
    assert plain.views.templates is None
    assert template_span(plain.model.tokenizer) == job.views.templates[0]  # type: ignore[index]


# Teachers and scored pairs


def test_a_teacher_s_vectors_go_with_their_texts(
    bert: Path, triplets: list[tuple[str, str, str]], tiny_model: Any
) -> None:
    teacher = SimCSE(tiny_model("mpnet"), pooling="mean", device="cpu")
    names = (f"{tiny_model('mpnet')}:mean", f"{tiny_model('roberta')}:avg")
    job = ready("sup", triplets, bert, recipe="sup-teacher", teacher=names)
    batch = job.rows.collate([Item(0, row) for row in (5, 2)])
    assert len(batch["teachers"]) == 2
    expected: NDArray[np.float32] = teacher.encode(
        [triplets[5][0], triplets[5][1], triplets[2][0], triplets[2][1]], normalize_embeddings=True
    )
    np.testing.assert_allclose(batch["teachers"][0].flatten(0, 1).numpy(), expected, atol=1e-6)


def test_distillation_moves_the_student_to_its_teacher(
    bert: Path, sentences: list[str], tmp_path: Path, tiny_model: Any
) -> None:
    """Another architecture of the same width: similarities and vectors come closer."""
    teacher = SimCSE(tiny_model("mpnet"), pooling="mean", device="cpu")
    settings: dict[str, Any] = {"objective": "distill", "teacher": f"{tiny_model('mpnet')}:mean", "dropout": 0.0}
    settings |= {"batch_size": 20, "epochs": 60, "learning_rate": 3e-3, "eval_steps": 200, "max_seq_length": 64}
    train_unsup(sentences, tmp_path / "run", model=bert, pooling="mean", device="cpu", **settings)
    wanted = teacher.encode(sentences, normalize_embeddings=True)

    def distance(model: SimCSE) -> tuple[float, float]:
        vectors = model.encode(sentences, normalize_embeddings=True)
        return float(1 - (vectors * wanted).sum(1).mean()), float(
            np.abs(vectors @ vectors.T - wanted @ wanted.T).mean()
        )

    before, after = (
        distance(SimCSE(bert, pooling="mean", device="cpu")),
        distance(SimCSE(tmp_path / "run", device="cpu")),
    )
    assert after[0] < 0.3 * before[0]
    assert after[1] < 0.5 * before[1]


@pytest.mark.parametrize("objective", ["cosent", "angle"])
def test_scored_pairs_are_learned(objective: str, bert: Path, pairs: ScoredPairs, tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    rows = zip(pairs.first, pairs.second, pairs.gold, strict=True)
    path.write_text("sentence1\tsentence2\tscore\n" + "".join(f"{a}\t{b}\t{gold}\n" for a, b, gold in rows))
    settings: dict[str, Any] = {"batch_size": 20, "epochs": 60, "learning_rate": 3e-3, "eval_steps": 30}
    result = train_sup(
        path,
        tmp_path / "run",
        model=bert,
        pooling="mean",
        objective=objective,
        eval_data=path,
        device="cpu",
        **settings,
    )
    assert result.start_score is not None
    assert result.best_score is not None
    assert result.start_score < 50
    assert result.best_score > 75


# What does not go together


@pytest.mark.parametrize(
    ("mode", "settings", "message"),
    [
        (
            "sup",
            {"objective": "simclr"},
            "objective of train sup must be one of simcse, cosent, angle, supcon; got 'simclr'",
        ),
        ("unsup", {"objective": "distill"}, "objective distill needs a teacher"),
        ("unsup", {"objective": "distill", "teacher": "t", "train_head": "mlp"}, "train_head must be none"),
        ("unsup", {"matryoshka_dims": (8,), "train_head": "mlp"}, "train_head must be none"),
        ("unsup", {"recipe": "rankcse"}, "recipe rankcse needs a teacher"),
        ("sup", {"recipe": "sup-teacher"}, "recipe sup-teacher needs a teacher"),
        ("unsup", {"teacher_weight": 2.0}, "teacher_weight needs teacher"),
        ("unsup", {"hardness_strength": 2.0}, "hardness_strength needs hardness_mode"),
        ("unsup", {"false_negative_margin": 3.0}, "false_negative_margin must be between -1 and 1"),
        ("unsup", {"learn_temperature": True, "temperature": 3.0}, r"must be between 0\.01 and 1\.0; got 3"),
        ("unsup", {"objective": "simclr", "augmentation": ()}, "objective simclr needs an augmentation"),
        ("unsup", {"objective": "simclr", "angular_margin": 10}, "angular_margin is a setting of objective simcse"),
        ("unsup", {"augmentation": "synonyms"}, "augmentation must be one of repetition, deletion, .*; got"),
        ("unsup", {"second_template": "a [X] [MASK]"}, "second_template needs a template"),
        ("sup", {"template": "a [X] [MASK]", "second_template": "b [X] [MASK]"}, "for a sentence's second view"),
        ("unsup", {"merge": True}, "merge .* needs lora_rank"),
        ("unsup", {"mini_batch_size": 8, "mini_batch_tokens": 80}, "either mini_batch_size or mini_batch_tokens"),
        ("unsup", {"teacher": ("a", "b", "c")}, "one or two models; got 3"),
        ("unsup", {"hardness_mode": "all"}, "hardness_mode must be one of in_batch_negatives, "),
        ("unsup", {"matryoshka_dims": (32, 0)}, "matryoshka_dims must be widths above 0"),
        ("unsup", {"angular_margin": 90.0}, "angular_margin must be from 0 to below 90 degrees"),
        ("unsup", {"template": "a [X] [MASK]", "mlm_weight": 0.1}, "mlm_weight with a template is not supported"),
    ],
)
def test_combinations(mode: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        make_config(mode, {"model": "m"} | settings)


def test_an_objective_s_settings_stand_under_those_of_a_recipe() -> None:
    config = make_config("unsup", {"recipe": "unsup-bert-large", "objective": "distill", "teacher": "t"})
    assert (config.train_head, config.learning_rate, config.pooling) == ("none", 1e-5, "cls_before_pooler")
    assert make_config("sup", {"recipe": "sup-bert-base", "objective": "cosent"}).batch_size == 64
    assert make_config("unsup", {"model": "m", "recipe": "unsup"}) == make_config(
        "unsup", {"model": "m", "recipe": "unsup", "pooling": None}
    )
    assert make_config("unsup", {"model": "m", "recipe": "unsup"}).pooling is None  # the folder's, as without it


def test_what_is_cut_is_what_is_saved(bert: Path, sentences: list[str]) -> None:
    """The first widths of the saved vectors learn, not those of a head that is thrown away."""
    job = ready("unsup", sentences, bert, matryoshka_dims=(8,), bf16=False)
    batch = job.rows.collate([Item(0, row) for row in range(16)])
    vectors = torch.cat([job.objective.train().embed(group) for group in batch["groups"]]).detach().requires_grad_()
    from simcse_kit.training.objective import Batch

    rest = {name: value for name, value in batch.items() if name != "groups"}
    job.objective.batch_loss(vectors, batch["groups"], Batch(**rest)).backward()
    assert vectors.grad is not None
    narrow = torch.nn.functional.normalize(vectors.detach()[:, :8], dim=1)
    assert narrow.shape == (32, 8)
    share = vectors.grad[:, :8].square().sum() / vectors.grad.square().sum()
    assert share > 0.5  # of 32 widths a quarter would be even


def test_a_learned_temperature_moves(bert: Path, sentences: list[str], tmp_path: Path) -> None:
    """At its own rate, within its bounds."""
    import json

    settings: dict[str, Any] = {"batch_size": 8, "epochs": 6, "eval_steps": 5, "device": "cpu"}
    train_unsup(sentences, tmp_path / "run", model=bert, learn_temperature=True, **settings)
    lines = [json.loads(text) for text in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    temperatures = [line["temperature"] for line in lines if "temperature" in line]
    assert abs(temperatures[-1] - 0.05) > 0.003
    assert all(0.01 <= value <= 1 for value in temperatures)


def test_a_decoder_s_default_is_its_last_token(tiny_model: Any, sentences: list[str]) -> None:
    job = ready("unsup", sentences, tiny_model("llama"), augmentation="deletion", dropout=None)
    assert (job.model.pooling, job.pooling_origin) == ("last_token", "default")
    with pytest.raises(ModelError, match="is a decoder, whose first token sees no other"):
        ready("unsup", sentences, tiny_model("gpt2"), pooling="cls_before_pooler")


def test_equal_texts_are_no_negatives_through_the_queue(bert: Path, sentences: list[str]) -> None:
    """One text alone: neither its batch nor the queue holds a negative; the other text is in no batch here."""
    job = ready("unsup", [sentences[0]] * 39 + [sentences[1]], bert, momentum_queue=2.0, bf16=False)
    for epoch in range(2):
        batch = job.rows.collate([Item(epoch, row) for row in range(8)])
        assert float(job.objective.train()(WholeBatch.of(**batch)).detach()) == 0
    assert job.objective.queue is not None
    assert int(job.objective.queue.filled) == 16


def test_widths_beyond_the_vectors(bert: Path, sentences: list[str]) -> None:
    with pytest.raises(TrainingError, match="the vectors have 32 dimensions, fewer than 64"):
        ready("unsup", sentences, bert, matryoshka_dims=(64, 16))


# Prompts


@pytest.fixture(scope="module")
def prompted(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence encoder with prompts for queries and documents."""
    folder = tmp_path_factory.mktemp("prompted") / "model"
    model = SimCSE(bert, pooling="mean", device="cpu")
    model.prompts.update(query="find: ", document="text: ")
    model.save(folder)
    return folder


def ids_of(model: SimCSE, texts: list[str]) -> list[list[int]]:
    return [row.tolist() for row in model.tokenize(texts, max_seq_length=32).rows(range(len(texts)))]


def test_every_column_stands_behind_its_prompt(prompted: Path, triplets: list[tuple[str, str, str]]) -> None:
    """The last prompt is for the hard negative, too."""
    job = ready("sup", triplets, prompted, prompts=("query", "document"), max_seq_length=32)
    model = SimCSE(prompted, device="cpu")
    for view, (column, prompt) in enumerate(zip(range(3), ("find: ", "text: ", "text: "), strict=True)):
        expected = ids_of(model, [prompt + row[column] for row in triplets[:4]])
        assert views_of(job, [Item(0, row) for row in range(4)])[view] == expected


def test_neighbors_see_a_text_behind_each_prompt(prompted: Path, sentences: list[str]) -> None:
    job = ready("unsup", sentences, prompted, objective="neighbors", prompts=("query", "document"), max_seq_length=32)
    first, second = views_of(job, [Item(0, row) for row in range(4)])
    model = SimCSE(prompted, device="cpu")
    assert first == ids_of(model, [f"find: {text}" for text in sentences[:4]])
    assert second == ids_of(model, [f"text: {text}" for text in sentences[:4]])


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (
            ("query", "answer"),
            r"prompts must be names of prompts of the start model \(query, document\); got 'an",
        ),
        (("query", "document"), "rows of one text take one prompt; got 2: query, document"),
    ],
)
def test_prompts_that_do_not_fit(prompts: tuple[str, ...], message: str, prompted: Path, sentences: list[str]) -> None:
    with pytest.raises(TrainingError, match=message):
        ready("unsup", sentences, prompted, prompts=prompts)
