"""A tiny SentEval folder with hand-worked scores, and an encoder to go with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from simcse_kit.evaluation.sts import SUBSETS

WRITTEN_PAIRS = [("angle 0", "angle 10", 5), ("angle 0", "angle 40", 3), ("angle 0", "angle 80", 1)]


def encode_angles(sentences: Sequence[str]) -> np.ndarray:
    """`angle A` is the unit vector at A degrees, so the cosine of a pair falls with the difference of its angles."""
    angles = np.radians([float(sentence.split()[1]) for sentence in sentences])
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def write_subset(root: Path, year: str, name: str, pairs: Sequence[tuple[str, str, object]]) -> None:
    folder = root / "STS" / f"{year}-en-test"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"STS.input.{name}.txt").write_text("".join(f"{a}\t{b}\n" for a, b, _ in pairs), encoding="utf-8")
    (folder / f"STS.gs.{name}.txt").write_text("".join(f"{gold}\n" for _, _, gold in pairs), encoding="utf-8")


def write_benchmark(path: Path, pairs: Sequence[tuple[str, str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"genre\tfile\t2012\t{i}\t{gold}\t{a}\t{b}\n" for i, (a, b, gold) in enumerate(pairs)]
    path.write_text("".join(rows), encoding="utf-8")


def write_sick(root: Path, pairs: Sequence[tuple[str, str, object]]) -> None:
    (root / "SICK").mkdir(parents=True)
    rows = [f"{i}\t{a}\t{b}\t{gold}\tNEUTRAL\n" for i, (a, b, gold) in enumerate(pairs)]
    header = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\n"
    (root / "SICK" / "SICK_test_annotated.txt").write_text(header + "".join(rows), encoding="utf-8")


def write_senteval(root: Path) -> None:
    for year, names in SUBSETS.items():
        for name in names:
            write_subset(root, year, name, WRITTEN_PAIRS)
    for split in ("train", "dev", "test"):
        write_benchmark(root / "STS" / "STSBenchmark" / f"sts-{split}.csv", WRITTEN_PAIRS)
    write_sick(root, WRITTEN_PAIRS)
