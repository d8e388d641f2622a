"""Labelled texts of your own: do the nearest texts of a text have its label?"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.bars import tqdm
from simcse_kit.data import LabelledTexts, read_labelled
from simcse_kit.data.reading import SUFFIXES
from simcse_kit.errors import DataError
from simcse_kit.evaluation.encoding import Numbers, SentencePool
from simcse_kit.evaluation.metrics import unit
from simcse_kit.evaluation.neighbours import Classes, K, NeighbourScores, k_means, neighbour_scores
from simcse_kit.evaluation.results import Outcome, SuiteResult
from simcse_kit.types import EncodeFn, Vectors
from simcse_kit.wording import counted

LABELS_HELP = "a folder needs train.tsv and test.tsv (or csv, jsonl, parquet) with the columns text and label"
SCORES = ("p@10", "p@1", "map", "knn accuracy")  # in the order of `NeighbourScores`
V_MEASURE = "v-measure"
STARTS = 3  # starts of k-means
CLUSTERS_AT_MOST = 1000
_CELLS = 1 << 22  # cosines per block, 16 MiB
_SHOWN = 3  # labels named in a note


class LabelRow(NamedTuple):
    """One class, scores times 100."""

    label: str
    texts: int  # that are queries
    searched: int  # texts of the class that can be found, without the query itself
    p_at_10: float
    p_at_1: float
    map: float
    knn_accuracy: float


class Labelled(NamedTuple):
    """Query texts, and the texts in which to search: the same object if each text is searched among the others."""

    queries: LabelledTexts
    searched: LabelledTexts

    @property
    def alone(self) -> bool:
        """Whether both are one file, so that a query itself is excluded."""
        return self.queries is self.searched


def evaluate_labels(
    encode: EncodeFn,
    data: str | Path | Labelled,
    *,
    label_column: str = "label",
    text_column: str | None = None,
    show_progress_bar: bool = False,
) -> SuiteResult:
    """P@10, P@1, MAP and 10-NN accuracy of exact search by cosine, and V-measure of k-means; all times 100.

    P@10 is the share of a text's ten nearest with its label, P@1 the accuracy of the nearest one (1-NN), MAP the mean
    average precision over all texts, 10-NN accuracy the vote of the ten (ties go to the nearer label). The V-measure
    (Rosenberg & Hirschberg, 2007) compares labels with a k-means of as many clusters, over the query texts. `encode` is
    called once, with every distinct text once. Queries are processed in blocks, so memory grows with N, time with N².
    k-means takes N · classes · D per step, and mini-batches above 10,000 texts; it is skipped above 1,000 classes.

    Args:
        encode: N texts to (N, D).
        data: a file, whose texts are each searched for among the others; or a folder, where the texts of ``test.*`` are
            searched for among those of ``train.*``. Formats and columns as in `simcse_kit.data.read_labelled`. Or both
            in memory, as `Labelled`.
        label_column: name of the column with the labels.
        text_column: name of the column with the texts. None: see `simcse_kit.data.read_labelled`.
        show_progress_bar: a bar over the queries.

    Raises:
        DataError: a file or column is missing, there is only one class or fewer than 11 texts, or no label of a text
            can be found.
    """
    start = time.perf_counter()
    loaded = data
    if not isinstance(loaded, Labelled):
        loaded = load_labels(loaded, label_column=label_column, text_column=text_column)
    names, numbers = np.unique([*loaded.queries.labels, *loaded.searched.labels], return_inverse=True)
    gold, classes = np.split(numbers, [len(loaded.queries.labels)])
    others = np.bincount(classes, minlength=len(names)) - loaded.alone  # (C,) texts that a query of each class can find
    pool = SentencePool()
    queries = pool.add(loaded.queries.texts)
    searched = queries if loaded.alone else pool.add(loaded.searched.texts)
    notes = _notes(loaded, names[gold], others[gold], queries, searched)
    vectors = unit(pool.encode(encode)).astype(np.float32)
    blocks = _blocks(vectors, queries, searched, alone=loaded.alone, shown=show_progress_bar)
    parts = [neighbour_scores(cosines, gold[at], classes) for at, cosines in blocks]
    scores = NeighbourScores(*(np.concatenate(each) for each in zip(*parts, strict=True)))
    clustered, note = _v_measure(vectors[queries], gold)
    return SuiteResult(
        suite="labels",
        scores={name: 100 * float(values.mean()) for name, values in zip(SCORES, scores, strict=True)}
        | {V_MEASURE: clustered},
        details=_rows(names, gold, others, scores),
        seconds=time.perf_counter() - start,
        sentences=len(pool),
        data=loaded.queries.source if isinstance(data, Labelled) else str(data),
        notes=(*notes, note),
        outcomes=tuple(
            Outcome(name, "mean", values, texts=(loaded.queries.texts,))
            for name, values in zip(SCORES, scores, strict=True)
        ),
    )


def load_labels(data: str | Path, *, label_column: str = "label", text_column: str | None = None) -> Labelled:
    """Read a file, or ``train`` and ``test`` of a folder.

    Raises:
        DataError: a file or column is missing, a row cannot be used, or there are too few texts.
    """
    folder = None if str(data).startswith("hf:") else Path(data).expanduser()
    places = [data] if folder is None or not folder.is_dir() else [_split(folder, name) for name in ("test", "train")]
    read = [read_labelled(place, label_column=label_column, text_column=text_column) for place in places]
    loaded = Labelled(read[0], read[-1])
    texts, kinds = loaded.searched.texts, set(loaded.searched.labels)
    if len(texts) - loaded.alone < K:
        least = K + loaded.alone
        raise DataError(f"{loaded.searched.source} holds {len(texts)} labelled texts; at least {least} are needed")
    if len(kinds) == 1:
        raise DataError(
            f"{loaded.searched.source}: all texts have the label {kinds.pop()!r:.100}; two labels are needed"
        )
    counts = Counter(loaded.searched.labels)
    if not any(counts[label] > loaded.alone for label in loaded.queries.labels):
        raise DataError(
            f"{loaded.searched.source}: no two texts share a label (--label-column {label_column})"
            if loaded.alone
            else f"{loaded.queries.source} and {loaded.searched.source} have no label in common; the first has "
            f"{loaded.queries.labels[0]!r:.100}, the second {loaded.searched.labels[0]!r:.100}"
        )
    return loaded


def _split(folder: Path, name: str) -> Path:
    """The only file of a split, in any format."""
    suffixes = {ending for suffix in SUFFIXES for ending in (suffix, f"{suffix}.gz")}
    found = sorted(path for path in folder.iterdir() if path.name.lower() in {name + suffix for suffix in suffixes})
    if len(found) != 1:
        which = f"{len(found)} files {', '.join(path.name for path in found)}" if found else f"no {name}.tsv"
        raise DataError(f"{folder} holds {which}; {LABELS_HELP}")
    return found[0]


def _blocks(
    vectors: Vectors, queries: Numbers, searched: Numbers, *, alone: bool, shown: bool
) -> Iterator[tuple[slice, Vectors]]:
    """Query numbers, with their cosines to all N searched texts, (q, N); a query itself is at -inf."""
    distinct, places = np.unique(searched, return_inverse=True)  # equal texts have equal cosines, to the last bit
    corpus = vectors[distinct]
    size = max(1, _CELLS // len(searched))
    with tqdm(total=len(queries), desc="search", unit="text", disable=not shown) as bar:
        for first in range(0, len(queries), size):
            at = slice(first, min(first + size, len(queries)))
            cosines = (vectors[queries[at]] @ corpus.T)[:, places]
            if alone:
                cosines[np.arange(len(cosines)), np.arange(at.start, at.stop)] = -np.inf
            yield at, cosines
            bar.update(len(cosines))


def _v_measure(vectors: Vectors, gold: Classes) -> tuple[float, str]:
    """V-measure, mean over several starts of k-means, times 100, and a note."""
    from sklearn.metrics import v_measure_score

    count = len(np.unique(gold))
    if not 1 < count <= CLUSTERS_AT_MOST:
        return float("nan"), f"{V_MEASURE} is not measured: it needs 2 to {CLUSTERS_AT_MOST:,} classes; got {count:,}"
    found = [100 * v_measure_score(gold, k_means(vectors, count, seed=seed)) for seed in range(STARTS)]
    return float(np.mean(found)), (
        f"{V_MEASURE}: mean over {STARTS} starts of k-means ({count:,} clusters, {len(gold):,} texts), "
        f"{min(found):.2f} to {max(found):.2f}; no interval"
    )


def _rows(
    names: NDArray[np.str_], gold: Classes, others: NDArray[np.intp], scores: NeighbourScores
) -> tuple[LabelRow, ...]:
    rows = []
    for number in np.unique(gold):
        own = gold == number
        means = (100 * float(values[own].mean()) for values in scores)
        rows.append(LabelRow(str(names[number]), int(own.sum()), int(others[number]), *means))
    return tuple(rows)


def _notes(
    loaded: Labelled, labels: NDArray[np.str_], others: NDArray[np.intp], queries: Numbers, searched: Numbers
) -> Iterator[str]:
    """Notes on rows left out and on limits of the scores: labels and others (Q,), of each query."""
    for read in {read.source: read for read in loaded}.values():
        if left := read.without_text + read.without_label:
            yield (
                f"{Path(read.source).name}: left out {counted(left, 'row')}, {read.without_text:,} without a text and "
                f"{read.without_label:,} without a label"
            )
    if loaded.alone:
        twice = int((np.bincount(queries)[queries] > 1).sum())
        what = "texts occur more than once"
    else:
        twice = int(np.isin(queries, searched).sum())
        what = "test texts are also in the training texts"
    if twice:
        yield f"{twice:,} of {len(queries):,} {what}; each counts like any other text"
    if unseen := int((others == 0).sum()):
        yield (
            f"{unseen:,} of {len(queries):,} texts have a label that no searched text has "
            f"({_first(labels[others == 0].tolist())}); all their results count as wrong"
        )
    if few := int((others < K).sum()):
        most = 100 * float(np.minimum(others, K).mean()) / K
        yield (
            f"{few:,} of {len(queries):,} texts have fewer than {K} others with their label: p@10 can reach at most "
            f"{most:.2f}"
        )


def _first(labels: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(labels))
    return ", ".join(distinct[:_SHOWN]) + (", ..." if len(distinct) > _SHOWN else "")
