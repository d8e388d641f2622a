"""Runs from file to model: announced plan, saved files, and repeatability."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from simcse_kit import SimCSE, train_sup, train_unsup
from simcse_kit.errors import Notice, TrainingError
from simcse_kit.evaluation import evaluate_pairs
from simcse_kit.training.checkpoints import checkpoints
from simcse_kit.training.config import make_config
from simcse_kit.training.events import TrainListener, TrainPlan, TrainResult
from simcse_kit.training.job import prepare
from simcse_kit.training.plan import make_plan
from simcse_kit.training.recipes import recipes
from simcse_kit.training.settings import TrainSettings
from simcse_kit.types import ScoredPairs
from support.marks import fast
from support.tiny import make_model

pytestmark = pytest.mark.filterwarnings("ignore::simcse_kit.errors.Notice")
FAST: dict[str, Any] = {"batch_size": 8, "device": "cpu", "learning_rate": 1e-3}


class Record(TrainListener):
    """Records the events of a run."""

    def __init__(self) -> None:
        self.plan: TrainPlan | None = None
        self.steps: list[tuple[int, int]] = []
        self.lines: list[dict[str, float]] = []
        self.result: TrainResult | None = None

    def started(self, plan: TrainPlan) -> None:
        self.plan = plan

    def stepped(self, step: int, steps: int) -> None:
        self.steps.append((step, steps))

    def logged(self, step: int, metrics: dict[str, float]) -> None:
        self.lines.append({"step": step} | metrics)

    def finished(self, result: TrainResult) -> None:
        self.result = result


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_the_seed_decides_everything(bert: Path, sentences: list[str], tmp_path: Path) -> None:
    for name, seed, bf16 in (("a", 1, False), ("c", 1, True), ("b", 1, False), ("d", 2, False)):
        torch.manual_seed(len(name))
        train_unsup(sentences, tmp_path / name, model=bert, seed=seed, bf16=bf16, mlm_weight=0.1, **FAST)
    assert weights(tmp_path / "a") == weights(tmp_path / "b")  # the run in bf16 between them leaves nothing behind
    assert weights(tmp_path / "a") != weights(tmp_path / "d")
    assert weights(tmp_path / "a") != weights(tmp_path / "c")


def test_bf16_trains_nearly_the_same(bert: Path, sentences: list[str], tmp_path: Path) -> None:
    for name, bf16 in (("fp32", False), ("bf16", True)):
        record = Record()
        train_unsup(sentences, tmp_path / name, model=bert, bf16=bf16, listener=record, device="cpu", batch_size=8)
        assert record.plan is not None
        assert record.plan.precision == ("bfloat16" if bf16 else "float32")
    state = safetensors.torch.load_file(tmp_path / "bf16" / "model.safetensors")
    assert {tensor.dtype for tensor in state.values() if tensor.is_floating_point()} == {torch.float32}
    one, other = (SimCSE(tmp_path / name).encode(sentences, normalize_embeddings=True) for name in ("fp32", "bf16"))
    assert (one * other).sum(1).min() > 0.999


@pytest.mark.parametrize(
    "kind",
    fast(["roberta", "gpt2"], of=["roberta", "distilbert", "albert", "mpnet", "deberta", "xlmr", "gpt2", "llama"]),
)
def test_every_architecture_trains(
    kind: str, tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path
) -> None:
    pooling = "last_token" if kind in ("gpt2", "llama") else "cls_before_pooler"
    run = tmp_path / "run"
    train_unsup(sentences, run, model=tiny_model(kind), pooling=pooling, dropout=0.1, epochs=0.4, **FAST)
    trained, start = SimCSE(run), SimCSE(tiny_model(kind), pooling=pooling)
    assert trained.pooling == pooling
    assert not np.allclose(trained.encode(sentences), start.encode(sentences), atol=1e-4)


def test_training_does_what_it_is_for(bert: Path, sentences: list[str], tmp_path: Path) -> None:
    """Twins of a pair come closer than strangers, and the loss falls."""
    rows = list(zip(sentences[0::2], sentences[1::2], strict=True))
    record = Record()
    settings: dict[str, Any] = FAST | {"learning_rate": 5e-3, "pooling": "mean", "dropout": 0.0}
    train_sup(rows, tmp_path / "run", model=bert, epochs=20, listener=record, **settings)
    losses = [line["loss"] for line in record.lines]
    assert losses[-1] < losses[0] / 2
    model = SimCSE(tmp_path / "run")
    similar = model.similarity([first for first, _ in rows], [second for _, second in rows])
    assert (similar.argmax(1) == np.arange(len(rows))).mean() > 0.8


# What is announced


@pytest.mark.parametrize(
    ("rows", "batch_size", "epochs", "steps"),
    [
        (40, 8, 1, 5),
        (33, 8, 2, 8),
        (40, 40, 3, 3),
        (40, 7, 0.5, 3),
        (24, 8, 1.5, 5),
        (40, 8, 0.01, 1),
        (30, 8, 2.3, 10),
    ],
)
def test_the_plan_knows_the_steps(
    rows: int, batch_size: int, epochs: float, steps: int, bert: Path, sentences: list[str], tmp_path: Path
) -> None:
    record = Record()
    result = train_unsup(
        sentences[:rows],
        tmp_path / "run",
        model=bert,
        batch_size=batch_size,
        epochs=epochs,
        device="cpu",
        listener=record,
    )
    assert record.plan is not None
    assert record.plan.steps == result.steps == steps
    assert record.steps == [(step, steps) for step in range(1, steps + 1)]
    assert record.result == result
    batches = [min(batch_size, rows - start) for start in range(0, rows, batch_size)]
    batches = [batch for batch in batches if batch > 1] * math.ceil(epochs)  # a row alone has no negatives
    assert record.plan.left_out == int(rows % batch_size == 1)
    assert result.rows == sum(batches[:steps])
    assert result.sentences_per_second == pytest.approx(result.rows / result.seconds)


def test_the_plan_of_a_file(bert: Path, tmp_path: Path, pairs: ScoredPairs) -> None:
    (tmp_path / "rows.csv").write_text(
        "sent0,sent1,hard_neg\n"
        "It will rain.,The rain is coming.,My keys.\n"
        "\n"
        "The cat is asleep.,A cat sleeps.,The dog runs through the wet grass.\n"
        "one cell\n"
        "Our team won.,The game was won.,Nobody won.\n"
    )
    settings = TrainSettings(
        model=bert,
        batch_size=2,
        epochs=3,
        max_seq_length=6,
        skip_bad_rows=True,
        eval_data=pairs,
        device="cpu",
        seed=7,
    )
    plan = make_plan(prepare("sup", tmp_path / "rows.csv", tmp_path / "run", settings))
    assert (plan.rows, plan.columns, plan.empty, plan.skipped) == (3, 3, 1, 1)
    assert plan.negatives == 1 + 2  # the other positive, both hard negatives
    assert (plan.steps, plan.left_out) == (3, 1)  # one batch, three epochs; the third row would be alone
    assert (plan.eval_source, plan.eval_pairs, plan.eval_steps) == ("made.tsv", 40, 125)
    assert (plan.mode, plan.pooling, plan.pooling_origin, plan.train_head) == ("sup", "cls", "default", "none")
    assert (plan.device, plan.precision, plan.seed, plan.resumed_from) == ("cpu", "float32", 7, None)
    tokenizer = SimCSE(bert, pooling="mean").tokenizer
    texts = [cell for line in (tmp_path / "rows.csv").read_text().splitlines()[1:] for cell in line.split(",")]
    lengths = [len(tokenizer(text)["input_ids"]) for text in texts if text and text != "one cell"]
    assert len(lengths) == 9
    assert plan.tokens == sum(min(length, 6) for length in lengths)
    assert plan.truncated == sum(length > 6 for length in lengths) > 0


def test_negatives(bert: Path, triplets: list[tuple[str, str, str]], sentences: list[str], tmp_path: Path) -> None:
    def negatives(mode: str, data: Any) -> int:
        settings = TrainSettings(model=bert, batch_size=5, device="cpu")
        return make_plan(prepare(mode, data, tmp_path / "run", settings)).negatives

    assert negatives("unsup", sentences) == 4
    assert negatives("sup", [row[:2] for row in triplets]) == 4
    assert negatives("sup", triplets) == 9


def test_training_never_goes_beyond_the_model_s_length(bert: Path, sentences: list[str], tmp_path: Path) -> None:
    settings = TrainSettings(model=bert, max_seq_length=500, batch_size=8, device="cpu")
    job = prepare("unsup", sentences, tmp_path / "run", settings)
    assert job.config.max_seq_length == make_plan(job).max_seq_length == 64


# Pooling and heads


def test_pooling_precedence(
    bert: Path, tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path
) -> None:
    """Flag, recipe, folder, table of known names, default."""
    folder = tmp_path / "mean"
    SimCSE(bert, pooling="mean").save(folder)

    def chosen(mode: str = "unsup", **given: Any) -> tuple[str, str]:
        values: Any = {"batch_size": 8, "device": "cpu"} | given
        rows = sentences if mode == "unsup" else list(zip(sentences[::2], sentences[1::2], strict=True))
        job = prepare(mode, rows, tmp_path / "run", values)
        plan = make_plan(job)
        assert plan.pooling == job.model.pooling
        return plan.pooling, plan.pooling_origin

    assert chosen(model=folder, recipe="unsup-bert-base", pooling="max") == ("max", "argument")
    assert chosen(model=folder, pooling="avg_top2") == ("avg_top2", "argument")
    assert chosen(model=folder, recipe="unsup-bert-base") == ("cls_before_pooler", "recipe")
    assert chosen(model=folder) == ("mean", "folder")
    assert chosen(model=bert) == ("cls_before_pooler", "default")
    assert chosen("sup", model=folder) == ("mean", "folder")
    assert chosen("sup", model=bert) == ("cls", "default")


def test_the_table_of_known_names_comes_before_the_default(
    bert: Path, sentences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simcse_kit.encoder.hub._download", lambda *_: bert)
    name = "princeton-nlp/sup-simcse-bert-base-uncased"
    settings = TrainSettings(model=name, batch_size=8, device="cpu")
    plan = make_plan(prepare("unsup", sentences, tmp_path / "run", settings))
    assert (plan.pooling, plan.pooling_origin) == ("cls", "table")


def test_the_training_head_is_neither_saved_nor_evaluated(
    bert: Path, sentences: list[str], pairs: ScoredPairs, tmp_path: Path
) -> None:
    run, record = tmp_path / "run", Record()
    train_unsup(sentences, run, model=bert, eval_data=pairs, eval_steps=2, listener=record, **FAST)
    state = safetensors.torch.load_file(checkpoints(run)[-1] / "training.safetensors")
    assert "sentence.train_head.linear.weight" in state
    saved = SimCSE(run)
    assert saved.encoder.head is None
    assert not list(run.glob("*Dense*"))
    assert not any("head" in name for name in safetensors.torch.load_file(run / "model.safetensors"))
    assert record.result is not None
    score = evaluate_pairs(saved.encode, pairs).scores["spearman"]
    assert score == pytest.approx(record.result.best_score, abs=1e-6)
    start = SimCSE(bert, pooling="cls_before_pooler")
    assert evaluate_pairs(start.encode, pairs).scores["spearman"] == pytest.approx(record.result.start_score, abs=1e-6)


def test_a_cls_head_starts_fresh_and_is_kept(bert: Path, triplets: list[Any], tmp_path: Path) -> None:
    """Never from the next-sentence pooler that a BERT folder brings."""
    settings = TrainSettings(model=bert, batch_size=8, device="cpu")
    with pytest.warns(Notice, match="has no SimCSE head; a new dense"):
        job = prepare("sup", triplets, tmp_path / "run", settings)
    head = job.model.encoder.head
    assert head is not None
    pooler = safetensors.torch.load_file(bert / "model.safetensors")["pooler.dense.weight"]
    assert head.linear.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert not torch.allclose(head.linear.weight, pooler, atol=0.1)
    assert head.linear.bias.abs().max() == 0

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        train_sup(triplets, tmp_path / "run", model=bert, epochs=3, **FAST)
    kept = SimCSE(tmp_path / "run").encoder.head
    assert kept is not None
    assert float((kept.linear.weight - head.linear.weight).abs().max()) > 1e-4  # trained

    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        again = prepare("sup", triplets, tmp_path / "more", settings | {"model": tmp_path / "run"})  # type: ignore[typeddict-item]
    assert again.model.encoder.head is not None
    assert torch.equal(again.model.encoder.head.linear.weight, kept.linear.weight)
    assert again.pooling_origin == "folder"


# What is saved


def test_the_saved_folder_is_a_sentence_transformers_model(
    bert: Path, sentences: list[str], triplets: list[Any], tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    train_unsup(sentences, tmp_path / "unsup", model=bert, max_seq_length=8, **FAST)
    train_sup(triplets, tmp_path / "sup", model=bert, epochs=3, max_seq_length=8, **FAST)
    for name in ("unsup", "sup"):
        ours, theirs = SimCSE(tmp_path / name), SentenceTransformer(str(tmp_path / name), device="cpu")
        assert ours.max_seq_length == theirs.max_seq_length == SimCSE(bert, pooling="mean").max_seq_length == 64
        np.testing.assert_allclose(
            ours.encode(sentences, normalize_embeddings=True),
            theirs.encode(sentences, normalize_embeddings=True),
            atol=1e-5,
        )


def test_the_record_says_how_the_model_came_to_be(
    bert: Path, sentences: list[str], pairs: ScoredPairs, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    result = train_unsup(sentences, run, model=bert, eval_data=pairs, eval_steps=2, recipe="unsup-bert-base", **FAST)
    record = json.loads((run / "simcse_kit.json").read_text())
    assert record["objective"] == "simcse"
    assert (record["mode"], record["pooling"], record["train_head"]) == ("unsup", "cls_before_pooler", "mlp")
    assert (record["recipe"], record["model"]) == ("unsup-bert-base", str(bert))
    assert record["training"]["seed"] == 42
    assert record["data"]["rows"] == 40
    assert record["steps"] == 5
    assert record["scores"] == {"eval_spearman": result.best_score, "eval_spearman_at_start": result.start_score}
    assert set(record["versions"]) >= {"torch", "transformers", "simcse-kit", "python"}
    inside = json.loads((checkpoints(run)[-1] / "simcse_kit.json").read_text())
    assert {key: value for key, value in record.items() if key in inside} == inside
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "eval_spearman" in line] == [0, 2, 4, 5]
    assert {"eval_alignment", "eval_uniformity"} <= lines[0].keys()
    assert [line["step"] for line in lines if "loss" in line] == [2, 4, 5]


def test_the_best_checkpoint_becomes_the_result(
    bert: Path, sentences: list[str], pairs: ScoredPairs, tmp_path: Path
) -> None:
    """A learning rate that ruins the model: the best is not the last; the start, turned around, is the worst."""
    run, record = tmp_path / "run", Record()
    settings: dict[str, Any] = FAST | {"learning_rate": 0.05, "eval_steps": 1, "epochs": 2, "listener": record}
    own = evaluate_pairs_by(SimCSE(bert, pooling="cls_before_pooler"), pairs)  # the start model scores 100
    result = train_unsup(sentences, run, model=bert, eval_data=own._replace(gold=-own.gold), **settings)
    scores = {int(line["step"]): line["eval_spearman"] for line in record.lines if "eval_spearman" in line}
    assert result.start_score == scores[0] == pytest.approx(-100)
    assert result.best_score == max(scores.values())
    assert result.best_step is not None
    assert scores[result.best_step] == result.best_score
    assert result.best_step != result.steps
    assert not result.start_was_better
    found = SimCSE(run).encode(sentences)
    assert (found == SimCSE(run / f"checkpoint-{result.best_step}").encode(sentences)).all()
    assert not np.allclose(found, SimCSE(run / f"checkpoint-{result.steps}").encode(sentences))


def test_a_run_whose_every_checkpoint_is_worse_ends_with_the_start(
    bert: Path, sentences: list[str], pairs: ScoredPairs, tmp_path: Path
) -> None:
    """The same run on pairs that the start model orders without a mistake."""
    start = SimCSE(bert, pooling="cls_before_pooler")
    settings: dict[str, Any] = FAST | {"learning_rate": 0.05, "eval_steps": 1, "epochs": 2}
    result = train_unsup(sentences, tmp_path / "run", model=bert, eval_data=evaluate_pairs_by(start, pairs), **settings)
    assert result.best_score == result.start_score == pytest.approx(100)
    assert (SimCSE(tmp_path / "run").encode(sentences) == start.encode(sentences)).all()


def evaluate_pairs_by(model: SimCSE, pairs: ScoredPairs) -> ScoredPairs:
    """The pairs with the model's own cosines as gold scores."""
    first = model.encode(pairs.first, normalize_embeddings=True)
    second = model.encode(pairs.second, normalize_embeddings=True)
    return pairs._replace(gold=(first * second).sum(1).astype(np.float64))


def test_without_evaluation_data_the_last_weights_are_the_result(
    bert: Path, sentences: list[str], tmp_path: Path
) -> None:
    result = train_unsup(sentences, tmp_path / "run", model=bert, eval_steps=2, **FAST)
    assert (result.best_step, result.best_score, result.start_score) == (None, None, None)
    assert not result.start_was_better
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["checkpoint-4", "checkpoint-5"]
    one, other = SimCSE(tmp_path / "run"), SimCSE(tmp_path / "run/checkpoint-5")
    assert (one.encode(sentences) == other.encode(sentences)).all()


def test_a_run_prints_nothing_and_warns_of_nothing(
    tmp_path: Path, sentences: list[str], pairs: ScoredPairs, capfd: pytest.CaptureFixture[str]
) -> None:
    model = make_model("bert", tmp_path / "bert", seed=5)
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for resume in (False, True):
            run = tmp_path / "run"
            train_unsup(
                sentences,
                run,
                model=model,
                pooling="mean",
                eval_data=pairs,
                eval_steps=2,
                resume=resume,
                bf16=True,
                **FAST,
            )
    assert capfd.readouterr() == ("", "")


# Recipes


PAPER = """
name                 batch_size  learning_rate  epochs  max_seq_length  temperature  pooling            train_head
unsup-bert-base      64          3e-5           1       32              0.05         cls_before_pooler  mlp
unsup-bert-large     64          1e-5           1       32              0.05         cls_before_pooler  mlp
unsup-roberta-base   512         1e-5           1       32              0.05         cls_before_pooler  mlp
unsup-roberta-large  512         3e-5           1       32              0.05         cls_before_pooler  mlp
sup-bert-base        512         5e-5           3       32              0.05         cls                none
sup-bert-large       512         1e-5           3       32              0.05         cls                none
sup-roberta-base     512         5e-5           3       32              0.05         cls                none
sup-roberta-large    512         1e-5           3       32              0.05         cls                none
"""


def test_recipes_are_the_paper_s() -> None:
    head, *rows = [line.split() for line in PAPER.split("\n") if line]
    for name, *values in rows:
        config = make_config(name.split("-")[0], TrainSettings(recipe=name))
        for key, value in zip(head[1:], values, strict=True):
            found = config.flat()[key]
            assert found == (value if isinstance(found, str) else float(value)), (name, key)
        assert config.eval_steps == 125
        assert config.recipe == name
        _, kind, size = name.split("-")
        assert (
            config.model == {"bert": f"google-bert/bert-{size}-uncased", "roberta": f"FacebookAI/roberta-{size}"}[kind]
        )
    assert {name for name, recipe in recipes().items() if "model" in recipe.settings} == {name for name, *_ in rows}


def test_recipes_join_and_the_later_one_wins() -> None:
    config = make_config("unsup", TrainSettings(model="m", recipe="esimcse + arccse + promptbert"))
    flat = config.flat()
    assert (flat["momentum_queue"], flat["angular_margin"], config.augmentation) == (2.5, 10, ("repetition",))
    assert (config.pooling, config.train_head) == ("mask", "none")
    config = make_config("unsup", TrainSettings(model="m", recipe="promptbert+unsup-bert-large", train_head="mlp"))
    assert (config.learning_rate, config.pooling, config.train_head) == (1e-5, "mask", "mlp")


def test_what_is_given_comes_before_the_recipe_and_the_recipe_before_the_mode(bert: Path) -> None:
    settings = TrainSettings(recipe="unsup-roberta-base", learning_rate=1.0, model=bert, seed=None)  # type: ignore[typeddict-item]
    config = make_config("unsup", settings)
    assert (config.learning_rate, config.batch_size, config.epochs) == (1.0, 512, 1)
    assert (config.model, config.pooling, config.seed) == (str(bert), "cls_before_pooler", 42)
    assert make_config("unsup", TrainSettings(model=bert)).pooling is None


@pytest.mark.slow
@pytest.mark.data
def test_twenty_steps_on_wiki_sentences(data_dir: Path, tmp_path: Path) -> None:
    from simcse_kit.encoder.known import MINILM, packaged_minilm

    if packaged_minilm() is None:
        pytest.skip("needs the extra offline")
    lines = (data_dir / "train" / "wiki_sentences.txt").read_text(encoding="utf-8").splitlines()[: 20 * 8]
    record = Record()
    result = train_unsup(
        lines,
        tmp_path / "run",
        model=MINILM,
        pooling="cls_before_pooler",
        batch_size=8,
        eval_steps=10,
        listener=record,
    )
    assert result.steps == 20
    assert record.lines[-1]["loss"] < record.lines[0]["loss"]


@pytest.mark.parametrize("eval_steps", [1, 100])
def test_a_run_that_diverges_is_an_error_and_saves_nothing(
    tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path, eval_steps: int
) -> None:
    given: dict[str, Any] = {"batch_size": 8, "device": "cpu", "learning_rate": 1e30, "eval_steps": eval_steps}
    with pytest.raises(TrainingError, match="diverged"):
        train_unsup(sentences, tmp_path / "run", model=tiny_model("bert"), epochs=3, **given)
    assert not (tmp_path / "run" / "model.safetensors").exists()
    metrics = tmp_path / "run" / "metrics.jsonl"
    for line in metrics.read_text(encoding="utf-8").splitlines() if metrics.is_file() else []:
        json.loads(line, parse_constant=pytest.fail)


@pytest.mark.parametrize("name", ["learning_rate", "temperature", "epochs", "hard_negative_weight", "mlm_weight"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_settings_are_finite(name: str, value: float, tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=f"{name} must be a finite number"):
        train_unsup(["a", "b"], tmp_path / "run", model=tiny_model("bert"), **{name: value})  # type: ignore[misc]


def test_a_checkpoint_is_a_folder_for_sentence_transformers_too(
    tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    given: dict[str, Any] = {"batch_size": 8, "device": "cpu", "eval_steps": 2}
    train_unsup(sentences, tmp_path / "run", model=tiny_model("bert"), **given)
    checkpoint = checkpoints(tmp_path / "run")[0]
    theirs = SentenceTransformer(str(checkpoint), device="cpu").encode(sentences)
    np.testing.assert_allclose(SimCSE(checkpoint, device="cpu").encode(sentences), theirs, atol=1e-5)


def test_resuming_nothing_is_said(tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path) -> None:
    with pytest.warns(Notice, match="holds no checkpoint"):
        train_unsup(sentences, tmp_path / "run", model=tiny_model("bert"), batch_size=8, device="cpu", resume=True)
