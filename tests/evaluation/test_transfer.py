"""SentEval's transfer tasks: the files as they come, nothing of the test in the choice, scores by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from simcse_kit.errors import DataError
from simcse_kit.evaluation import SuiteResult, evaluate_transfer
from simcse_kit.evaluation.transfer_data import BINARY, TASKS, load_transfer

from .conftest import Counting

MRPC_HEAD = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"


def encode_points(sentences: Sequence[str]) -> np.ndarray:
    """`... X Y` is the point (X, Y): classes are as separable as the numbers in their texts."""
    return np.array([[float(word) for word in sentence.split()[-2:]] for sentence in sentences], dtype=np.float32)


def line(center: float, number: int, wrong: bool = False) -> str:
    draw = np.random.default_rng(number)
    x = (-center if wrong else center) + 0.1 * draw.standard_normal()
    return f"text {number} {x:.3f} {draw.standard_normal():.3f}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven small tasks in SentEval's layout; of MR a tenth has the label of the other side."""
    for task, (positive, negative) in BINARY.items():
        (tmp_path / task).mkdir()
        for file, center, first in ((positive, 1.0, 0), (negative, -1.0, 100)):
            rows = [line(center, first + i, wrong=task == "MR" and i % 10 == 0) for i in range(40)]
            (tmp_path / task / file).write_bytes("".join(f"{row}\n" for row in rows).encode("latin-1"))
    binary = tmp_path / "SST" / "binary"
    binary.mkdir(parents=True)
    for split, count in (("train", 40), ("dev", 20), ("test", 20)):
        rows = [f"{line(1 if i % 2 else -1, 300 + i)}\t{i % 2}\n" for i in range(count)]
        (binary / f"sentiment-{split}").write_text("".join(rows))
    (tmp_path / "TREC").mkdir()
    for file, count in (("train_5500.label", 60), ("TREC_10.label", 12)):
        rows = [f"{('NUM', 'HUM', 'LOC')[i % 3]}:x caf\xe9 {line(4 * (i % 3), 500 + i)}\n" for i in range(count)]
        (tmp_path / "TREC" / file).write_bytes("".join(rows).encode("latin-1"))
    (tmp_path / "MRPC").mkdir()
    for split, count in (("train", 40), ("test", 10)):
        rows = [f"{i % 2}\t1\t2\ta {i} 1 0\tb {i} {1 if i % 2 else -1} 0\n" for i in range(count)]
        (tmp_path / "MRPC" / f"msr_paraphrase_{split}.txt").write_text("\ufeff" + MRPC_HEAD + "".join(rows))
    return tmp_path


def test_separable_classes_are_told_apart_and_wrong_labels_cost_what_they_are(folder: Path) -> None:
    counting = Counting(encode_points)
    result = evaluate_transfer(counting, folder)
    assert list(result.scores) == [*TASKS, "avg"]
    assert result.scores["MR"] == pytest.approx(90)
    assert all(result.scores[task] == 100 for task in TASKS[1:])
    assert result.scores["avg"] == pytest.approx(np.mean([result.scores[task] for task in TASKS]))
    assert len(counting.calls) == 1
    assert len(set(counting.calls[0])) == len(counting.calls[0]) == result.sentences
    assert result.alignment is None


def test_outcomes_are_right_or_wrong_for_each_example(folder: Path) -> None:
    result = evaluate_transfer(encode_points, folder, tasks=["MR", "MRPC"])
    mr, mrpc = result.outcomes
    assert 100 * mr.values.mean() == pytest.approx(result.scores["MR"])
    wrong = {text for text, value in zip(mr.texts[0], mr.values, strict=True) if not value}
    assert wrong == {line(1.0, i, wrong=True) for i in range(0, 40, 10)} | {
        line(-1.0, 100 + i, wrong=True) for i in range(0, 40, 10)
    }
    assert len(mrpc.values) == 10
    assert [row.test for row in result.details] == [80, 10]


def test_labels_without_sense_are_at_chance(tmp_path: Path) -> None:
    """Nothing of a test fold reaches training or the choice: random labels of random points stay unlearned."""
    (tmp_path / "MR").mkdir()
    draw = np.random.default_rng(0)
    for file in BINARY["MR"]:
        rows = [f"{file} {i} {draw.standard_normal():.4f} {draw.standard_normal():.4f}\n" for i in range(500)]
        (tmp_path / "MR" / file).write_text("".join(rows))
    score = evaluate_transfer(encode_points, tmp_path, tasks=["MR"]).scores["MR"]
    assert score == pytest.approx(50, abs=5)  # three standard errors


def test_the_same_again(folder: Path) -> None:
    first, second = (evaluate_transfer(encode_points, folder, tasks=["MR", "TREC"]) for _ in range(2))
    assert first.scores == second.scores


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("MR/rt-polarity.pos", None, r"MR/rt-polarity\.pos is missing\..*download_dataset"),
        ("CR/custrev.neg", b"\n\n", r"custrev\.neg contains no sentence"),
        (
            "SST/binary/sentiment-dev",
            b"fine\t1\nno label\n",
            r"sentiment-dev, line 2: expected a sentence, a tab and 0 or 1",
        ),
        (
            "TREC/TREC_10.label",
            b"NUM:x how many ?\nno colon\n",
            r"TREC_10\.label, line 2: expected a label such as NUM:date",
        ),
        ("MRPC/msr_paraphrase_test.txt", b"1\t1\t2\ta\tb\n", r"test\.txt, line 1: expected the columns Quality"),
        (
            "MRPC/msr_paraphrase_test.txt",
            (MRPC_HEAD + "7\t1\t2\ta\tb\n").encode(),
            r"test\.txt, line 2: expected 0 or 1, two",
        ),
    ],
)
def test_a_bad_file_is_named_with_its_line(folder: Path, file: str, content: bytes | None, message: str) -> None:
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(DataError, match=message):
        evaluate_transfer(encode_points, folder)


def test_bad_choices_are_named(folder: Path) -> None:
    with pytest.raises(DataError, match=r"transfer tasks must be among MR, .*; got SNLI"):
        load_transfer(folder, ["MR", "SNLI"])
    with pytest.raises(DataError, match="folds must be at least 2; got 1"):
        evaluate_transfer(encode_points, folder, folds=1)
    with pytest.raises(DataError, match="MR: a class has only 40 examples; 50 folds need as many"):
        evaluate_transfer(encode_points, folder, folds=50)


@pytest.mark.data
def test_the_real_files_are_read_whole(data_dir: Path) -> None:
    tasks = {task.name: task for task in load_transfer(data_dir)}
    sizes = {
        name: (len(task.train), *(len(part) for part in (task.dev, task.test) if part)) for name, task in tasks.items()
    }
    assert sizes == {
        "MR": (10662,),
        "CR": (3775,),
        "SUBJ": (10000,),
        "MPQA": (10606,),
        "SST2": (67349, 872, 1821),
        "TREC": (5452, 500),
        "MRPC": (4076, 1725),
    }


def test_the_result_is_plain(folder: Path) -> None:
    result = evaluate_transfer(encode_points, folder, tasks=["CR"])
    assert isinstance(result, SuiteResult)
    written = result.to_json()
    assert written["alignment"] is None
    assert written["details"][0]["task"] == "CR"  # type: ignore[index]
