"""A comparison as a table: numbers by hand, bold, marks, and fully escaped text."""

from __future__ import annotations

import numpy as np
import pytest

from simcse_kit import Comparison, SuiteResult
from simcse_kit.evaluation import Outcome
from simcse_kit.evaluation.suite import suite_of
from simcse_kit.report.comparison import ModelScores
from simcse_kit.report.score_table import ScoreTable, as_html, as_latex, as_markdown


def result(values: list[float]) -> SuiteResult:
    return SuiteResult(
        suite="retrieval",
        scores={"ndcg@10": 100 * float(np.mean(values)), "no_items_50%": 1.0},
        details=(),
        seconds=1.0,
        sentences=len(values),
        data="data",
        notes=("2 of the queries have no judgement",),
        outcomes=(Outcome("ndcg@10", "mean", np.array(values)),),
    )


def model(name: str, *results: SuiteResult) -> ModelScores:
    return ModelScores(
        name=name,
        title=f"runs/{name}",
        pooling="mean",
        results={"retrieval": results},
        place="cpu",
        sentences_per_second=float("nan"),
    )


@pytest.fixture
def comparison() -> Comparison:
    low, high = [0.1, 0.2, 0.3] * 20, [0.7, 0.8, 0.9] * 20
    models = model("a_b", result(low)), model("seeds", result(high), result([value + 0.02 for value in high]))
    return Comparison(models=models, parts={"retrieval": suite_of("retrieval")})


@pytest.fixture
def table(comparison: Comparison) -> ScoreTable:
    (found,) = comparison.score_tables()
    return found


def test_means_spreads_and_marks_by_hand(table: ScoreTable) -> None:
    first, second = table.lines
    assert (first.label, second.label) == ("a_b (mean)", "seeds (mean)")
    assert (first.cells[0].value, second.cells[0].value) == ("20.00", "81.00")
    assert (first.cells[0].spread, second.cells[0].spread) == ("", "1.41")  # 80 and 82, over N - 1
    assert (first.cells[0].mark, second.cells[0].mark) == ("", "↑")
    assert [cell.best for cell in first.cells] == [False, True]  # equal scores are both the best
    assert [cell.best for cell in second.cells] == [True, True]
    assert second.cells[1].interval == ""  # a score without items has no interval


def test_the_caption_explains_every_mark_that_is_there(comparison: Comparison, table: ScoreTable) -> None:
    for mark in ("Bold", "±", "In brackets", "↑"):
        assert mark in table.caption
    alone = Comparison(models=comparison.models[:1], parts=comparison.parts).score_tables()[0].caption
    assert not any(mark in alone for mark in ("Bold", "±", "↑"))


def test_latex_says_what_the_table_says(table: ScoreTable) -> None:
    text = as_latex(table)
    assert r"a\_b (mean) & 20.00 & \textbf{1.00} \\" in text
    assert r"seeds (mean) & \textbf{81.00 $\pm$ 1.41}$\uparrow$ &" in text
    assert r"no\_items\_50\%" in text
    lines = [line for line in text.splitlines() if line.rstrip().endswith("\\\\")]
    assert {line.replace(r"\&", "").count("&") for line in lines} == {2}
    assert text.count(r"\begin") == text.count(r"\end")
    assert text.count("{") == text.count("}")


def test_a_wide_table_fits_the_page(table: ScoreTable) -> None:
    line = table.lines[0]
    wide = table._replace(scores=["x"] * 8, lines=[line._replace(cells=[line.cells[0]] * 8)])
    assert r"\resizebox{\linewidth}" in as_latex(wide)
    assert r"\resizebox" not in as_latex(table)


def test_markdown_and_html_escape_names(table: ScoreTable) -> None:
    assert r"| a\_b (mean) | 20.00 | **1.00** |" in as_markdown(table)
    named = table._replace(lines=[table.lines[0]._replace(label="<script>")])
    assert "<script>" not in as_html(named)


def test_a_frame_has_a_row_for_each_model_suite_and_score(comparison: Comparison) -> None:
    frame = comparison.to_dataframe()
    assert frame[["model", "score"]].values.tolist() == [
        ["runs/a_b", "ndcg@10"],
        ["runs/a_b", "no_items_50%"],
        ["runs/seeds", "ndcg@10"],
        ["runs/seeds", "no_items_50%"],
    ]
    row = frame.iloc[2]
    assert row["seeds"] == 2
    assert row["verdict"] == "better"
    assert row["difference_low"] <= row["difference"] == pytest.approx(61.0)
    assert repr(comparison) == "Comparison(a_b, seeds; retrieval)"


def test_what_a_suite_notes_is_not_lost(comparison: Comparison) -> None:
    assert comparison.notes_of_suites() == [
        ("a_b, retrieval", "2 of the queries have no judgement"),
        ("seeds, retrieval", "2 of the queries have no judgement"),
    ]
