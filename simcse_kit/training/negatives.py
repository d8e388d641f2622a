"""`prepare_negatives`: hard negatives, texts that a model finds near an anchor and that are not its positives.

Parameters, meanings and defaults (except ``num_negatives``) are those of sentence-transformers' ``mine_hard_negatives``
(6.2). One difference: the anchor's own text is never its negative.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from simcse_kit.bars import tqdm
from simcse_kit.data import read_examples, read_sentences
from simcse_kit.data.prepare.output import check_new_file, write_triplets
from simcse_kit.errors import DataError
from simcse_kit.search.vectors import exact_nearest
from simcse_kit.types import Vectors

if TYPE_CHECKING:
    from simcse_kit.model import SimCSE

SamplingStrategy = Literal["top", "random"]
STRATEGIES = get_args(SamplingStrategy)
QUERIES = 1024  # anchors per search
NONE = -np.inf  # score of an excluded candidate


class NegativeCounts(NamedTuple):
    """Counts of pairs read, candidates excluded (by reason) and triplets written.

    Candidates are the ``range_max`` + (most positives of an anchor) nearest texts of each anchor, without its
    positives.
    """

    pairs: int  # different ones
    empty_rows: int
    bad_rows: int  # only with skip_bad_rows
    repeated_pairs: int
    anchors: int  # different ones
    corpus: int  # different texts to choose from
    skipped_absolute_margin: int  # candidates
    skipped_relative_margin: int
    skipped_max_score: int
    skipped_min_score: int
    anchors_short: int  # anchors with some negatives, but fewer than num_negatives
    anchors_without: int  # anchors without negatives: their pairs are not in the output
    written: int  # triplets


class Choice(NamedTuple):
    """Which neighbors of an anchor may be its negatives, and how many; see `prepare_negatives`."""

    range_min: int
    range_max: int
    max_score: float | None
    min_score: float | None
    absolute_margin: float | None
    relative_margin: float | None
    num_negatives: int
    sampling_strategy: SamplingStrategy


def prepare_negatives(
    pairs: str | Path | Sequence[Sequence[str]],
    output: str | Path,
    model: SimCSE | str | Path,
    *,
    corpus: str | Path | Sequence[str] | None = None,
    range_min: int = 0,
    range_max: int | None = None,
    max_score: float | None = None,
    min_score: float | None = None,
    absolute_margin: float | None = None,
    relative_margin: float | None = None,
    num_negatives: int = 1,
    sampling_strategy: SamplingStrategy = "top",
    seed: int = 42,
    columns: Sequence[str] | None = None,
    header: bool | None = None,
    skip_bad_rows: bool = False,
    overwrite: bool = False,
    batch_size: int | None = None,
    show_progress_bar: bool = False,
) -> NegativeCounts:
    """Write (anchor, positive, hard negative) rows: sent0, sent1, hard_neg.

    The search is exact, by cosine, with the vectors of all texts in memory. All rows of an anchor are its positives.

    Args:
        pairs: rows for `read_examples`, of width 2.
        output: a `.csv` file, for `read_examples`.
        model: a `SimCSE`, or the name or folder of one.
        corpus: further sentences to choose negatives from, read by `read_sentences`.
        range_min: number of nearest candidates to skip, after limits of scores and margins.
        range_max: number of candidates to check; None: range_min + num_negatives + the most positives of an anchor, or
            with max_score or a margin range_min + 10 num_negatives + these positives.
        max_score: largest cosine of a negative with the anchor.
        min_score: smallest cosine.
        absolute_margin: a negative's cosine must be lower by this than that of the anchor's farthest positive.
        relative_margin: the same, as a share of that positive's cosine.
        num_negatives: negatives per anchor. More than one repeats the pair in several rows, and rows of a batch are
            negatives of each other.
        sampling_strategy: ``top``, the nearest; or ``random``, drawn from the candidates.
        seed: random seed of the draw.
        columns: names of the two columns.
        header: as in `read_examples`.
        skip_bad_rows: skip and count rows that cannot be read, instead of a `DataError`.
        overwrite: replace ``output``.
        batch_size: sentences per forward pass; None: the fastest number.
        show_progress_bar: show one.

    Raises:
        DataError: a file or row cannot be used, an argument is not allowed, or no anchor has a negative.
        ModelError: the model cannot be loaded.
        DiskFullError: the disk is full; existing files are untouched.
    """
    from simcse_kit.model import SimCSE

    target = Path(output)
    inputs = [source for source in (pairs, corpus) if isinstance(source, str | Path)]
    check_new_file(target, inputs, suffix=".csv", overwrite=overwrite)
    data = read_examples(pairs, columns=columns, header=header, skip_bad_rows=skip_bad_rows)
    if data.width != 2:
        raise DataError(
            f"{data.source} already has hard negatives; to mine new ones, select two columns: --columns sent0,sent1"
        )
    positives: dict[str, dict[str, None]] = {}
    for anchor, positive in data.rows:
        positives.setdefault(anchor, {})[positive] = None
    most = max(Counter(data.column(0)).values())
    range_max = _range_max(range_max, range_min, num_negatives, most, (max_score, absolute_margin, relative_margin))
    choice = Choice(
        range_min, range_max, max_score, min_score, absolute_margin, relative_margin, num_negatives, sampling_strategy
    )
    _check(choice)
    others = [] if corpus is None else read_sentences(corpus, skip_bad_rows=skip_bad_rows).column(0)
    texts = list(dict.fromkeys([*others, *data.column(1)]))
    encoder = model if isinstance(model, SimCSE) else SimCSE(model)
    arguments = {"batch_size": batch_size, "show_progress_bar": show_progress_bar, "normalize_embeddings": True}
    documents: Vectors = encoder.encode_document(texts, **arguments)
    queries: Vectors = encoder.encode_query(list(positives), **arguments)
    tally: Counter[str] = Counter()
    miner = _Miner(texts, documents, choice, most, np.random.default_rng(seed), tally)
    triplets = (
        (anchor, positive, negative)
        for anchor, negatives in miner.mine(positives, queries, show_progress_bar)
        for positive in positives[anchor]
        for negative in negatives
    )
    kept = sum(map(len, positives.values()))
    tally.update(pairs=kept, empty_rows=data.empty, bad_rows=len(data.skipped), repeated_pairs=len(data) - kept)
    tally.update(anchors=len(positives), corpus=len(texts))
    found = list(triplets)
    if not found:
        raise DataError(
            f"{data.source}: no anchor has a negative within these limits "
            f"({', '.join(f'{name} {value}' for name, value in choice._asdict().items() if value is not None)}); "
            "raise range_max or max_score, lower the margins, or add texts (--corpus)"
        )
    tally["written"] = write_triplets(target, found)
    return NegativeCounts(**{name: tally[name] for name in NegativeCounts._fields})


def _range_max(
    range_max: int | None, range_min: int, num_negatives: int, most_positives: int, limits: Sequence[float | None]
) -> int:
    if range_max is not None:
        return range_max
    spare = 1 if all(limit is None for limit in limits) else 10  # some will be excluded
    return range_min + num_negatives * spare + most_positives


def _check(choice: Choice) -> None:
    if choice.num_negatives < 1:
        raise DataError(f"num_negatives must be at least 1; got {choice.num_negatives}")
    if choice.range_min < 0:
        raise DataError(f"range_min must be at least 0; got {choice.range_min}")
    if choice.num_negatives > choice.range_max - choice.range_min:
        raise DataError(
            f"cannot take {choice.num_negatives} negatives (num_negatives) from the ranks between range_min "
            f"{choice.range_min} and range_max {choice.range_max}; raise range_max or lower the others"
        )
    if choice.sampling_strategy not in STRATEGIES:
        raise DataError(f"sampling_strategy must be one of {', '.join(STRATEGIES)}; got {choice.sampling_strategy!r}")


class _Miner:
    """Finds the negatives of anchors among texts; counts excluded candidates."""

    def __init__(
        self,
        texts: Sequence[str],
        documents: Vectors,
        choice: Choice,
        most_positives: int,
        draw: np.random.Generator,
        tally: Counter[str],
    ) -> None:
        self._texts = texts
        self._documents = documents
        self._choice = choice
        self._window = choice.range_max + most_positives
        self._draw = draw
        self._tally = tally
        self._row = {text: row for row, text in enumerate(texts)}

    def mine(
        self, positives: dict[str, dict[str, None]], queries: Vectors, bar: bool
    ) -> Iterator[tuple[str, list[str]]]:
        """Each anchor with its negatives, nearest first. ``queries``: unit vectors of the anchors, (Q, D)."""
        anchors = list(positives)
        with tqdm(total=len(anchors), desc="Mining", unit="anchor", disable=not bar) as progress:
            for start in range(0, len(anchors), QUERIES):
                chunk = queries[start : start + QUERIES]
                found = exact_nearest(chunk, self._documents, 1 + self._window)  # may contain the anchor itself
                for i, (anchor, query) in enumerate(zip(anchors[start : start + QUERIES], chunk, strict=True)):
                    hits = [(self._texts[row], float(s)) for s, row in zip(found.scores[i], found.rows[i], strict=True)]
                    others = [(text, score) for text, score in hits if text != anchor][: self._window]
                    candidates = [(text, score) for text, score in others if text not in positives[anchor]]
                    rows = [self._row[text] for text in positives[anchor]]
                    yield anchor, self._pick(candidates, float((self._documents[rows] @ query).min()))
                progress.update(len(chunk))

    def _pick(self, candidates: list[tuple[str, float]], positive_score: float) -> list[str]:
        scores = self._left(np.array([score for _, score in candidates], np.float64), positive_score)
        left = [text for (text, _), score in zip(candidates, scores, strict=True) if score != NONE]
        left = left[: self._choice.range_max][self._choice.range_min :]
        wanted = self._choice.num_negatives
        if len(left) < wanted:
            self._tally["anchors_short" if left else "anchors_without"] += 1
        elif self._choice.sampling_strategy == "random":
            left = [left[i] for i in sorted(self._draw.choice(len(left), wanted, replace=False))]
        return left[:wanted]

    def _left(self, scores: NDArray[np.float64], positive_score: float) -> NDArray[np.float64]:
        """Scores (K,); those outside the limits become `NONE`."""
        choice = self._choice
        if choice.absolute_margin is not None:
            self._skip("absolute_margin", scores, scores + choice.absolute_margin > positive_score)
        if choice.relative_margin is not None:
            most = positive_score - abs(positive_score) * choice.relative_margin
            self._skip("relative_margin", scores, scores > most)
        if choice.max_score is not None:
            self._skip("max_score", scores, scores > choice.max_score)
        if choice.min_score is not None:
            self._skip("min_score", scores, (scores < choice.min_score) & (scores != NONE))
        return scores

    def _skip(self, limit: str, scores: NDArray[np.float64], out: NDArray[np.bool_]) -> None:
        self._tally[f"skipped_{limit}"] += int(out.sum())
        scores[out] = NONE
