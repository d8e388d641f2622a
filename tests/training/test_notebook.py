"""What a notebook shows of a run while it trains."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from simcse_kit import TrainListener, train_unsup
from simcse_kit.data import sample_pairs_path
from simcse_kit.training.notebook import NotebookListener, usual_listener


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """IPython's display, which records each version of the output."""
    pages: list[str] = []

    class Handle:
        def update(self, page: str) -> None:
            pages.append(page)

    def display(page: str, *, display_id: bool) -> Handle:
        assert display_id
        pages.append(page)
        return Handle()

    class ZMQInteractiveShell:
        pass

    fake: Any = ModuleType("IPython")
    fake.get_ipython = ZMQInteractiveShell
    inner: Any = ModuleType("IPython.display")
    inner.HTML, inner.display = str, display
    monkeypatch.setitem(sys.modules, "IPython", fake)
    monkeypatch.setitem(sys.modules, "IPython.display", inner)
    return pages


def test_only_a_notebook_has_a_listener_of_its_own(monkeypatch: pytest.MonkeyPatch, shown: list[str]) -> None:
    assert isinstance(usual_listener(), NotebookListener)
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: None)
    assert type(usual_listener()) is TrainListener
    monkeypatch.delitem(sys.modules, "IPython")
    assert type(usual_listener()) is TrainListener


def test_a_run_shows_its_bar_its_scores_and_its_end(
    shown: list[str], tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path
) -> None:
    train_unsup(
        sentences, tmp_path / "a<b>", model=str(tiny_model("bert")), pooling="mean", epochs=1, batch_size=4,
        eval_data=sample_pairs_path(), eval_steps=5, device="cpu",
    )  # fmt: skip
    assert 'value="0" max="10"' in shown[0]
    last = shown[-1]
    assert 'value="10" max="10"' in last
    assert "/bert<br>" in last
    assert "Spearman × 100" in last
    assert last.count("<tr>") >= 3  # the head, step 5 and step 10
    assert "was saved" in last
