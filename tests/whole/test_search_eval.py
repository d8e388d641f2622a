"""What eval/lib/search_peers.py measures and eval/lib/search_tables.py shows."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from support.scripts import load_script

EVAL = Path(__file__).parents[2] / "eval"


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(EVAL)
    return load_script(EVAL / "lib" / "search_peers.py", "search_peers", monkeypatch)


def test_recall_counts_scores_not_places(peers: ModuleType) -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 2, 3]]  # rows 0 and 1 are equal
    queries = np.array([[0.8, 0.6, 0, 0]], np.float32)
    bound = np.array([0.8], np.float32)  # the two nearest are rows 0 and 1

    def recall(*rows: int) -> float:
        return float(peers.recall(np.array([rows]), queries, vectors, bound))

    assert recall(0, 1) == recall(1, 0) == 1
    assert recall(0, 2) == recall(4, 1) == 0.5
    assert recall(0, 0) == 0.5  # once
    assert recall(0, -1) == 0.5  # none is not row 4
    assert recall(2, 3) == 0


def test_the_fastest_setting_that_is_good_enough_is_chosen(peers: ModuleType) -> None:
    slow, fast, bad = (peers.Tried(*values, {}) for values in ((0.99, 2.0), (0.98, 1.0), (0.5, 0.1)))
    assert peers.chosen([slow, fast, bad], 0.95) is fast
    assert peers.chosen([slow, fast, bad], 0.99) is slow
    assert peers.chosen([fast, bad], 0.99) is fast  # the most that there is


def test_the_table_has_a_line_for_each_aim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EVAL)
    tables = load_script(EVAL / "lib" / "search_tables.py", "search_tables")

    def system(name: str, survives: bool | None, *targets: float) -> dict[str, object]:
        measured = [
            {"target": target, "recall_at_10": 0.9961, "queries_per_second": 5432.1, "p50_milliseconds": 0.5}
            for target in targets
        ]
        return {
            "name": name,
            "cores": {"1": measured, "2": measured},
            "own_bytes": 7 << 20,
            "build_seconds": 3.0,
            "disk_bytes": 9 << 20,
            "add_survives_kill": survives,
            "milliseconds_of_a_query": {
                "whole": 0.6,
                "vector_search": 0.4,
                "texts": 0.07,
                "checks_and_objects": 0.13,
            },
        }

    corpus = {"rows": 117778, "peers": [system("ours:pq:0.99", True, 0.99), system("scann", None, 0.95, 0.99)]}
    monkeypatch.setattr(tables, "has", lambda name: name == "search")
    monkeypatch.setattr(tables, "load", lambda name: {"corpora": {"distinct": corpus}})
    lines = list(tables._peers())
    assert "| ours, pq | 0.99 | 0.9961 | 5,432 | 5,432 | 0.50 | 7 | 3.0 | 9 | yes |" in lines
    assert [line.split(" | ")[1] for line in lines if line.startswith("| scann")] == ["0.95", "0.99"]
    assert lines[-1].startswith("Of the 0.60 ms of one of our queries, the vector search takes 0.40, ")


@pytest.mark.slow
def test_ours_keeps_an_add_that_returned_before_the_kill(peers: ModuleType, tmp_path: Path) -> None:
    drawn = np.random.default_rng(0).standard_normal((600, 16)).astype(np.float32)
    unit = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    corpus = peers.Corpus(tmp_path / "corpus", unit[200:], unit[:100], unit[100:200])
    line = peers.system("ours:ivf:0.9", sys.executable, corpus, tmp_path / "index")
    assert line["add_survives_kill"] is True
    assert line["cores"][1][0]["recall_at_10"] >= 0.85
    assert line["own_bytes"] > 0
