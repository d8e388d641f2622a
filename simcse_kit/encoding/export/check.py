"""Cost of an export on real sentences: vectors, correlation with human judgement, speed and size."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simcse_kit.data.sample import sample_sentences
from simcse_kit.evaluation import evaluate_pairs
from simcse_kit.evaluation.metrics import cosine_pairs
from simcse_kit.types import EncodeFn, ScoredPairs

_TURNS = 3


class ExportCheck(NamedTuple):
    """An exported model compared with its original, on N sentences and on scored pairs."""

    sentences: int
    mean_cosine: float | None  # of a sentence's two vectors; None if their dimensions differ
    lowest_cosine: float | None
    pairs: int
    spearman: float  # x 100, of the exported model
    spearman_original: float
    speed: float  # sentences per second, of the exported model
    speed_original: float
    megabytes: float  # of the folder

    @property
    def lost(self) -> float:
        """Loss of Spearman's correlation x 100."""
        return self.spearman_original - self.spearman


def check_export(original: EncodeFn, exported: EncodeFn, folder: Path, pairs: ScoredPairs) -> ExportCheck:
    """Encode the package's sentences and the pairs with both models in turns; speeds are medians."""
    texts = list(dict.fromkeys([*sample_sentences(), *pairs.first, *pairs.second]))[:2000]
    seconds: tuple[list[float], list[float]] = ([], [])
    vectors = [original(texts), exported(texts)]  # also warms up
    for _ in range(_TURNS):
        for taken, encode in zip(seconds, (original, exported), strict=True):
            began = time.perf_counter()
            encode(texts)
            taken.append(time.perf_counter() - began)
    same_width = vectors[0].shape[1] == vectors[1].shape[1]
    cosines = cosine_pairs(*vectors) if same_width else np.zeros(0)
    scores = [next(iter(evaluate_pairs(encode, pairs).scores.values())) for encode in (original, exported)]
    return ExportCheck(
        sentences=len(texts),
        mean_cosine=float(cosines.mean()) if same_width else None,
        lowest_cosine=float(cosines.min()) if same_width else None,
        pairs=len(pairs.gold),
        spearman=scores[1],
        spearman_original=scores[0],
        speed=len(texts) / statistics.median(seconds[1]),
        speed_original=len(texts) / statistics.median(seconds[0]),
        megabytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6,
    )
