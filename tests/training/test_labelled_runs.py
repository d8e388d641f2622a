"""Training on labelled texts: from a file or a list to the model, its record and its card."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from simcse_kit import SimCSE, errors, repeat_run, train_sup, train_unsup
from simcse_kit.cli.progress import _plan_facts
from simcse_kit.data import LabelledTexts
from simcse_kit.errors import DataError, Notice, TrainingError
from simcse_kit.objectives import OBJECTIVES
from simcse_kit.training.job import prepare
from simcse_kit.training.labelled import ClassRows, labelled_rows
from simcse_kit.training.plan import make_plan
from simcse_kit.training.sampling import Item
from support.commands import run

FAST: dict[str, Any] = {"device": "cpu", "bf16": False, "batch_size": 16, "epochs": 1}


@pytest.fixture(scope="module")
def classes(sentences: list[str]) -> LabelledTexts:
    """Forty texts of five classes, eight each."""
    return LabelledTexts(sentences, [f"class {i % 5}" for i in range(40)], "made")


@pytest.fixture
def file(classes: LabelledTexts, tmp_path: Path) -> Path:
    """The same as a file with other column names."""
    path = tmp_path / "tickets.jsonl"
    rows = zip(classes.texts, classes.labels, strict=True)
    path.write_text("".join(json.dumps({"body": text, "intent": label, "id": 7}) + "\n" for text, label in rows))
    return path


def rows_of(texts: list[str], labels: list[Any], **settings: Any) -> ClassRows:
    errors._said.clear()
    return labelled_rows(OBJECTIVES.get("supcon")(**settings), LabelledTexts(texts, labels, "made"), {})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / "model.safetensors")


def same_weights(one: Path, other: Path) -> bool:
    left, right = weights(one), weights(other)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


# What is left out


def test_repeats_and_single_texts_are_left_out_and_said_once() -> None:
    texts, labels = ["a", "b", "a", "c", "d", "e", " "], ["x", "x", "x", "y", "y", "z", "x"]
    with (
        pytest.warns(Notice, match=r"made: left out 1 repeats of a text with its class$"),
        pytest.warns(Notice, match=r"made: a class with one text has no pairs .* \('z'\): dropped \(--dropout-views"),
    ):
        found = rows_of(texts, labels)
    assert found.data.rows == [("a",), ("b",), ("c",), ("d",)]
    assert found.labels.tolist() == [0, 0, 1, 1]
    assert found.data.empty == 1
    assert len(found.whole) == 6  # the record is of the file
    with (
        pytest.warns(Notice, match="1 repeats of a text with its class$"),
        pytest.warns(Notice, match=r"\('z'\): their own dropout twins serve as positives"),
    ):
        kept = rows_of(texts, labels, dropout_views=True)
    assert kept.labels.tolist() == [0, 0, 1, 1, 2]
    once = [f"class {i}" for i in range(9)]
    with pytest.warns(Notice, match=r"9 classes with one text each have no pairs .* 'class 4', \.\.\.\): dropped"):
        rows_of(["a", "b", "c", "d", *once], ["x", "x", "y", "y", *once])


def test_texts_without_a_class_are_counted() -> None:
    with pytest.warns(Notice, match="left out 2 texts without a class$"):
        found = rows_of(["a", "b", "c", "d", "e", "f"], ["x", "", "x", "y", " ", "y"])
    assert (len(found.data), found.data.empty) == (4, 2)


def test_a_text_in_two_classes_is_said() -> None:
    with pytest.warns(Notice, match="made: 1 rows give a text a second class"):
        assert len(rows_of(["a", "b", "a", "c"], ["x", "x", "y", "y"]).data) == 4


def test_clean_texts_raise_no_notice() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rows_of(["a", "b", "c", "d"], ["x", "x", "y", "y"]).labels.tolist() == [0, 0, 1, 1]


def test_ten_thousand_classes() -> None:
    labels = [str(i // 2) for i in range(20_000)]
    found = rows_of([str(i) for i in range(20_000)], labels)
    assert found.labels.max() == 9999


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        (["a", "b"], ["x", "x"], "made: all texts have the class 'x'; training needs at least two classes"),
        (
            ["a", "b", "c"],
            ["x", "y", "z"],
            "made: only 0 of 3 classes have two different texts, such as 'x', 'y', 'z'; .*colu",
        ),
        (["a", "b", "c"], ["x", "x", "z"], "made: only 1 of 2 classes have two different texts"),
        (["a", "b"], ["x"], "each text needs one label; got 1 labels for 2 texts"),
        (["a", "b"], ["x", 3], "texts and labels must be strings; got 3"),
    ],
)
def test_unusable_classes(texts: list[str], labels: list[Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        rows_of(texts, labels)


def test_options_that_do_not_fit(classes: LabelledTexts, file: Path, bert: Path, tmp_path: Path) -> None:
    def fails(message: str, data: Any, error: type[Exception] = TrainingError, **settings: Any) -> None:
        with pytest.raises(error, match=message):
            train_sup(data, tmp_path / "run", model=bert, **FAST | settings)
        assert not (tmp_path / "run").exists()

    fails(
        "columns does not apply to labelled texts; name their columns with label_column",
        file,
        label_column="x",
        columns=["a"],
    )
    fails("label_column and text_column are for files", classes, label_column="intent")
    fails("select dropout-twins works for sentences, .* or labelled texts", classes, select="label-free")
    fails(
        "no column named 'label'; the columns are body, intent, id; .*body: .*--label-",
        file,
        DataError,
        label_column="label",
    )
    fails("made holds 40 rows, fewer than one batch of 64", classes, batch_size=64)
    with pytest.raises(TrainingError, match="needs train sup; got train unsup"):
        train_unsup(classes, tmp_path / "run", model=bert)


# A run


def test_a_batch_holds_its_classes(classes: LabelledTexts, bert: Path) -> None:
    job = prepare("sup", classes, Path("not-made"), FAST | {"model": bert})
    batch = job.rows.collate([Item(0, row) for row in (0, 5, 1, 39)])
    assert batch["labels"].tolist() == [0, 0, 1, 4]
    assert batch["views"] == 1
    twice = prepare("sup", classes, Path("not-made"), FAST | {"model": bert, "dropout_views": True})
    assert twice.rows.collate([Item(0, 0), Item(0, 5)])["views"] == 2


def test_the_plan(classes: LabelledTexts, bert: Path) -> None:
    settings = {name: value for name, value in FAST.items() if name not in ("batch_size", "epochs")}
    with pytest.warns(
        Notice, match="40 rows would give only 3 steps with batch_size 96 and epochs 3; the run uses batch_size 16"
    ):
        job = prepare("sup", classes, Path("not-made"), settings | {"model": bert})
    plan = make_plan(job)
    assert (plan.classes, plan.batch_size, plan.steps, plan.left_out) == (5, 16, 102, 0)
    assert [plan.rows_until(step) for step in (1, 2, 3, 4)] == [13, 27, 40, 53]
    said = dict(_plan_facts(plan))
    assert str(said["data"]).startswith("40 texts of 5 classes, ")
    assert said["batch"] == "16 (small data set)"
    assert "102 (34 epochs (small data set))" in str(said["steps"])
    assert said["loss"] == "supcon, 4 texts per class, temperature 0.1"
    assert job.record["fitted"] == ["batch_size", "epochs"]


def test_a_run_brings_classes_together(classes: LabelledTexts, bert: Path, tmp_path: Path) -> None:
    settings = FAST | {"epochs": 30, "learning_rate": 5e-3, "pooling": "mean", "dropout": 0.0}
    train_sup(classes, tmp_path / "run", model=bert, **settings)
    vectors = SimCSE(tmp_path / "run", device="cpu").encode(classes.texts, normalize_embeddings=True)
    cosines = np.asarray(vectors) @ np.asarray(vectors).T - 2 * np.eye(40)
    labels = np.array(classes.labels)
    assert (labels[cosines.argmax(1)] == labels).mean() > 0.9


def test_the_command_records_and_repeats(file: Path, classes: LabelledTexts, bert: Path, tmp_path: Path) -> None:
    given = ["--model", bert, "--device", "cpu", "--no-bf16", "--batch-size", 16, "--epochs", 1]
    names = ["--label-column", "intent", "--text-column", "body"]
    done = run("train", "sup", file, *names, "--output-dir", tmp_path / "run", *given)
    assert done.returncode == 0, done.stderr
    assert "40 texts of 5 classes" in done.stderr
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["data"]["reading"] | {"label_column": "intent", "text_column": "body"} == record["data"]["reading"]
    assert (record["data"]["rows"], record["data"]["classes"], record["fitted"]) == (40, 5, [])
    assert record["arguments"]["objective"] == "supcon"
    card = (tmp_path / "run/README.md").read_text(encoding="utf-8")
    assert "40 rows of 5 classes" in card
    assert "Trained with `supcon` (sup)" in card

    train_sup(classes, tmp_path / "list", model=bert, **FAST)
    assert same_weights(tmp_path / "run", tmp_path / "list")
    repeat_run(tmp_path / "run", tmp_path / "again", device="cpu")
    assert same_weights(tmp_path / "run", tmp_path / "again")
    file.write_text(file.read_text().replace('"class 0"', '"class 1"', 1))
    with pytest.raises(TrainingError, match="--repeat: data has changed since the run"):  # a class alone has
        repeat_run(tmp_path / "run", tmp_path / "third", device="cpu")


def test_the_commands_errors_name_the_option(file: Path, tmp_path: Path) -> None:
    more = ["--model", "x", "--output-dir", tmp_path / "run"]
    done = run("train", "sup", file, "--objective", "supcon", *more)
    assert done.returncode != 0
    assert "--label-column" in done.stderr
    done = run("train", "sup", file, "--label-column", "topic", *more)
    assert done.returncode != 0
    assert "the columns are body, intent, id" in " ".join(done.stderr.split())
