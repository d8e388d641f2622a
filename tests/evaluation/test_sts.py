"""The STS protocol on a tiny folder with hand-worked scores."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from simcse_kit.data import read_scored_pairs
from simcse_kit.errors import DataError
from simcse_kit.evaluation import SuiteResult, evaluate_sts, load_sts
from simcse_kit.evaluation.download import PAIRS
from simcse_kit.evaluation.sts import SUBSETS, load_korsts, load_sts_benchmark
from support.senteval import encode_angles, write_benchmark, write_subset

from .conftest import Counting

TASKS = ["STS12", "STS13", "STS14", "STS15", "STS16", "STSBenchmark", "SICKRelatedness"]


def row(result: SuiteResult, task: str, subset: str):
    (found,) = [row for row in result.details if (row.task, row.subset) == (task, subset)]
    return found


def test_tasks_and_subsets_come_in_the_published_order(senteval: Path) -> None:
    tasks = load_sts(senteval)
    assert [task.name for task in tasks] == TASKS
    assert [subset.name for subset in tasks[2].subsets] == [
        "deft-forum", "deft-news", "headlines", "images", "OnWN", "tweet-news"
    ]  # fmt: skip
    assert sum(len(task.subsets) for task in tasks) == 26


def test_the_data_may_lie_in_a_senteval_folder(senteval: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    for name in ("STS", "SICK"):
        (outer / "senteval" / name).parent.mkdir(exist_ok=True)
        (senteval / name).rename(outer / "senteval" / name)
    assert len(load_sts(outer)) == 7


def test_a_perfect_ranking_scores_100_and_each_sentence_is_encoded_once(senteval: Path, encode: Counting) -> None:
    result = evaluate_sts(encode, senteval)
    assert list(result.scores) == [*TASKS, "avg"]
    assert list(result.scores.values()) == pytest.approx([100] * 8)
    (call,) = encode.calls
    assert sorted(call) == ["angle 0", "angle 10", "angle 40", "angle 80"]
    assert result.sentences == 4
    assert result.data == str(senteval)


def test_all_mean_and_wmean_by_hand(senteval: Path) -> None:
    # FNWN: ranked as gold (rho 1, 3 pairs). headlines: reversed (rho -1, 2 pairs). OnWN: reversed (rho -1, 2 pairs).
    write_subset(senteval, "STS13", "FNWN", [("angle 0", f"angle {a}", g) for a, g in ((10, 5), (20, 4), (30, 3))])
    write_subset(senteval, "STS13", "headlines", [("angle 0", "angle 40", 1), ("angle 0", "angle 50", 2)])
    write_subset(senteval, "STS13", "OnWN", [("angle 0", "angle 60", 0), ("angle 0", "angle 70", 0.5)])
    result = evaluate_sts(encode_angles, senteval)
    # together, by falling cosine: gold ranks 7 6 5 3 4 1 2 against 7 6 5 4 3 2 1; rho = 1 - 6 * 4 / (7 * 48)
    assert row(result, "STS13", "all").spearman == pytest.approx(100 * (1 - 24 / 336))
    assert row(result, "STS13", "mean").spearman == pytest.approx(-100 / 3)
    assert row(result, "STS13", "wmean").spearman == pytest.approx(-100 / 7)
    assert row(result, "STS13", "headlines").spearman == pytest.approx(-100)
    assert row(result, "STS13", "headlines").pearson == pytest.approx(-100)
    assert row(result, "STS13", "all").pairs == 7
    assert result.scores["STS13"] == row(result, "STS13", "all").spearman
    assert result.scores["avg"] == pytest.approx((600 + 100 * (1 - 24 / 336)) / 7)


def test_a_pair_with_an_empty_gold_line_is_dropped_and_counted(senteval: Path) -> None:
    pairs = [("angle 0", "angle 10", 5), ("angle 0", "angle 1", ""), ("angle 0", "angle 40", 3), ("x", "y", " ")]
    write_subset(senteval, "STS16", "plagiarism", pairs)
    result = evaluate_sts(encode_angles, senteval)  # `x` would not encode
    assert row(result, "STS16", "plagiarism")[2:4] == (2, 2)
    assert row(result, "STS16", "all")[2:4] == (14, 2)


def test_shuffled_pairs_score_the_same(senteval: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = [(f"angle {a}", f"angle {b}", g) for a, b, g in rng.integers(0, 6, (20, 3))]
    write_subset(senteval, "STS14", "images", pairs)
    before = evaluate_sts(encode_angles, senteval)
    write_subset(senteval, "STS14", "images", [pairs[i] for i in rng.permutation(20)])
    assert evaluate_sts(encode_angles, senteval).scores == pytest.approx(before.scores)


def test_alignment_and_uniformity_are_over_all_splits_with_repetitions(senteval: Path) -> None:
    folder = senteval / "STS" / "STSBenchmark"
    write_benchmark(folder / "sts-train.csv", [("angle 0", "angle 90", 4.5), ("angle 0", "angle 180", 4)])
    write_benchmark(folder / "sts-dev.csv", [("angle 0", "angle 0", 5.0)])
    write_benchmark(folder / "sts-test.csv", [("angle 0", "angle 90", 0), ("angle 0", "angle 0", 1)])
    result = evaluate_sts(encode_angles, senteval)
    assert result.alignment == pytest.approx(1)  # squared distances 2 (gold 4.5) and 0 (gold 5); gold 4 is not above 4
    # 10 sentences: seven at 0, two at 90, one at 180 degrees; squared distances 0, 2 and 4
    near, orthogonal, opposite = 21 + 1, 7 * 2 + 2, 7
    mean = (near + orthogonal * math.exp(-4) + opposite * math.exp(-8)) / 45
    assert result.uniformity == pytest.approx(math.log(mean), abs=1e-6)


def test_no_positive_pair_is_said(senteval: Path) -> None:
    for split in ("train", "dev", "test"):
        path = senteval / "STS" / "STSBenchmark" / f"sts-{split}.csv"
        write_benchmark(path, [("angle 0", "angle 90", 0.9), ("angle 0", "angle 9", 1)])
    result = evaluate_sts(encode_angles, senteval)
    assert math.isnan(result.alignment)
    assert result.notes == ("alignment is not defined: no pair has a gold score above 4",)


@pytest.mark.parametrize("header", ["번호\t문장_가\t문장_나\t관련도\t판단\n", "a\tb\tc\td\te\n", ""])
def test_a_translated_sick_is_read_by_position_as_in_senteval(senteval: Path, header: str) -> None:
    expected = load_sts(senteval)[-1].subsets[0].pairs
    path = senteval / "SICK" / "SICK_test_annotated.txt"
    rows = path.read_text().partition("\n")[2]
    path.write_text(header + rows, encoding="utf-8")
    found = load_sts(senteval)[-1].subsets[0].pairs
    assert (found.first, found.second, found.gold.tolist()) == (
        expected.first,
        expected.second,
        expected.gold.tolist(),
    )
    with pytest.raises(DataError, match=r"5 column\(s\)"):  # elsewhere, nothing marks it as SICK
        read_scored_pairs(path)


def test_a_sick_of_another_width_is_refused(senteval: Path) -> None:
    path = senteval / "SICK" / "SICK_test_annotated.txt"
    path.write_text("x\ta\tb\tscore\n1\tangle 0\tangle 9\t4\n")
    with pytest.raises(DataError, match=r"SICK_test_annotated\.txt, line 1: found 4 column"):
        load_sts(senteval)


@pytest.mark.parametrize(
    "missing",
    [
        "STS/STS15-en-test/STS.gs.belief.txt",
        "STS/STSBenchmark/sts-train.csv",
        "STS/STSBenchmark/sts-test.csv",
        "SICK/SICK_test_annotated.txt",
    ],
)
def test_a_missing_file_is_named_with_its_remedy(senteval: Path, missing: str) -> None:
    (senteval / missing).unlink()
    with pytest.raises(DataError) as caught:
        evaluate_sts(encode_angles, senteval)
    for part in (str(senteval / missing), "download_dataset.sh", "--download", "STS/ and SICK/"):
        assert part in str(caught.value)


def test_files_of_different_length_are_both_named(senteval: Path) -> None:
    folder = senteval / "STS" / "STS12-en-test"
    (folder / "STS.gs.MSRvid.txt").write_text("5\n3\n")
    with pytest.raises(DataError, match=r"STS\.input\.MSRvid\.txt has 3 lines, but .*STS\.gs\.MSRvid\.txt has 2"):
        load_sts(senteval)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("STS.input.MSRvid.txt", "a\tb\nno tab\nc\td\n", "line 2: expected two sentences separated by a tab"),
        ("STS.gs.MSRvid.txt", "5\n3\nhigh\n", "line 3: expected a number or nothing; got 'high'"),
    ],
)
def test_a_broken_line_is_named(senteval: Path, file: str, text: str, message: str) -> None:
    (senteval / "STS" / "STS12-en-test" / file).write_text(text)
    with pytest.raises(DataError, match=message):
        load_sts(senteval)


def test_line_ends_of_windows_and_a_missing_last_one_change_nothing(senteval: Path) -> None:
    folder = senteval / "STS" / "STS12-en-test"
    (folder / "STS.input.MSRvid.txt").write_bytes(b"angle 0\tangle 10\r\nangle 0\tangle 40\r\n")
    (folder / "STS.gs.MSRvid.txt").write_bytes(b"5\r\n3")
    pairs = load_sts(senteval)[0].subsets[1].pairs
    assert pairs.second == ["angle 10", "angle 40"]
    assert pairs.gold.tolist() == [5, 3]


@pytest.mark.data
def test_the_real_files_hold_the_published_numbers_of_pairs(data_dir: Path) -> None:
    tasks = load_sts(data_dir)
    assert {task.name: sum(len(subset.pairs.gold) for subset in task.subsets) for task in tasks} == PAIRS
    assert [len(split.gold) for split in load_sts_benchmark(data_dir)] == [5749, 1500, 1379]
    assert [len(split.gold) for split in load_korsts(data_dir)] == [5749, 1500, 1379]
    assert {task.name: tuple(subset.name for subset in task.subsets) for task in tasks[:5]} == SUBSETS
    assert sum(subset.pairs.dropped for subset in tasks[4].subsets) == 9183 - 1186


@pytest.mark.parametrize("score", ["5.1", "-1", "nan", "inf"])
def test_a_score_outside_of_the_scale_is_named_with_its_line(senteval: Path, score: str) -> None:
    path = senteval / "STS" / "STS14-en-test" / "STS.gs.images.txt"
    path.write_text(f"5\n{score}\n1\n", encoding="utf-8")
    with pytest.raises(DataError, match=rf"STS\.gs\.images\.txt, line 2: expected a score from 0 to 5; got '{score}'"):
        load_sts(senteval)


def test_a_benchmark_score_outside_of_the_scale_is_named_with_its_pair(senteval: Path) -> None:
    path = senteval / "STS" / "STSBenchmark" / "sts-test.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("\t3\t", "\t30\t"), encoding="utf-8")
    with pytest.raises(
        DataError, match=r"sts-test\.csv: gold scores must be from 0 to 5; 'angle 0' and 'angle 40' have 30"
    ):
        load_sts(senteval)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_another_encoding_is_named_with_its_line(senteval: Path, mark: bytes) -> None:
    path = senteval / "STS" / "STS13-en-test" / "STS.input.OnWN.txt"
    path.write_bytes(mark + "angle 0\tangle 1\nangle 0\tcaf\u00e9\n".encode("latin-1"))
    with pytest.raises(
        DataError, match=r"STS\.input\.OnWN\.txt, line 2: not UTF-8 \(byte 0xe9\); save the file as UTF-8"
    ):
        load_sts(senteval)
