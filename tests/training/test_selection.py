"""Ranking of checkpoints without labels, and early warnings."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from simcse_kit import SimCSE, TrainListener, repeat_run, train_seeds, train_unsup
from simcse_kit.data import read_examples, read_sentences
from simcse_kit.errors import Notice, TrainingError
from simcse_kit.evaluation import effective_rank, mean_cosine
from simcse_kit.training import fit
from simcse_kit.training.config import make_config
from simcse_kit.training.health import health, near_negatives, warn
from simcse_kit.training.job import Job, prepare
from simcse_kit.training.selection import Score, dropout_twins_scorer, hold_out
from simcse_kit.training.settings import TrainSettings
from simcse_kit.types import ScoredPairs

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
    with pytest.raises(TrainingError, match=r"499 distinct sentences; .* needs 500\. Use --eval-data"):
        train_unsup(many[:499], tmp_path / "run", model=bert, select="dropout-twins")
    with pytest.raises(TrainingError, match="select eval-data needs scored sentence pairs"):
        train_unsup(many, tmp_path / "run", model=bert, select="eval-data")


def test_the_score_of_dropout_twins(bert: Path, many: list[str]) -> None:
    """Without dropout twins are equal, and the score is that of the sentences themselves."""
    some = many[:320:16]
    model = SimCSE(bert, pooling="cls_before_pooler", device="cpu")
    torch.manual_seed(9)
    before = torch.get_rng_state()
    found = dropout_twins_scorer(model, some, 64)()
    assert torch.equal(torch.get_rng_state(), before)
    assert not model.encoder.training
    assert dropout_twins_scorer(model, some, 64)() == found  # the same masks for every checkpoint
    for module in model.encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    model.encoder.config.attention_probs_dropout_prob = 0.0
    for layer in model.encoder.backbone.encoder.layer:  # type: ignore[union-attr]
        layer.attention.self.dropout.p = 0.0  # type: ignore[union-attr]
    clear = dropout_twins_scorer(model, some, 64)()
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
        many, tmp_path / "run", model=bert, select="dropout-twins", batch_size=64, eval_steps=2, learning_rate=1e-3
    )
    lines = [json.loads(text) for text in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    scores = {line["step"]: line["eval_label_free"] for line in lines if "eval_label_free" in line}
    assert set(scores) == {0, 2, 4, 6, 8, 9}  # 576 sentences are left to train on
    assert result.select == "dropout-twins"
    assert result.best_step == max(scores, key=lambda step: scores[step]) != 0
    assert result.best_score == scores[result.best_step]
    assert result.start_score == scores[0]
    assert not result.start_was_better
    saved = SimCSE(tmp_path / "run", device="cpu")
    checkpoint = SimCSE(tmp_path / f"run/checkpoint-{result.best_step}", device="cpu")
    assert (saved.encode(many[:9]) == checkpoint.encode(many[:9])).all()


# The start model is a candidate


def scored(monkeypatch: pytest.MonkeyPatch, *scores: float) -> None:
    """The evaluations of each run give these scores in turn."""

    def scorer(job: Job) -> Score:
        left = iter(scores)
        return lambda: {"spearman": next(left), "label_free": 0.0, "alignment": 0.0, "uniformity": 0.0}

    monkeypatch.setattr(fit, "_scorer", scorer)


@pytest.mark.parametrize("case", ["plain", "cls", "adapters", "merged", "template"])
def test_where_no_checkpoint_scores_higher_the_start_is_saved(
    case: str, bert: Path, sentences: list[str], pairs: ScoredPairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit by bit, with the run's pooling, head and template; a tie is the start's."""
    more: dict[str, Any] = {
        "plain": {"pooling": "cls_before_pooler"},
        "cls": {"pooling": "cls"},  # a head made by the run
        "adapters": {"pooling": "mean", "lora_rank": 2},
        "merged": {"pooling": "mean", "lora_rank": 2, "merge": True},
        "template": {"pooling": "mask", "template": 'The cat : "[X]" is [MASK] .'},
    }[case]
    if "lora_rank" in more:
        pytest.importorskip("peft")
    settings = {"model": bert, "eval_data": pairs, "batch_size": 8, "eval_steps": 2, "learning_rate": 0.05, **more}
    torch.manual_seed(0)
    job = prepare("unsup", sentences, tmp_path / "run", settings | {"device": "cpu"})
    kept = case in ("cls", "adapters", "template")  # modules that the run adds around the start model are saved too
    model = job.model if kept else SimCSE(bert, pooling=more["pooling"], device="cpu")
    start = model.encode(sentences)
    scored(monkeypatch, 70.0, 69.0, 70.0, 1.0)
    result = train_unsup(sentences, tmp_path / "run", device="cpu", **settings)
    assert (result.best_step, result.best_score, result.start_score) == (0, 70.0, 70.0)
    assert result.start_was_better
    saved = SimCSE(tmp_path / "run", device="cpu")
    assert (saved.encode(sentences) == start).all()
    assert saved.pooling == more["pooling"]
    trained = SimCSE(tmp_path / "run/checkpoint-5", device="cpu")
    assert not np.allclose(trained.encode(sentences), start, atol=0.01)
    record = json.loads((tmp_path / "run/simcse_kit.json").read_text())
    assert record["best_step"] == 0
    assert record["scores"] == {"eval_spearman": 70.0, "eval_spearman_at_start": 70.0}
    assert "these are the start model's weights" in (tmp_path / "run/README.md").read_text()


def test_a_checkpoint_that_scores_higher_is_saved(
    bert: Path, sentences: list[str], pairs: ScoredPairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(monkeypatch, 70.0, 69.0, 70.5, 1.0)
    settings: dict[str, Any] = {"eval_data": pairs, "batch_size": 8, "eval_steps": 2, "device": "cpu"}
    result = train_unsup(sentences, tmp_path / "run", model=bert, **settings)
    assert (result.best_step, result.best_score, result.start_score) == (4, 70.5, 70.0)
    saved, best = (SimCSE(tmp_path / name, device="cpu").encode(sentences) for name in ("run", "run/checkpoint-4"))
    assert (saved == best).all()
    assert "start model's weights" not in (tmp_path / "run/README.md").read_text()


def test_seeds_are_compared_by_what_is_saved(
    bert: Path, sentences: list[str], pairs: ScoredPairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(monkeypatch, 70.0, 69.0, 60.0, 1.0)
    settings: dict[str, Any] = {"eval_data": pairs, "batch_size": 8, "eval_steps": 2, "device": "cpu"}
    found = train_seeds("unsup", sentences, tmp_path / "runs", [1, 2], model=bert, **settings)
    assert (found.mean, found.spread) == (70.0, 0.0)
    written = json.loads((tmp_path / "runs/seeds.json").read_text())["runs"]
    assert [(run["best_step"], run["score"]) for run in written.values()] == [(0, 70.0), (0, 70.0)]
    one, other = (SimCSE(tmp_path / f"runs/seed-{seed}", device="cpu").encode(sentences) for seed in (1, 2))
    assert (one == other).all()


# The former name


def test_label_free_is_recorded_as_dropout_twins(bert: Path, many: list[str], tmp_path: Path) -> None:
    """A run that was recorded under the former name resumes and repeats."""
    assert make_config("unsup", {"model": "m", "select": "label-free"}).select == "dropout-twins"
    with pytest.raises(TrainingError, match="select must be one of eval-data, dropout-twins, last; got 'free'"):
        make_config("unsup", {"model": "m", "select": "free"})
    corpus, run = tmp_path / "corpus.txt", tmp_path / "run"
    corpus.write_text("\n".join(many), encoding="utf-8")
    settings: dict[str, Any] = {"model": bert, "batch_size": 128, "device": "cpu"}
    done = train_unsup(corpus, run, select="label-free", **settings)
    record = json.loads((run / "run.json").read_text())
    assert done.select == record["arguments"]["select"] == "dropout-twins"
    assert json.loads((run / "simcse_kit.json").read_text())["training"]["select"] == "dropout-twins"
    weights = (run / "model.safetensors").read_bytes()
    record["arguments"]["select"] = "label-free"
    for name in ("dropout-twins", "label-free"):
        (run / "run.json").write_text(json.dumps(record))
        assert train_unsup(corpus, run, select=name, resume=True, **settings).best_step == done.best_step
    (run / "run.json").write_text(json.dumps(record))
    with pytest.raises(TrainingError, match="--resume: select was 'dropout-twins' in the run"):
        train_unsup(corpus, run, select="last", resume=True, **settings)
    assert repeat_run(run / "run.json", tmp_path / "again").select == "dropout-twins"
    assert (tmp_path / "again/model.safetensors").read_bytes() == weights


# Early warning


def test_mean_cosine_and_effective_rank_by_hand() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    assert mean_cosine(vectors) == pytest.approx(1 / 3)  # pairs: 0, 1, 0
    # singular values sqrt(10) and 2: shares 0.6126 and 0.3874, entropy 0.6675
    assert effective_rank(vectors) == pytest.approx(math.exp(0.66749), rel=1e-4)
    assert effective_rank(np.eye(5)) == pytest.approx(5)
    brute = np.mean([vectors[i] @ vectors[j] / 3 ** (j == 2) for i in range(1) for j in range(1, 3)])
    assert brute == pytest.approx(0.5)


def test_without_dropout_there_are_no_twins_to_go_by(bert: Path, many: list[str]) -> None:
    settings = {"model": bert, "device": "cpu", "dropout": 0.0, "augmentation": "deletion", "select": "dropout-twins"}
    with pytest.raises(TrainingError, match=r"select dropout-twins .* dropout is 0 in this backbone"):
        prepare("unsup", many, Path("not-made"), TrainSettings(**settings))  # type: ignore[typeddict-item]


def test_long_sentences_in_a_template_are_cut_to_the_model_s_positions(
    bert: Path, many: list[str], tmp_path: Path
) -> None:
    """Training adds the template's tokens to max_seq_length, and so does the score, up to the model's maximum."""
    long = [f"{text} {' '.join(many[:20])}" for text in many]
    settings = {"batch_size": 8, "device": "cpu", "model": bert, "template": 'The cat : "[X]" is [MASK] .'}
    settings |= {"pooling": "mask", "max_seq_length": 64, "select": "dropout-twins"}
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
    """A start model with all vectors in nearly one direction: the first lines of the log show it."""
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
