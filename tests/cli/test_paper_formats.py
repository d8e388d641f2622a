"""Output for a paper: tables in several formats, and figures in a folder."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from simcse_kit.data import sample_pairs_path
from support.commands import Done, run

MODELS = ("bert", "roberta")


@pytest.fixture(scope="module")
def printed(tiny_model: Callable[[str], Path]) -> Callable[[str], Done]:
    def evaluate(kind: str) -> Done:
        models = [tiny_model(name) for name in MODELS]
        data = ("--suite", "pairs", "--data", sample_pairs_path())
        done = run("eval", *models, "--pooling", "mean", "--device", "cpu", *data, "--format", kind)
        assert done.returncode == 0, done.stderr
        return done

    return evaluate


def test_all_formats_hold_the_same_scores(printed: Callable[[str], Done]) -> None:
    results = json.loads(printed("json").stdout)["results"]
    scores = [result["scores"]["spearman"] for result in results]
    rows = list(csv.DictReader(io.StringIO(printed("csv").stdout)))
    assert [float(row["value"]) for row in rows if row["score"] == "spearman"] == scores
    assert [row["verdict"] != "" for row in rows if row["score"] == "spearman"] == [False, True]
    for kind in ("latex", "md", "table"):
        text = printed(kind).stdout
        for score in scores:
            assert f"{score:.2f}" in text
    assert printed("latex").stdout.startswith(r"\begin{table")
    assert printed("md").stdout.startswith("| ")


def test_a_report_writes_its_pictures_for_a_paper(tmp_path: Path, tiny_model: Callable[[str], Path]) -> None:
    done = run(
        "report", tiny_model("bert"), "--pooling", "mean", "--device", "cpu", "--suite", "pairs",
        "--data", sample_pairs_path(), "-o", tmp_path / "report.md", "--figures", tmp_path / "figures",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    files = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert "spectrum.pdf" in files
    assert len(files) == 2 * len({Path(name).stem for name in files})
    assert f"wrote {len(files) // 2} figures to" in done.stderr
