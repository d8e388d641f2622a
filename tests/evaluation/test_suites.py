"""One interface for all suites, and what a result turns into."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from simcse_kit.errors import DataError, SimCSEKitError
from simcse_kit.evaluation import SUITES, average_precision, best_threshold, evaluate, evaluate_korsts, evaluate_pairs
from simcse_kit.types import ScoredPairs
from support.senteval import WRITTEN_PAIRS, encode_angles, write_benchmark

from .conftest import Counting


def own_pairs(*rows: tuple[str, str, float], dropped: int = 0) -> ScoredPairs:
    first, second, gold = zip(*rows, strict=True)
    return ScoredPairs(list(first), list(second), np.array(gold, dtype=np.float64), "mine.tsv", dropped)


def write_korsts(folder: Path) -> None:
    for split in ("train", "dev", "test"):
        path = folder / f"sts-{split}.tsv"
        write_benchmark(path, WRITTEN_PAIRS)
        path.write_text("genre\tfilename\tyear\tid\tscore\tsentence1\tsentence2\n" + path.read_text())


def test_own_pairs_by_hand(encode: Counting) -> None:
    # cosines 1, 0, -1 against gold 1, 0.2, 0.3: ranks 3 2 1 against 3 1 2
    pairs = own_pairs(("angle 0", "angle 0", 1), ("angle 0", "angle 90", 0.2), ("angle 0", "angle 180", 0.3), dropped=4)
    result = evaluate(encode, "pairs", pairs)
    assert result.scores["spearman"] == pytest.approx(50)
    assert result.scores["pearson"] == pytest.approx(100 * 0.7 / math.sqrt(2 * 0.38))
    assert result.alignment == pytest.approx(0)  # one positive pair: gold 1 on a 0-1 scale
    assert len(encode.calls) == 1
    assert (result.sentences, result.data, result.details[0].dropped) == (3, "mine.tsv", 4)


def test_own_pairs_can_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.tsv"
    path.write_text("sentence1\tsentence2\tscore\n" + "".join(f"{a}\t{b}\t{gold}\n" for a, b, gold in WRITTEN_PAIRS))
    assert evaluate(encode_angles, "pairs", path).scores["spearman"] == pytest.approx(100)


def test_undefined_numbers_become_null_with_a_reason() -> None:
    result = evaluate_pairs(encode_angles, own_pairs(("angle 0", "angle 5", 2.0), ("angle 0", "angle 9", 2.0)))
    written = result.to_json()
    assert written["scores"] == {"spearman": None, "pearson": None}
    assert written["alignment"] is None
    assert written["notes"] == [
        "a correlation is not defined: all gold scores, or all similarities, are equal",
        "alignment is not defined: no pair has a gold score above 4",
    ]


def test_labels_have_a_threshold() -> None:
    """cos 0, 10, 40 and 80 degrees with labels 1, 1, 0, 1: the best threshold misses the last alone."""
    rows = [("angle 0", f"angle {a}", label) for a, label in ((0, 1.0), (10, 1.0), (40, 0.0), (80, 1.0))]
    result = evaluate_pairs(encode_angles, own_pairs(*rows))
    assert list(result.scores) == ["spearman", "pearson", "average precision", "accuracy"]
    assert result.scores["average precision"] == pytest.approx(100 * (1 + 1 + 3 / 4) / 3)
    assert result.scores["accuracy"] == pytest.approx(75)
    between = (math.cos(math.radians(10)) + math.cos(math.radians(40))) / 2
    assert result.notes[-1].startswith(f"best threshold: a cosine of {between:.4f}")


@pytest.mark.parametrize("seed", range(5))
def test_labels_measured_as_others_do(seed: int) -> None:
    from sklearn.metrics import average_precision_score

    draw = np.random.default_rng(seed)
    scores, labels = draw.integers(0, 8, 40) / 8, draw.integers(0, 2, 40)
    assert average_precision(scores, labels) == pytest.approx(average_precision_score(labels, scores))
    threshold = best_threshold(scores, labels)
    accuracies = [((scores >= t) == labels).mean() for t in [*np.unique(scores), 2.0]]
    assert ((scores >= threshold) == labels).mean() == pytest.approx(max(accuracies))


def test_no_pairs_is_an_error() -> None:
    with pytest.raises(DataError, match=r"mine\.tsv holds no scored pair"):
        evaluate_pairs(encode_angles, ScoredPairs([], [], np.empty(0), "mine.tsv"))


@pytest.mark.parametrize("inner", ["", "korsts"])
def test_korsts(tmp_path: Path, encode: Counting, inner: str) -> None:
    write_korsts(tmp_path / inner)
    result = evaluate(encode, "korsts", tmp_path)
    assert result.scores == {"KorSTS": pytest.approx(100)}
    assert result.sentences == 4
    assert result.alignment == pytest.approx(2 - 2 * math.cos(math.radians(10)))


def test_klue_sts_as_datasets_has_it(tmp_path: Path) -> None:
    """A score inside a field, as the hub's KLUE has it; pairs of another configuration are not read."""
    rows = [
        {"guid": i, "sentence1": a, "sentence2": b, "labels": {"label": float(gold), "binary-label": int(gold >= 3)}}
        for i, (a, b, gold) in enumerate(WRITTEN_PAIRS)
    ]
    (tmp_path / "validation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = evaluate(encode_angles, "klue-sts", tmp_path)
    assert result.scores == {"KLUE-STS": pytest.approx(100)}
    assert result.details[0].pairs == 3


def test_a_missing_korsts_file_is_named(tmp_path: Path) -> None:
    write_korsts(tmp_path / "korsts")
    (tmp_path / "korsts" / "sts-dev.tsv").unlink()
    with pytest.raises(DataError, match=r"korsts/sts-dev\.tsv is missing.*kor-nlu-datasets"):
        evaluate_korsts(encode_angles, tmp_path)


def test_an_unknown_suite_lists_the_choices() -> None:
    with pytest.raises(
        SimCSEKitError,
        match="suite must be one of sts, korsts, klue-sts, pairs, transfer, retrieval, labels, mteb, geometry; "
        r"got 'stsb'; did you mean sts\?",
    ):
        evaluate(encode_angles, "stsb", "data")


def test_scored_pairs_are_for_pairs_only() -> None:
    with pytest.raises(SimCSEKitError, match="'sts' needs a folder"):
        evaluate(encode_angles, "sts", own_pairs(("angle 0", "angle 5", 2.0)))


def test_a_result_is_plain_json(senteval: Path, tmp_path: Path) -> None:
    write_korsts(tmp_path / "korsts")
    names = ("sts", "korsts", "klue-sts", "pairs", "transfer", "retrieval", "labels", "mteb", "geometry")
    assert SUITES.names() == names
    for suite in ("sts", "korsts"):
        written = evaluate(encode_angles, suite, tmp_path).to_json()
        assert json.loads(json.dumps(written, allow_nan=False)) == written
        assert written["suite"] == suite
        assert written["details"][0].keys() == {"task", "subset", "pairs", "dropped", "spearman", "pearson"}


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, simcse_kit.evaluation; print([m for m in ('torch', 'scipy', 'datasets') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_scale_of_ones_own_is_said() -> None:
    pairs = ScoredPairs(["angle 0"] * 3, ["angle 10", "angle 40", "angle 80"], np.array([9.0, 3.0, -1.0]), "own")
    (note,) = evaluate_pairs(encode_angles, pairs).notes
    assert note == "gold scores go from -1 to 9, so the top of the scale is taken to be 9"
    assert evaluate_pairs(encode_angles, pairs._replace(gold=np.array([5.0, 3.0, 0.0]))).notes == ()


def test_one_pair_is_too_few_and_said() -> None:
    pairs = ScoredPairs(["angle 0"], ["angle 10"], np.array([5.0]), "own")
    result = evaluate_pairs(encode_angles, pairs)
    assert "a correlation is not defined: pairs has fewer than two pairs" in result.notes
