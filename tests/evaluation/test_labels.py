"""Labelled texts: scores by hand, equal to scikit-learn's, dropped rows, and the published protocol."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from simcse_kit import SimCSE
from simcse_kit.errors import DataError
from simcse_kit.evaluation import compare, evaluate, evaluate_labels, intervals, labels
from simcse_kit.evaluation.neighbours import MINI_BATCHES_ABOVE, elected, k_means, neighbour_scores
from simcse_kit.report.gather import make_report
from simcse_kit.report.render import report_page
from support.commands import run

from .conftest import Counting, encode_angles

Row = tuple[float, str]


def write(path: Path, rows: Sequence[Row], extra: str = "") -> Path:
    path.parent.mkdir(exist_ok=True)
    lines = [f"angle {angle}\t{label}\n" for angle, label in rows]
    path.write_text("text\tlabel\n" + "".join(lines) + extra, encoding="utf-8")
    return path


def overlapping(count: int, seed: int = 0) -> list[Row]:
    """Angles of three classes that overlap; all are different."""
    draw = np.random.default_rng(seed)
    kinds = draw.integers(0, 3, count)
    return [(round(float(50 * kind + draw.normal(0, 20)), 9), "abc"[kind]) for kind in kinds]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Train texts at 1 to 12 degrees; the queries at 0 and 13 see them in opposite orders."""
    write(tmp_path / "train.tsv", [*zip(range(1, 13), "abaaaababbab", strict=True)])
    write(tmp_path / "test.tsv", [(0, "a"), (13, "b")])
    return tmp_path


# Scores


def test_a_folder_by_hand(folder: Path) -> None:
    counting = Counting()
    result = evaluate_labels(counting, folder)
    assert result.scores["p@10"] == pytest.approx(100 * (0.6 + 0.4) / 2)
    assert result.scores["p@1"] == pytest.approx(100)
    places = ([1, 3, 4, 5, 6, 8, 11], [1, 3, 4, 6, 11])  # of the same class
    precisions = [np.mean([(i + 1) / place for i, place in enumerate(own)]) for own in places]
    assert result.scores["map"] == pytest.approx(100 * np.mean(precisions))
    assert result.scores["knn accuracy"] == pytest.approx(50)  # `a` has six of ten for both
    assert result.scores["v-measure"] == pytest.approx(100)  # two queries, two clusters
    assert len(counting.calls) == 1
    assert (result.suite, result.sentences, result.data) == ("labels", 14, str(folder))
    assert [row[:4] for row in result.details] == [("a", 1, 7, pytest.approx(60)), ("b", 1, 5, pytest.approx(40))]
    assert [100 * outcome.values.mean() for outcome in result.outcomes] == pytest.approx([*result.scores.values()][:4])
    assert result.outcomes[0].texts == (["angle 0", "angle 13"],)


def test_in_a_file_each_text_is_searched_among_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a plain loop and scikit-learn have it, in blocks of any size."""
    rows = overlapping(60)
    vectors = encode_angles([f"angle {angle}" for angle, _ in rows])
    own = np.array([label for _, label in rows])
    wanted = []
    for i in range(len(rows)):
        others = np.delete(np.arange(len(rows)), i)
        cosines = vectors[others] @ vectors[i]
        near = own[others[np.argsort(-cosines, kind="stable")[:10]]]
        counts = {label: (near == label).sum() for label in near}  # in the order of nearness
        wanted.append(
            (
                (near == own[i]).mean(),
                near[0] == own[i],
                average_precision_score(own[others] == own[i], cosines),
                max(counts, key=counts.__getitem__) == own[i],
            )
        )
    path = write(tmp_path / "all.tsv", rows)
    results = []
    for cells in (1, 60 * 7, 1 << 22):
        monkeypatch.setattr(labels, "_CELLS", cells)
        results.append(evaluate_labels(encode_angles, path))
        found = np.stack([outcome.values for outcome in results[-1].outcomes], axis=1)
        np.testing.assert_allclose(found, np.array(wanted, dtype=np.float64), atol=1e-6)
    assert results[0].scores == pytest.approx(results[-1].scores)
    assert 0.3 < found[:, 3].mean() < 1  # some are right, some are wrong


def test_no_matrix_of_all_by_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "_CELLS", 500)
    sizes = []

    def measured(cosines: np.ndarray, gold: np.ndarray, classes: np.ndarray) -> object:
        sizes.append(cosines.size)
        return neighbour_scores(cosines, gold, classes)

    monkeypatch.setattr(labels, "neighbour_scores", measured)
    evaluate_labels(encode_angles, write(tmp_path / "all.tsv", overlapping(100)))
    assert sum(sizes) == 100 * 100
    assert max(sizes) <= 500


def test_a_vote() -> None:
    assert elected(np.array([[0, 1, 1], [2, 0, 1], [1, 0, 0], [5, 5, 1]])).tolist() == [1, 2, 0, 5]
    assert elected(np.array([[2, 1, 1, 2, 0]])).tolist() == [2]  # a tie: the nearer


def test_turning_scaling_and_shuffling_change_nothing(tmp_path: Path) -> None:
    rows = overlapping(60)
    path = write(tmp_path / "a.tsv", rows)
    whole = evaluate_labels(encode_angles, path).scores
    assert evaluate_labels(lambda texts: 7 * encode_angles(texts), path).scores == pytest.approx(whole)
    turned = write(tmp_path / "b.tsv", [(angle + 70, label) for angle, label in rows])
    assert evaluate_labels(encode_angles, turned).scores == pytest.approx(whole)
    shuffled = evaluate_labels(encode_angles, write(tmp_path / "c.tsv", rows[::-1])).scores
    assert {**shuffled, "v-measure": 0} == pytest.approx({**whole, "v-measure": 0})  # k-means starts from other rows


def test_clusters_that_are_the_classes(tmp_path: Path) -> None:
    rows = [(120 * kind + offset / 10, "abc"[kind]) for kind in range(3) for offset in range(12)]
    result = evaluate_labels(encode_angles, write(tmp_path / "a.tsv", rows))
    assert result.scores == pytest.approx(dict.fromkeys(result.scores, 100))
    assert result.notes == (
        "v-measure: mean over 3 starts of k-means (3 clusters, 36 texts), 100.00 to 100.00; no interval",
    )


@pytest.mark.parametrize("count", [60, MINI_BATCHES_ABOVE + 60])
def test_k_means_is_seeded_and_finds_what_is_there(count: int) -> None:
    kinds = np.arange(count) % 3
    vectors = np.eye(3, dtype=np.float32)[kinds]
    found = k_means(vectors, 3, seed=0)
    assert len({*zip(kinds.tolist(), found.tolist(), strict=True)}) == len(set(found.tolist())) == 3
    np.testing.assert_array_equal(k_means(vectors, 3, seed=0), found)


def test_too_many_classes_for_k_means_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "CLUSTERS_AT_MOST", 2)
    result = evaluate_labels(encode_angles, write(tmp_path / "a.tsv", overlapping(40)))
    assert result.to_json()["scores"]["v-measure"] is None
    assert result.notes[-1] == "v-measure is not measured: it needs 2 to 2 classes; got 3"


# What is left out, counted or refused


def test_what_was_left_out_and_what_is_there_twice_is_said(tmp_path: Path) -> None:
    rows = [*overlapping(30), (400, "a"), (400, "b"), (500, "lonely")]
    result = evaluate_labels(encode_angles, write(tmp_path / "all.tsv", rows, extra="angle 9\t\n\ta\n\tb\n"))
    assert result.notes[:3] == (
        "all.tsv: left out 3 rows, 2 without a text and 1 without a label",
        "2 of 33 texts occur more than once; each counts like any other text",
        "1 of 33 texts have a label that no searched text has (lonely); all their results count as wrong",
    )
    sizes = Counter(label for _, label in rows)
    others = [min(10, sizes[label] - 1) for _, label in rows]
    few, most = sum(count < 10 for count in others), 10 * np.mean(others)
    assert (
        result.notes[3]
        == f"{few} of 33 texts have fewer than 10 others with their label: p@10 can reach at most {most:.2f}"
    )
    lonely = next(row for row in result.details if row.label == "lonely")
    assert lonely[1:] == (1, 0, 0, 0, 0, 0)


def test_p_at_10_cannot_be_more_than_the_note_says(tmp_path: Path) -> None:
    rows = [(120 * kind + offset / 10, "abc"[kind]) for kind in range(3) for offset in range(6)]
    result = evaluate_labels(encode_angles, write(tmp_path / "a.tsv", rows))
    assert result.scores["p@10"] == pytest.approx(50)
    assert result.notes[0] == "18 of 18 texts have fewer than 10 others with their label: p@10 can reach at most 50.00"


def test_a_copy_of_the_query_is_any_other_text(folder: Path) -> None:
    """In a folder the query's text may be among the searched texts; in a file only its own row is left out."""
    write(folder / "test.tsv", [(1, "a"), (12, "a")])
    result = evaluate_labels(encode_angles, folder)
    assert result.scores["p@1"] == pytest.approx(50)  # 12 degrees is labelled b in train
    assert "2 of 2 test texts are also in the training texts; each counts like any other text" in result.notes
    rows = [(angle, label) for angle in range(6) for label in "ab"]
    assert evaluate_labels(encode_angles, write(folder / "all.tsv", rows)).scores["p@1"] == 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (overlapping(10), r"all\.tsv holds 10 labelled texts; at least 11 are needed"),
        ([(i, "a") for i in range(20)], r"all\.tsv: all texts have the label 'a'; two labels are needed"),
        ([(i, str(i)) for i in range(20)], r"all\.tsv: no two texts share a label \(--label-column label\)"),
    ],
)
def test_a_file_that_cannot_be_measured(tmp_path: Path, rows: list[Row], message: str) -> None:
    with pytest.raises(DataError, match=message):
        evaluate_labels(encode_angles, write(tmp_path / "all.tsv", rows))


def test_a_folder_that_cannot_be_measured(folder: Path) -> None:
    write(folder / "test.tsv", [(0, "x"), (1, "y")])
    with pytest.raises(DataError, match=r"test\.tsv and .*train\.tsv have no label in common; .* 'x', .* 'a'"):
        evaluate_labels(encode_angles, folder)
    write(folder / "test.csv", [(0, "a")])
    with pytest.raises(DataError, match=r"holds 2 files test\.csv, test\.tsv; a folder needs train\.tsv and test\.tsv"):
        evaluate_labels(encode_angles, folder)
    (folder / "test.csv").unlink()
    (folder / "test.tsv").unlink()
    with pytest.raises(DataError, match=r"holds no test\.tsv; a folder needs"):
        evaluate_labels(encode_angles, folder)
    with pytest.raises(DataError, match="absent does not exist"):
        evaluate_labels(encode_angles, folder / "absent")


# With other models, on the command line, in a report

MODELS = """
import numpy as np

def embed(texts):
    angles = np.radians([float(text.split()[1]) for text in texts])
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

def noisy(texts):
    return np.random.default_rng(0).normal(size=(len(texts), 8)).astype(np.float32)
"""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (tmp_path / "models_of_test_labels.py").write_text(MODELS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return [f"models_of_test_labels:{name}" for name in ("embed", "noisy")]


def test_models_are_compared_over_the_query_texts(tmp_path: Path) -> None:
    path = write(tmp_path / "all.tsv", overlapping(60))
    first = evaluate(encode_angles, "labels", path)
    second = evaluate(lambda texts: np.random.default_rng(0).normal(size=(len(texts), 8)), "labels", path)
    table = {line.score: line for line in compare([first], [second])}
    assert [*table] == ["p@10", "p@1", "map", "knn accuracy"]
    assert all(line.verdict == "worse" for line in table.values())
    low, high = intervals(first)["p@10"]
    assert low < first.scores["p@10"] < high


def test_eval_and_report_on_the_command_line(models: list[str], tmp_path: Path) -> None:
    path = tmp_path / "tickets.csv"
    rows = "".join(f"x,angle {angle},{label}\n" for angle, label in overlapping(40))
    path.write_text("id,body,team\n" + rows, encoding="utf-8")
    options = ["--suite", "labels", "--data", f"labels={path}", "--label-column", "team", "--text-column", "body"]
    done = run("eval", *models, *options, "--details")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    for text in ("labels: × 100", "p@10 p@1 map knn accuracy v-measure", "worse", "label texts searched p at 10"):
        assert text in said
    done = run("report", models[0], *options, "-o", tmp_path / "report.json")
    assert done.returncode == 0, done.stderr
    (result,) = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["models"][0]["results"]
    assert f"{result['scores']['p@10']:.2f}" in said
    done = run("eval", models[0], *options[:-4])
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert "no column named 'label'; the columns are id, body, team; the first row is id: 'x', body: 'angle" in said


def test_a_report_shows_it(models: list[str], folder: Path) -> None:
    page = report_page(make_report(models, {"labels": folder}))
    assert "labels, p@10 (× 100). " in page.lead


@pytest.mark.slow
@pytest.mark.data
def test_minilm_on_banking77(data_dir: Path, minilm: SimCSE) -> None:
    """The protocol of `domains`: test among train, all-MiniLM-L6-v2 with mean pooling."""
    result = evaluate_labels(minilm.encode, data_dir / "domains" / "banking77")
    assert result.scores["p@10"] == pytest.approx(86.79, abs=0.05)
    assert result.scores["p@1"] == pytest.approx(92.05, abs=0.05)
