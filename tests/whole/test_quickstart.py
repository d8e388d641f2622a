"""The main job in one call, on a file of one's own (the sample itself is run from the wheel, see .ci/run)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from simcse_kit import SentenceIndex, SimCSE, TrainingError, TrainListener, quickstart
from simcse_kit.data import read_scored_pairs, read_sentences, sample_pairs_path, sample_sentences_path
from simcse_kit.workflows.quickstart import score_rows
from support.commands import parsed, run


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "my sentences.txt"
    lines = read_sentences(sample_sentences_path()).column(0)[:60]
    path.write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def start(tiny_model: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny sentence encoder in MiniLM's place; saves a minute."""
    SimCSE(tiny_model("bert"), pooling="mean", device="cpu").save(tmp_path / "start")
    monkeypatch.setattr("simcse_kit.workflows.quickstart.require_minilm", lambda: str(tmp_path / "start"))


def test_quickstart_makes_model_index_and_report(start: None, own: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    made = quickstart(own, folder)
    assert (made.texts, made.used) == (60, 60)
    assert made.adapted.method.name == "neighbors"
    assert made.adapted.figures is None  # nobody has judged anything
    model = SimCSE(made.model)
    index = SentenceIndex.open(made.index, model)
    assert len(index) == 60
    assert len(made.answers) == 3
    for query, sides in made.answers.items():
        assert all(len(hits) == 3 and query not in [hit.text for hit in hits] for hits in sides)
    html = made.report.read_text(encoding="utf-8")
    assert html.count("<svg") == 1
    assert "Search before" in html
    with pytest.raises(TrainingError, match="earlier quickstart"):
        quickstart(own, folder)
    again = quickstart(own, folder, overwrite=True)
    assert SimCSE(again.model).fingerprint() == model.fingerprint()


def test_the_sample_ends_with_search_before_and_after(start: None, tmp_path: Path) -> None:
    """With judged queries the verdict decides which model is saved, and the picture has a bar for each query."""
    made = quickstart(output_dir=tmp_path / "out")
    figures, results = made.adapted.figures, made.adapted.results
    assert figures is not None
    assert results is not None
    assert made.adapted.method.name == "classes"
    assert len(results[0].outcomes[0].values) == 114
    assert made.adapted.kept_start == (figures.verdict != "better")
    rows = score_rows(made.adapted)
    assert [row[0] for row in rows] == ["before", "after", "difference"]
    assert float(rows[1][1]) - float(rows[0][1]) == pytest.approx(float(rows[2][1]), abs=0.11)
    html = made.report.read_text(encoding="utf-8")
    assert html.count("<svg") == 2
    assert "114 queries, sorted" in html or "Search, query by query" in html


@pytest.mark.slow
def test_the_sample_shows_a_gain(tmp_path: Path) -> None:
    made = quickstart(output_dir=tmp_path / "out")
    assert made.adapted.figures is not None
    assert made.adapted.figures.verdict == "better"
    assert not made.adapted.kept_start


def test_the_command_prints_before_after_and_what_to_do_next(start: None, own: Path, tmp_path: Path) -> None:
    done = run("quickstart", "--sentences", own, "--output-dir", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "before" in done.stdout
    assert "after" in done.stdout
    assert f"report  {tmp_path / 'out' / 'report.html'}" in done.stdout
    steps = [parsed(line.removeprefix("next: ")) for line in done.stdout.splitlines() if line.startswith("next: ")]
    assert [step[:2] for step in steps] == [[job, str(tmp_path / "out" / "index")] for job in ("search", "demo")]
    assert run(*steps[0]).returncode == 0
    assert "better" not in done.stdout  # without judgements nothing is claimed
    again = run("quickstart", "--sentences", own, "--output-dir", tmp_path / "out")
    assert (again.returncode, again.stdout) == (1, "")
    assert "holds an earlier quickstart; --overwrite replaces it" in again.stderr


def test_one_that_was_stopped_is_replaced_by_the_next(start: None, own: Path, tmp_path: Path) -> None:
    class Stop(TrainListener):
        def stepped(self, step: int, steps: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quickstart(own, tmp_path / "out", listener=Stop())
    with pytest.raises(TrainingError, match="holds an earlier quickstart"):
        quickstart(own, tmp_path / "out")
    assert quickstart(own, tmp_path / "out", overwrite=True).index.is_dir()


def test_too_few_texts_leave_nothing_behind(start: None, tmp_path: Path) -> None:
    (tmp_path / "few.txt").write_text("One text.\nAnother text.\n", encoding="utf-8")
    with pytest.raises(TrainingError, match=r"few\.txt holds 2 distinct texts"):
        quickstart(tmp_path / "few.txt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_it_does_not_touch_a_folder_of_somebody_else(own: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("precious", encoding="utf-8")
    for overwrite in (False, True):
        with pytest.raises(TrainingError, match="not from an earlier quickstart"):
            quickstart(own, tmp_path / "thesis", overwrite=overwrite)
    assert (tmp_path / "thesis" / "chapter.txt").read_text(encoding="utf-8") == "precious"


def test_the_sample_is_what_the_readme_says() -> None:
    sentences = read_sentences(sample_sentences_path()).column(0)
    assert len(sentences) == len({text.casefold() for text in sentences}) == 653
    pairs = read_scored_pairs(sample_pairs_path())
    assert len(pairs.gold) == 120
    assert pairs.gold.min() >= 0
    assert pairs.gold.max() <= 5
    assert not {*pairs.first, *pairs.second} & set(sentences)


def test_results_say_how_they_came_to_be() -> None:
    results = sorted((Path(__file__).parents[2] / "eval" / "results").glob("*.json"))
    assert results
    for path in results:
        written = json.loads(path.read_text(encoding="utf-8"))
        assert {"command", "commit", "date", "versions", "machine"} <= set(written), path.name
