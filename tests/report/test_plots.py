"""Charts in a notebook and in files: the Axes that a function returns hold its data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from simcse_kit import (
    SimCSEKitError,
    SuiteResult,
    TrainResult,
    make_report,
    plot_changes,
    plot_geometry,
    plot_similarity,
    plot_similarity_change,
    plot_spectrum,
    plot_speed,
    plot_training,
    train_unsup,
)
from simcse_kit.data import sample_pairs_path
from simcse_kit.evaluation import Outcome
from simcse_kit.report.gather import Report
from simcse_kit.report.pictures import save_figures

PAIRS = sample_pairs_path()
SETTINGS = {"pooling": "mean", "batch_size": 4, "epochs": 1, "eval_steps": 4, "device": "cpu"}


@pytest.fixture(autouse=True)
def _no_window() -> Iterator[None]:
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def run(
    tiny_model: Callable[[str], Path], sentences: list[str], tmp_path_factory: pytest.TempPathFactory
) -> TrainResult:
    folder = tmp_path_factory.mktemp("plots")
    return train_unsup(
        sentences,
        folder / "run",
        model=str(tiny_model("bert")),
        eval_data=PAIRS,
        **SETTINGS,
    )


@pytest.fixture(scope="module")
def report(run: TrainResult) -> Report:
    return make_report([run.output_dir], {"pairs": PAIRS})


def retrieval(values: list[float]) -> SuiteResult:
    outcome = Outcome("ndcg@10", "mean", np.array(values))
    scores = {"ndcg@10": 100 * float(np.mean(values))}
    return SuiteResult(
        suite="retrieval", scores=scores, details=(), seconds=1, sentences=3, data="d", outcomes=(outcome,)
    )


def test_training_shows_every_logged_loss(run: TrainResult) -> None:
    log = run.to_dataframe()
    for given in (run, run.output_dir, str(run.output_dir)):
        top, bottom = plot_training(given)
        (line,) = top.lines
        assert line.get_ydata().tolist() == log["loss"].dropna().tolist()
        assert bottom.get_ylabel() == "Spearman × 100"


def test_changes_are_the_differences_sorted() -> None:
    axes = plot_changes(retrieval([0.0, 0.5, 1.0]), retrieval([0.5, 0.5, 0.0]))
    assert [bar.get_height() for bar in axes.patches[:3]] == [-100.0, 0.0, 50.0]


def test_pictures_of_a_report(report: Report) -> None:
    assert plot_geometry(report).get_xlabel().startswith("uniformity")
    assert plot_spectrum(report).get_xscale() == "log"
    assert len(plot_speed(report).collections) >= 1


def test_similarity_of_one_model_and_its_change(run: TrainResult, report: Report) -> None:
    (result,) = report.models[0].results["pairs"]
    left, _ = plot_similarity(result)
    assert left.get_xlabel() == "gold score"
    assert len(plot_similarity_change(result, result)) == 5


def test_what_is_not_there_is_an_error(run: TrainResult, report: Report, tmp_path: Path) -> None:
    (result,) = report.models[0].results["pairs"]
    with pytest.raises(SimCSEKitError, match="is not a training run"):
        plot_training(tmp_path)
    with pytest.raises(SimCSEKitError, match="the suite retrieval has no scored pairs"):
        plot_similarity(retrieval([1.0]))
    with pytest.raises(SimCSEKitError, match="has no scored pairs named 'STS12'; it has"):
        plot_similarity(result, "STS12")
    with pytest.raises(SimCSEKitError, match="different data: retrieval with 1 items, retrieval with 2"):
        plot_changes(retrieval([1.0]), retrieval([1.0, 0.0]))


def test_files_for_a_paper_have_black_text(report: Report, tmp_path: Path) -> None:
    written = save_figures(report, tmp_path / "figures")
    assert {path.name for path in written} >= {"training.pdf", "alignment-and-uniformity.pdf", "spectrum.pdf"}
    for path in written:
        assert path.read_bytes().startswith(b"%PDF")
        svg = path.with_suffix(".svg")
        assert ElementTree.parse(svg).getroot().tag.endswith("svg")
