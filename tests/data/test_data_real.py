"""The public data sets read to the last pair."""

from __future__ import annotations

from pathlib import Path

import pytest

from simcse_kit.data import read_examples, read_scored_pairs, read_sentences

pytestmark = pytest.mark.data


@pytest.mark.parametrize(
    ("name", "count", "scale"),
    [
        ("senteval/STS/STSBenchmark/sts-train.csv", 5749, (0, 5)),
        ("senteval/STS/STSBenchmark/sts-dev.csv", 1500, (0, 5)),
        ("senteval/STS/STSBenchmark/sts-test.csv", 1379, (0, 5)),
        ("senteval/SICK/SICK_train.txt", 4500, (1, 5)),
        ("senteval/SICK/SICK_trial.txt", 500, (1, 5)),
        ("senteval/SICK/SICK_test_annotated.txt", 4927, (1, 5)),
        ("korsts/sts-train.tsv", 5749, (0, 5)),
        ("korsts/sts-dev.tsv", 1500, (0, 5)),
        ("korsts/sts-test.tsv", 1379, (0, 5)),
    ],
)
def test_scored_pairs(data_dir: Path, name: str, count: int, scale: tuple[float, float]) -> None:
    pairs = read_scored_pairs(data_dir / name)
    assert len(pairs.first) == len(pairs.second) == len(pairs.gold) == count
    assert (pairs.gold.min(), pairs.gold.max()) == scale
    assert pairs.dropped == 0


def test_text_of_sts_benchmark_is_unchanged(data_dir: Path) -> None:
    path = data_dir / "senteval/STS/STSBenchmark/sts-train.csv"
    lines = path.read_bytes().decode().removesuffix("\n").split("\n")
    pairs = read_scored_pairs(path)
    assert [*zip(pairs.first, pairs.second, strict=True)] == [
        (cells[5].strip(), cells[6].strip()) for cells in (line.split("\t") for line in lines)
    ]


def test_training_files(data_dir: Path) -> None:
    triplets = read_examples(data_dir / "train/nli_triplets.csv")
    assert (len(triplets), triplets.width, triplets.empty) == (27_560, 3, 0)
    assert len(read_sentences(data_dir / "train/wiki_sentences.txt")) == 11_914
