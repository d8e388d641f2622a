"""The reference scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from simcse_kit import SimCSE
from simcse_kit.cli import app

# The original project's evaluation code on all-MiniLM-L6-v2 with mean pooling.
pytestmark = pytest.mark.slow
REFERENCE = {
    "STS12": 72.37,
    "STS13": 80.60,
    "STS14": 75.59,
    "STS15": 85.39,
    "STS16": 78.99,
    "STSBenchmark": 82.03,
    "SICKRelatedness": 77.15,
    "avg": 78.87,
}


@pytest.mark.data
def test_minilm_scores_as_with_the_original_code(data_dir: Path, tmp_path: Path, minilm: SimCSE) -> None:
    path = tmp_path / "sts.json"
    arguments = ["eval", "all-MiniLM-L6-v2", "--suite", "sts", "--data", str(data_dir), "--json", str(path)]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    written = json.loads(path.read_text(encoding="utf-8"))
    assert (written["model"], written["pooling"], written["suite"]) == ("all-MiniLM-L6-v2", "mean", "sts")
    assert {task: round(score, 2) for task, score in written["scores"].items()} == REFERENCE
    assert all(f"{score:.2f}" in done.output for score in REFERENCE.values())
