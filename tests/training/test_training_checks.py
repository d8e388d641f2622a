"""A run that cannot work stops at once, gives the reason, and creates nothing."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from simcse_kit import SimCSE, errors, repeat_run, train_sup, train_unsup
from simcse_kit.data import LabelledTexts
from simcse_kit.errors import DataError, MissingExtraError, ModelError, Notice, TrainingError
from simcse_kit.launch import World
from simcse_kit.training.harm import measured_harm
from simcse_kit.training.job import prepare
from simcse_kit.training.preflight import check_device, check_space
from simcse_kit.training.settings import TrainSettings
from simcse_kit.types import ScoredPairs
from support.commands import run

pytestmark = pytest.mark.filterwarnings("ignore::simcse_kit.errors.Notice")
SMALL: dict[str, Any] = {"batch_size": 8, "device": "cpu"}
_SHORT = ["--batch-size", 8, "--epochs", 1, "--device", "cpu", "--no-bf16"]


def unsup_fails(error: type[Exception], message: str, data: Any, folder: Path, **settings: Any) -> None:
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(error, match=message):
        train_unsup(data, folder, **(SMALL | settings))
    assert sorted(folder.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 64}, "<memory> holds 40 rows, fewer than one batch of 64; .*lower --batch-size"),
        ({"batch_size": 1}, "batch_size must be at least 2, because .* are the negatives; got 1"),
        (
            {"recipe": "sup-bert-base"},
            "recipe for train unsup must be one of unsup, .*'sup-bert-base'",
        ),
        ({"recipe": "bert"}, "recipe for train unsup must be one of .*; got 'bert'"),
        ({"train_head": "dense"}, "train_head must be one of mlp, projection, none; got 'dense'"),
        ({"epochs": 0}, "epochs must be above 0; got 0"),
        ({"learning_rate": -1e-5}, "learning_rate must be above 0"),
        ({"temperature": 0}, "temperature must be above 0"),
        ({"max_seq_length": 2}, "max_seq_length must be at least 3 .*; got 2"),
        ({"eval_steps": 0}, "eval_steps must be above 0"),
        ({"mlm_weight": -1}, "mlm_weight must be at least 0"),
        ({"dropout": 1}, "dropout must be at least 0 and below 1; got 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"seed": 2**32}, "seed must be at least 0 and below 4294967296; got 4294967296"),
        ({"hard_negative_weight": 1.0}, "--hard-negative-weight needs rows of three sentences; .* have 1"),
        ({"report_to": "paper"}, "report_to: paper is not supported, only .*tensorboard"),
        ({"device": "meta"}, "training runs on the CPU or an accelerator, not on device 'meta'"),
        ({"resume": True, "overwrite": True}, "use either --resume, .* or --overwrite"),
        ({"dropout": 0.0}, r"^--dropout 0 makes both views identical; give --dropout 0\.1 or an --augmentation$"),
        ({"model": None}, "name the start model"),
    ],
)
def test_settings(settings: dict[str, Any], message: str, bert: Path, sentences: list[str], tmp_path: Path) -> None:
    unsup_fails(TrainingError, message, sentences, tmp_path / "run", **({"model": bert} | settings))


def test_an_unknown_pooling_names_the_choices(bert: Path, sentences: list[str], tmp_path: Path) -> None:
    unsup_fails(ValueError, "cls_before_pooler.*'middle'", sentences, tmp_path / "run", model=bert, pooling="middle")


def test_a_start_model_that_is_not_there(sentences: list[str], tmp_path: Path) -> None:
    unsup_fails(ModelError, "neither an existing folder", sentences, tmp_path / "run", model=tmp_path / "nothing here")


def test_data_files(bert: Path, sentences: list[str], tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "bad.txt").write_bytes(b"One.\nTwo.\n\xff\xfe\n")
    (tmp_path / "bad.csv").write_text("sent0,sent1\nOne.,Two.\nThree.\n")
    unsup_fails(DataError, "empty.txt", tmp_path / "empty.txt", tmp_path / "run", model=bert)
    unsup_fails(DataError, r"bad.txt, line 3\b", tmp_path / "bad.txt", tmp_path / "run", model=bert)
    with pytest.raises(DataError, match=r"bad.csv, line 3\b"):
        train_sup(tmp_path / "bad.csv", tmp_path / "run", model=bert, **SMALL)
    unsup_fails(DataError, "none.txt", tmp_path / "none.txt", tmp_path / "run", model=bert)
    unsup_fails(DataError, "none.tsv", sentences, tmp_path / "run", model=bert, eval_data=tmp_path / "none.tsv")
    assert not (tmp_path / "run").exists()


def test_a_bad_row_is_an_error_before_a_model_is_looked_for(tmp_path: Path, sentences: list[str]) -> None:
    """A model may have to be downloaded first: a mistake in the last row must not wait for it."""
    (tmp_path / "bad.txt").write_bytes("\n".join(sentences).encode() + b"\n\xff\n")
    nowhere = "nobody/nothing-here"
    line = len(sentences) + 1
    unsup_fails(DataError, rf"bad.txt, line {line}\b", tmp_path / "bad.txt", tmp_path / "run", model=nowhere)
    unsup_fails(TrainingError, "fewer than one batch", sentences[:7], tmp_path / "run", model=nowhere)
    unsup_fails(ModelError, "nothing-here", sentences, tmp_path / "run", model=nowhere)


def test_evaluation_data_that_ranks_nothing(bert: Path, sentences: list[str], tmp_path: Path) -> None:
    flat = ScoredPairs(sentences[:3], sentences[3:6], np.full(3, 4.0), "flat.tsv")
    message = "flat.tsv: all 3 pairs have the gold score 4; .* judged queries need texts with score 0 too"
    unsup_fails(TrainingError, message, sentences, tmp_path / "run", model=bert, eval_data=flat)


@pytest.mark.parametrize("objective", ["cosent", "angle"])
def test_scores_that_do_not_differ(objective: str, bert: Path, sentences: list[str], tmp_path: Path) -> None:
    flat = ScoredPairs(sentences[:16], sentences[16:32], np.full(16, 3.0), "flat.tsv")
    with pytest.raises(TrainingError, match=f"flat.tsv: all 16 pairs have the gold score 3; objective {objective}"):
        train_sup(flat, tmp_path / "run", model=bert, objective=objective, **SMALL)
    assert not (tmp_path / "run").exists()


def test_texts_that_do_not_differ(sentences: list[str], tmp_path: Path) -> None:
    """A bad file is an error before a model is looked for."""
    run, nowhere = tmp_path / "run", "nobody/nothing-here"
    a, b, c = sentences[:16], sentences[16:32], sentences[24:40]
    unsup_fails(TrainingError, "all 16 rows are '.*'; training needs different texts", a[:1] * 16, run, model=nowhere)
    unsup_fails(ModelError, "nothing-here", a[:1] * 15 + b[:1], run, model=nowhere)
    gold = np.linspace(0, 5, 16)
    cases: list[tuple[str, Any]] = [
        ("all 16 rows are ", [(a[0], b[0])] * 16),
        (
            "columns 1 and 2 are equal in each of the 16 rows, such as .*`simcse-kit train unsup`",
            zip(a, a, strict=True),
        ),
        ("columns 1 and 2 are equal", zip(a, a, b, strict=True)),
        ("columns 2 and 3 are equal", zip(a, b, b, strict=True)),
        ("columns 1 and 3 are equal", zip(a, b, a, strict=True)),
        ("column 1 is '.*' in each of the 16 rows", [(c[0], text) for text in a]),
        ("column 2 is '.*' in each of the 16 rows", [(text, c[0]) for text in a]),
    ]
    for message, rows in cases:
        with pytest.raises(TrainingError, match=f"<memory>: {message}"):
            train_sup(list(rows), run, model=nowhere, **SMALL)
    with pytest.raises(TrainingError, match=r"same\.tsv: columns 1 and 2 are equal"):
        train_sup(ScoredPairs(a, a, gold, "same.tsv"), run, model=nowhere, objective="cosent", **SMALL)
    query = ScoredPairs(a[:1] * 16, b, gold, "query.tsv")  # scored answers to one query: they do differ
    with pytest.raises(ModelError, match="neither a local folder nor"):
        train_sup(query, run, model=nowhere, objective="cosent", **SMALL)
    some = [*zip(a[:6], a[:6], strict=True), *zip(a[6:], b[6:], strict=True)]
    with (
        pytest.warns(Notice, match="columns 1 and 2 are equal in 6 of the 16 rows"),
        pytest.raises(ModelError, match="neither a local folder nor"),
    ):
        train_sup(some, run, model=nowhere, **SMALL)
    classes = LabelledTexts(a[:1] * 16, [str(i % 2) for i in range(16)], "one.tsv")
    with pytest.raises(TrainingError, match=r"one\.tsv: "):
        train_sup(classes, run, model=nowhere, **SMALL)
    with pytest.raises(ModelError, match="neither a local folder nor"):
        train_sup([*zip(a[1:], b[1:], c[1:], strict=True), (a[0], a[0], a[0])], run, model=nowhere, **SMALL)
    assert not run.exists()


def test_positives_only_trains_on_the_rows_with_the_highest_label(
    bert: Path, sentences: list[str], tmp_path: Path
) -> None:
    rows = [(a, b, "1") for a, b in zip(sentences[:16], sentences[16:32], strict=True)]
    data = tmp_path / "labelled.tsv"
    data.write_text("".join("\t".join(row) + f"\n{row[1]}\t{row[0]}\t0\n" for row in rows), encoding="utf-8")
    with pytest.raises(DataError, match=r"column 3 of 3 holds numbers.*--objective cosent.*--positives-only"):
        train_sup(data, tmp_path / "run", model=bert, **SMALL)
    done = run("train", "sup", data, "--positives-only", "--output-dir", tmp_path / "run", "--model", bert, *_SHORT)
    assert done.returncode == 0, done.stderr
    assert "kept 16 of 32 rows, those with the highest label (1)" in " ".join(done.stderr.split())
    plain = prepare("sup", [row[:2] for row in rows], tmp_path / "other", TrainSettings(**(SMALL | {"model": bert})))
    record = json.loads((tmp_path / "run/run.json").read_text(encoding="utf-8"))
    assert record["data"]["sha256"] == plain.record["data"]["sha256"]
    assert record["data"]["reading"]["positives_only"] is True
    repeat_run(tmp_path / "run", tmp_path / "again", device="cpu")
    for settings in ({"objective": "cosent"}, {"label_column": "label"}):
        with pytest.raises(TrainingError, match=r"positives_only .* does not apply to objective"):
            train_sup(data, tmp_path / "no", model=bert, positives_only=True, **settings, **SMALL)
    unsup_fails(
        TrainingError,
        "positives_only .* does not apply to train unsup",
        data,
        tmp_path / "no",
        model=bert,
        positives_only=True,
    )


def test_output_folders(bert: Path, sentences: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")

    def fails(message: str, folder: Path, **settings: Any) -> None:
        unsup_fails(TrainingError, message, sentences, folder, model=bert, **settings)

    fails("output folder .*file is a file", tmp_path / "file")
    fails(r"cannot write to .*file: Not a directory", tmp_path / "file" / "run")
    fails("full is not empty; use --resume to continue the run in it or --overwrite", tmp_path / "full")
    fails("full is not a training run .*nothing can be resumed", tmp_path / "full", resume=True)
    fails("full is not a training run .*does not replace it: empty the folder", tmp_path / "full", overwrite=True)
    with pytest.raises(TrainingError, match=r"cannot write to /proc\b"):
        train_unsup(sentences, "/proc/run", model=bert, **SMALL)
    if os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        fails("cannot write to .*locked: Permission denied", tmp_path / "locked" / "run")


def test_no_space(bert: Path, sentences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simcse_kit.training.preflight.free_bytes", lambda path: 2**20 // 10)
    message = r"not enough space for .*run: the model and its checkpoints need up to \d MiB .*, but only 0 MiB are free"
    unsup_fails(TrainingError, message, sentences, tmp_path / "run", model=bert)


def test_a_run_that_goes_on_needs_no_room_for_what_it_has_written(
    bert: Path, sentences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_unsup(sentences, tmp_path / "run", model=bert, eval_steps=2, **SMALL)
    monkeypatch.setattr("simcse_kit.training.preflight.free_bytes", lambda path: 2**20 // 2)  # one checkpoint
    train_unsup(sentences, tmp_path / "run", model=bert, eval_steps=2, resume=True, **SMALL)


def test_overwrite_replaces_a_run_and_nothing_that_it_reads(bert: Path, sentences: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    train_unsup(sentences, run, model=bert, eval_steps=2, **SMALL)
    (run / "notes.txt").write_text("\n".join(sentences))
    message = "--overwrite would delete .*run.*, which this run needs"
    for reads in ({"model": run}, {"model": run / "checkpoint-5"}):
        unsup_fails(TrainingError, message, sentences, run, overwrite=True, **reads)
    unsup_fails(TrainingError, message, run / "notes.txt", run, overwrite=True, model=bert)
    train_unsup(sentences, run, model=bert, overwrite=True, eval_steps=3, **SMALL)
    assert not (run / "notes.txt").exists()
    assert {path.name for path in run.glob("checkpoint-*")} == {"checkpoint-3", "checkpoint-5"}


def test_modernbert_has_no_dropout_until_it_is_given(
    tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path
) -> None:
    model = tiny_model("modernbert")
    message = r"^this backbone has dropout 0, which makes both views identical; give --dropout 0\.1 or an --augm"
    unsup_fails(TrainingError, message, sentences, tmp_path / "run", model=model)
    result = train_unsup(sentences, tmp_path / "run", model=model, dropout=0.1, **SMALL)
    assert result.steps == 5
    assert not np.allclose(SimCSE(tmp_path / "run").encode("It rains."), _start(model).encode("It rains."))


def _start(folder: Path) -> SimCSE:
    return SimCSE(folder, pooling="cls_before_pooler")


def test_supervised_runs_need_no_dropout(bert: Path, triplets: list[Any], tmp_path: Path) -> None:
    assert train_sup(triplets, tmp_path / "run", model=bert, dropout=0.0, epochs=3, **SMALL).steps == 9


def test_a_reporter_that_is_not_installed(
    bert: Path, sentences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.integrations.integration_utils.is_tensorboard_available", lambda: False)
    message = "report_to tensorboard needs its package: pip install tensorboard"
    unsup_fails(MissingExtraError, message, sentences, tmp_path / "run", model=bert, report_to="tensorboard")


@pytest.mark.skipif(torch.cuda.is_available(), reason="has CUDA")
def test_a_device_that_is_not_there(bert: Path, sentences: list[str], tmp_path: Path) -> None:
    unsup_fails(ModelError, "cannot use device 'cuda'", sentences, tmp_path / "run", model=bert, device="cuda")
    unsup_fails(ModelError, "cannot use device 'gpu'", sentences, tmp_path / "run", model=bert, device="gpu")


def test_only_the_first_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trainer would move the model to the first one without a word."""
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("cuda"))
    alone = World(0, 1, 0)
    check_device(torch.device("cuda"), alone)
    check_device(torch.device("cuda:0"), alone)
    check_device(torch.device("cpu"), alone)
    check_device(torch.device("cuda:1"), World(1, 2, 1))  # with two processes, the second has the second device
    with pytest.raises(TrainingError, match=r"not cuda:1; .*CUDA_VISIBLE_DEVICES=1 and device cuda"):
        check_device(torch.device("cuda:1"), alone)


@pytest.mark.parametrize(("checkpoints", "kept"), [(1, 1), (2, 2), (3, 3), (50, 4)])
def test_the_space_asked_for_is_that_of_the_checkpoints_to_come(
    checkpoints: int, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = torch.nn.Linear(10, 10)
    weights = 110 * 4
    needed = weights * (1 + 4 * kept)  # a checkpoint: the model, the trained weights, and Adam's two moments
    monkeypatch.setattr("simcse_kit.training.preflight.free_bytes", lambda path: needed)
    check_space(tmp_path / "run", module, checkpoints=checkpoints)
    monkeypatch.setattr("simcse_kit.training.preflight.free_bytes", lambda path: needed - 1)
    with pytest.raises(TrainingError, match="not enough space"):
        check_space(tmp_path / "run", module, checkpoints=checkpoints)


def _harm_warnings(mode: str, data: Any, folder: Path, **settings: Any) -> list[str]:
    """What `prepare` prints about search; nothing is trained."""
    errors._said.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        prepare(mode, data, folder, TrainSettings(**(SMALL | settings)))
    return [str(one.message) for one in caught if "search" in str(one.message)]


def test_unsup_warns_where_the_start_is_a_sentence_encoder(
    bert: Path, sentences: list[str], triplets: list[Any], tmp_path: Path, hub_cache: Callable[..., None]
) -> None:
    """Once, before training, with figures; not for raw encoders, labels, a teacher, targets of the start's own, or
    vectors never trained.
    """
    encoder, known, run = tmp_path / "encoder", "princeton-nlp/unsup-simcse-bert-base-uncased", tmp_path / "run"
    SimCSE(bert, pooling="mean", device="cpu").save(encoder)
    hub_cache(known, bert)
    for start in ({"model": encoder}, {"model": encoder, "pooling": "mean"}, {"model": known}):
        (said,) = _harm_warnings("unsup", sentences, run, **start)
        assert f"{start['model']} is already a sentence encoder" in said
        assert f"among the ten nearest: {measured_harm()}. " in said
        assert "for raw encoders such as BERT" in said
    assert _harm_warnings("unsup", sentences, run, model=bert) == []
    assert _harm_warnings("unsup", sentences, run, model=encoder, pooling="cls_before_pooler") == []
    assert _harm_warnings("unsup", sentences, run, model=encoder, recipe="rankcse", teacher=(str(encoder),)) == []
    assert _harm_warnings("unsup", sentences, run, model=encoder, objective="neighbors") == []
    assert _harm_warnings("sup", triplets, run, model=encoder) == []


def test_repeated_rows_and_a_lowered_length_are_said(
    tiny_model: Callable[[str], Path], tmp_path: Path, sentences: list[str]
) -> None:
    with pytest.warns(Notice, match="12 of the 16 rows"):
        train_unsup(sentences[:4] * 4, tmp_path / "one", model=tiny_model("bert"), batch_size=8, device="cpu")
    with pytest.warns(Notice, match="exceeds the model's limit; 64 is used"):
        train_unsup(
            sentences, tmp_path / "two", model=tiny_model("bert"), batch_size=8, device="cpu", max_seq_length=99
        )
