"""Checkpoints ranked without labels, and what is noticed on the way."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from simcse_kit import SimCSE, TrainListener, train_unsup
from simcse_kit.data import read_examples, read_sentences
from simcse_kit.errors import Notice, TrainingError
from simcse_kit.evaluation import effective_rank, mean_cosine
from simcse_kit.training import fit
from simcse_kit.training.health import health, near_negatives, warn
from simcse_kit.training.job import prepare
from simcse_kit.training.selection import hold_out, label_free_scorer
from simcse_kit.training.settings import TrainSettings

pytestmark = pytest.mark.filterwarnings("ignore::simcse_kit.errors.Notice")


@pytest.fixture
def many(sentences: list[str]) -> list[str]:
    """640 distinct sentences."""
    return [f"{sentence} {i}" for sentence in sentences for i in range(16)]


# Held-out sentences


def test_held_out_sentences_are_in_no_row() -> None:
    rows = [(f"anchor {i % 700}", f"anchor {(i + 1) % 700}") for i in range(1400)]
    split = hold_out(read_examples(rows))
    assert len(split.held_out) == 70
    left = {text for i in split.train for text in rows[i]}
    assert left.isdisjoint(split.held_out)
    touched = sum(not {a, b}.isdisjoint(split.held_out) for a, b in rows)
    assert len(split.train) == 1400 - touched
    assert hold_out(read_examples(rows)) == split


def test_a_small_corpus_has_none_to_spare(many: list[str], bert: Path, tmp_path: Path) -> None:
    assert len(hold_out(read_sentences(many[:500])).held_out) == 50
    with pytest.raises(TrainingError, match=r"499 distinct sentences; .* needs 500\. Give --eval-data"):
        train_unsup(many[:499], tmp_path / "run", model=bert, select="label-free")
    with pytest.raises(TrainingError, match="select eval-data needs eval_data"):
        train_unsup(many, tmp_path / "run", model=bert, select="eval-data")


def test_the_label_free_score(bert: Path, many: list[str]) -> None:
    """Without dropout twins are equal, and the score is that of the sentences themselves."""
    some = many[:320:16]
    model = SimCSE(bert, pooling="cls_before_pooler", device="cpu")
    torch.manual_seed(9)
    before = torch.get_rng_state()
    found = label_free_scorer(model, some, 64)()
    assert torch.equal(torch.get_rng_state(), before)
    assert not model.encoder.training
    assert label_free_scorer(model, some, 64)() == found  # the same masks for every checkpoint
    for module in model.encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    model.encoder.config.attention_probs_dropout_prob = 0.0
    for layer in model.encoder.backbone.encoder.layer:  # type: ignore[union-attr]
        layer.attention.self.dropout.p = 0.0  # type: ignore[union-attr]
    clear = label_free_scorer(model, some, 64)()
    vectors = torch.from_numpy(model.encode(some))
    cosines = torch.nn.functional.cosine_similarity(vectors[:, None], vectors[None], dim=-1) / 0.05
    expected = math.log(20) + torch.log_softmax(cosines, 1).diag().mean().item()
    assert clear["label_free"] == pytest.approx(expected, abs=1e-4)
    assert clear["twin_retrieval"] == 100
    assert clear["twin_alignment"] == pytest.approx(0, abs=1e-9)
    assert clear["label_free_uniformity"] == pytest.approx(found["label_free_uniformity"])
    assert found["label_free"] < clear["label_free"]
    assert found["twin_alignment"] > 0.01
    assert found["twin_retrieval"] < 100


def test_a_run_chooses_by_it(bert: Path, many: list[str], tmp_path: Path) -> None:
    result = train_unsup(
        many, tmp_path / "run", model=bert, select="label-free", batch_size=64, eval_steps=2, learning_rate=1e-3
    )
    lines = [json.loads(text) for text in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    scores = {line["step"]: line["eval_label_free"] for line in lines if "eval_label_free" in line}
    assert set(scores) == {0, 2, 4, 6, 8, 9}  # 576 sentences are left to train on
    trained = {step: score for step, score in scores.items() if step}
    assert result.select == "label-free"
    assert result.best_step == max(trained, key=lambda step: trained[step])
    assert result.best_score == trained[result.best_step]
    assert result.start_score == scores[0]
    saved = SimCSE(tmp_path / "run", device="cpu")
    checkpoint = SimCSE(tmp_path / f"run/checkpoint-{result.best_step}", device="cpu")
    assert (saved.encode(many[:9]) == checkpoint.encode(many[:9])).all()


# Early warning


def test_mean_cosine_and_effective_rank_by_hand() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    assert mean_cosine(vectors) == pytest.approx(1 / 3)  # pairs: 0, 1, 0
    # singular values sqrt(10) and 2: shares 0.6126 and 0.3874, entropy 0.6675
    assert effective_rank(vectors) == pytest.approx(math.exp(0.66749), rel=1e-4)
    assert effective_rank(np.eye(5)) == pytest.approx(5)
    brute = np.mean([vectors[i] @ vectors[j] / 3 ** (j == 2) for i in range(1) for j in range(1, 3)])
    assert brute == pytest.approx(0.5)


def test_without_dropout_label_free_has_nothing_to_go_by(bert: Path, many: list[str]) -> None:
    settings = {"model": bert, "device": "cpu", "dropout": 0.0, "augmentation": "deletion", "select": "label-free"}
    with pytest.raises(TrainingError, match=r"select label-free .* dropout is 0 in this backbone"):
        prepare("unsup", many, Path("not-made"), TrainSettings(**settings))  # type: ignore[typeddict-item]


def test_long_sentences_in_a_template_are_cut_to_the_model_s_positions(
    bert: Path, many: list[str], tmp_path: Path
) -> None:
    """Training adds the template's tokens to max_seq_length, and so does the score, up to what the model takes."""
    long = [f"{text} {' '.join(many[:20])}" for text in many]
    settings = {"batch_size": 8, "device": "cpu", "model": bert, "template": 'The cat : "[X]" is [MASK] .'}
    settings |= {"pooling": "mask", "max_seq_length": 64, "select": "label-free"}
    job = prepare("unsup", long, tmp_path / "run", TrainSettings(**settings))
    assert job.form.longest == job.model.max_seq_length == 64
    score = fit._scorer(job)
    assert score is not None
    assert math.isfinite(score()["label_free"])


def test_a_large_batch_is_watched_by_its_first_rows() -> None:
    spread = torch.randn(600, 8, generator=torch.Generator().manual_seed(0))
    spread[512:] = 1e6
    assert health([spread, spread]).mean_cosine < 0.1


def test_collapse_and_identical_views_are_told_from_a_batch() -> None:
    spread = torch.randn(32, 16, generator=torch.Generator().manual_seed(0))
    other = spread + 0.1 * torch.randn(32, 16, generator=torch.Generator().manual_seed(1))
    fine = health([spread, other])
    assert not fine.collapsed
    assert not fine.identical
    cone = health([spread * 0.1 + 5, other * 0.1 + 5])
    assert cone.collapsed
    assert health([spread, spread]).identical
    assert not health([spread]).identical  # one view has no twin
    with pytest.warns(Notice, match=r"step 7: the embeddings are collapsing: mean cosine .* 1\.00"):
        warn(7, cone, unsupervised=True, run="a")
    with pytest.warns(Notice, match="step 8: both views of every sentence are identical"):
        warn(8, health([spread, spread]), unsupervised=True, run="a")


def test_the_share_of_negatives_left_out_by_hand() -> None:
    """Cosines to the positives [[1, .6], [0, .8]] and to the hard negatives [[0, .8], [1, .6]]."""
    anchors = torch.eye(2)
    positives = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    negatives = torch.tensor([[0.0, 2.0], [0.8, 0.6]])
    assert near_negatives([anchors, positives], 0.0) == 0
    assert near_negatives([anchors, positives], 0.5) == 0.5  # 0.6 > 1 - 0.5
    assert near_negatives([anchors, positives, negatives], 0.0) == pytest.approx(1 / 6)  # 1 > 0.8
    assert near_negatives([anchors, positives, negatives], 0.25) == pytest.approx(3 / 6)  # and 0.8, 0.6 > 0.55


def test_a_margin_writes_what_it_left_out(bert: Path, many: list[str], tmp_path: Path) -> None:
    train_unsup(many, tmp_path / "run", model=bert, batch_size=8, device="cpu", false_negative_margin=0.9)
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert all(0 < line["left_out_negatives"] <= 1 for line in lines if "loss" in line)


def test_a_collapsing_run_says_so_while_it_goes_on(
    tiny_model: Callable[[str], Path], many: list[str], tmp_path: Path
) -> None:
    """A start model whose vectors all point one way: the first lines of the log show it."""
    model = SimCSE(tiny_model("bert"), pooling="cls_before_pooler", device="cpu")
    with torch.no_grad():
        model.encoder.backbone.encoder.layer[-1].output.LayerNorm.bias += 20  # type: ignore[union-attr, index, operator]
    model.save(tmp_path / "start")

    class Stop(Exception):
        pass

    class Watch(TrainListener):
        def stepped(self, step: int, steps: int) -> None:
            if step == 4:
                raise Stop

    with pytest.warns(Notice, match="step 2: the embeddings are collapsing"), pytest.raises(Stop):
        train_unsup(many, tmp_path / "run", model=tmp_path / "start", listener=Watch(), eval_steps=2)
