"""Queries that trained or selected a model do not count in its evaluation, in the scores of any model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simcse_kit import SimCSE, compare_models
from simcse_kit.evaluation import SuiteResult, compare
from simcse_kit.evaluation.judgements import record_use
from simcse_kit.evaluation.results import Outcome
from simcse_kit.evaluation.used import without_used

from .test_retrieval import write

QUERIES = [f"query {i}" for i in range(4)]


def result(*values: float) -> SuiteResult:
    outcome = Outcome("ndcg@10", "mean", np.array(values), texts=(QUERIES,))
    scores = {"ndcg@10": 100 * float(np.mean(values))}
    return SuiteResult(
        suite="retrieval", scores=scores, details=(), seconds=0.0, sentences=4, data="judged", outcomes=(outcome,)
    )


def user(folder: Path, queries: list[str]) -> Path:
    folder.mkdir()
    record_use(folder, queries, purpose="selection")
    return folder


def test_scores_are_of_the_other_queries(tmp_path: Path) -> None:
    model = user(tmp_path / "model", ["query 1", " query  3 ", "another"])
    found = without_used(result(0.5, 1, 0.7, 1), ["all-MiniLM-L6-v2", model])
    assert found.scores == {"ndcg@10": pytest.approx(60)}
    assert found.outcomes[0].texts == (["query 0", "query 2"],)
    assert found.notes == (f"2 of 4 queries were used to train or select {model}; they are left out",)
    alike = without_used(result(0.5, 0, 0.7, 0), ["all-MiniLM-L6-v2", model])
    assert compare([found], [alike])[0].verdict == "no clear difference"


def test_where_all_were_used_there_is_no_difference(tmp_path: Path) -> None:
    model = user(tmp_path / "model", QUERIES)
    found = without_used(result(0.5, 1, 0.7, 1), [model])
    assert found.outcomes == ()
    assert "its scores are too optimistic; judge other queries" in found.notes[0]


def test_a_correlation_is_that_of_the_other_pairs(tmp_path: Path) -> None:
    outcome = Outcome(
        "spearman", "spearman", np.array([0.1, 0.9, 0.5, 0.2]), np.array([0.0, 0, 1, 0.5]), (QUERIES, QUERIES)
    )
    whole = replace(result(0.5, 1, 0.7, 1), scores={"spearman": 20.0}, outcomes=(outcome,))
    found = without_used(whole, [user(tmp_path / "model", ["query 1"])])
    assert found.scores == {"spearman": pytest.approx(100)}


def test_others_stay_as_they_are(tmp_path: Path) -> None:
    whole = result(0.5, 1, 0.7, 1)
    assert without_used(whole, ["all-MiniLM-L6-v2"]) is whole
    assert without_used(whole, [user(tmp_path / "model", ["another"])]) is whole


def test_models_are_compared_on_what_none_has_used(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    first = SimCSE(tiny_model("bert"), pooling="mean", device="cpu")
    first.save(tmp_path / "first")
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    record_use(tmp_path / "second", QUERIES[:3], purpose="selection")
    (tmp_path / "data").mkdir()
    corpus = {f"d{i}": f"text {i}" for i in range(20)}
    asked = {f"q{i}": text for i, text in enumerate(QUERIES)}
    folder = write(tmp_path / "data", corpus, asked, "".join(f"q{i}\td{i}\t1\n" for i in range(4)))
    made = compare_models([tmp_path / "first", tmp_path / "second"], {"retrieval": folder}, device="cpu")
    for model in made.models:
        (found,) = model.results["retrieval"]
        assert [outcome.texts for outcome in found.outcomes] == [(["query 3"],)] * 4
        assert f"3 of 4 queries were used to train or select {tmp_path / 'second'}" in found.notes[-1]
