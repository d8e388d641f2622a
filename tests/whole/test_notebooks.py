"""The example notebooks: each runs from start to end, offline, and is stored with its charts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "examples").glob("*.ipynb"))
ABSOLUTE = re.compile(r"(?<![\w<:/.)])/[a-z]+/[\w.-]+")
SECONDS = 900  # per cell; all cells take under 120 on two quiet cores, and more beside other tests


def cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def pictures(notebook: dict[str, Any]) -> int:
    return sum("image/png" in output.get("data", {}) for cell in cells(notebook) for output in cell["outputs"])


def test_there_are_four() -> None:
    assert [path.stem for path in NOTEBOOKS] == [
        "adapt_to_own_text", "compare_for_a_paper", "search_a_dataframe", "train_and_look",
    ]  # fmt: skip


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_with_its_pictures(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert pictures(notebook) >= 1
    outputs = [output for cell in cells(notebook) for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert path.stat().st_size < 1 << 20
    shown = [text for output in outputs for kind, text in output.get("data", {}).items() if kind.startswith("text/")]
    shown += [text for output in outputs for text in output.get("text", [])] + [
        cell["source"] for cell in notebook["cells"]
    ]
    assert not ABSOLUTE.findall(json.dumps(shown))  # a path of the machine that ran it


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    kept = pictures(notebook)
    folder = {"metadata": {"path": str(tmp_path)}}
    made = NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=folder).execute()
    assert pictures(made) == kept
    assert any(output["output_type"] == "execute_result" for cell in cells(made) for output in cell["outputs"])
