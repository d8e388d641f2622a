"""Results as tables: HTML that shows every value, a DataFrame, a short `repr`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from simcse_kit import SuiteResult, compare
from simcse_kit.evaluation import Outcome
from simcse_kit.tabular import html_table
from simcse_kit.training.events import TrainResult


def result(values: list[float], *, suite: str = "retrieval") -> SuiteResult:
    outcome = Outcome("ndcg@10", "mean", np.array(values), texts=([f"query {i}" for i in range(len(values))],))
    return SuiteResult(
        suite=suite,
        scores={"ndcg@10": 100 * float(np.mean(values))},
        details=(),
        seconds=1.0,
        sentences=len(values),
        data="folder <of> mine",
        outcomes=(outcome,),
    )


def test_a_result_of_many_items_has_a_short_repr() -> None:
    assert repr(result([0.5, 1.0] * 5000)) == "SuiteResult('retrieval', ndcg@10=75.00)"
    assert repr(result([0.5] * 5000).outcomes) == "(Outcome('ndcg@10', 'mean', 5,000 items),)"


def test_a_frame_has_the_scores_at_full_precision() -> None:
    frame = result([1 / 3]).to_dataframe()
    assert frame.to_dict("records") == [{"suite": "retrieval", "score": "ndcg@10", "value": 100 * (1 / 3)}]


def test_html_escapes_names_of_files() -> None:
    text = result([0.5])._repr_html_()
    assert "folder &lt;of&gt; mine" in text
    assert "<td>50.00</td>" in text


def test_html_counts_the_rows_that_it_leaves_out() -> None:
    many: Any = SuiteResult(
        suite="s", scores={f"t{i}": float(i) for i in range(25)}, details=(), seconds=0, sentences=1, data="d"
    )
    text = many._repr_html_()
    assert text.count("<tr>") == 1 + 20 + 1
    assert "5 more rows" in text


def test_no_rows_are_said() -> None:
    assert html_table([], "hits") == "<p>hits: no rows</p>"


def test_differences_are_a_list_and_a_table() -> None:
    found = compare([result([0.0, 0.5, 1.0])], [result([0.5, 0.5, 1.0])])
    assert isinstance(found, list)
    (row,) = found.to_dataframe().to_dict("records")
    assert math.isclose(row["difference"], 100 / 6)
    assert row["low"] == found[0].interval.low
    assert "ndcg@10" in found._repr_html_()


def test_the_log_of_a_run_is_a_frame(tmp_path: Path) -> None:
    lines = ['{"step": 1, "loss": 0.5}', '{"step": 2, "loss": 0.25, "eval_spearman": 70.0}']
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    run = TrainResult(tmp_path, 2, "last", None, None, None, 1.0, 64)
    assert run.to_dataframe()["loss"].tolist() == [0.5, 0.25]
    assert "<td>steps</td><td>2</td>" in run._repr_html_()
