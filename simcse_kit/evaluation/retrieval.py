"""Retrieval with your own queries, corpus and relevance judgements, in BEIR's layout (Thakur et al., 2021)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.errors import DataError
from simcse_kit.evaluation.encoding import Numbers, SentencePool
from simcse_kit.evaluation.lines import lines_of
from simcse_kit.evaluation.metrics import nearest_columns, unit
from simcse_kit.evaluation.results import Outcome, SuiteResult
from simcse_kit.types import EncodeFn, Vectors
from simcse_kit.wording import counted

CUT = 10  # cut-off of nDCG and MRR
DEEP = 100  # cut-off of the second recall
_AT_ONCE = 256  # queries per block
RETRIEVAL_HELP = (
    'BEIR\'s layout: corpus.jsonl ({"_id": ..., "title": ..., "text": ...}), queries.jsonl '
    '({"_id": ..., "text": ...}) and qrels/test.tsv (query-id, corpus-id, score; tab-separated, with a header)'
)

Relevance = dict[str, dict[str, float]]


class RetrievalRow(NamedTuple):
    """One query, scores times 100."""

    query: str  # its id
    relevant: int
    ndcg: float
    recall: float
    mrr: float


class Retrieval(NamedTuple):
    """Texts by id, and for each query the gains of its relevant documents."""

    corpus: Mapping[str, str]
    queries: Mapping[str, str]
    relevance: Relevance
    notes: tuple[str, ...]


def evaluate_retrieval(encode: EncodeFn, folder: str | Path, *, split: str = "test") -> SuiteResult:
    """nDCG@10, recall@10, recall@100 and MRR@10 over the queries, exact search by cosine.

    As in BEIR: the gain of a document is its score in the qrels, discounted by log2(rank + 1); a document with the
    query's own id does not count as an answer; queries without an answer are left out and counted. `encode` is called
    once, with every distinct text once.

    Args:
        encode: N texts to (N, D).
        folder: see `load_retrieval`.
        split: name of the file in `qrels/`.
    """
    start = time.perf_counter()
    loaded = load_retrieval(folder, split)
    pool = SentencePool()
    documents = pool.add(loaded.corpus.values())
    asked = [name for name in loaded.queries if name in loaded.relevance]
    queries = pool.add(loaded.queries[name] for name in asked)
    vectors = unit(pool.encode(encode)).astype(np.float32)
    found = _nearest(vectors, queries, documents, min(DEEP + 1, len(documents)))
    names = list(loaded.corpus)
    table = np.array(
        [
            measures([names[i] for i in row if names[i] != query], loaded.relevance[query])
            for query, row in zip(asked, found, strict=True)
        ]
    )  # (queries, 4)
    scores = ("ndcg@10", "recall@10", "recall@100", "mrr@10")
    texts = ([loaded.queries[name] for name in asked],)
    return SuiteResult(
        suite="retrieval",
        scores={name: 100 * float(table[:, i].mean()) for i, name in enumerate(scores)},
        details=tuple(
            RetrievalRow(name, len(loaded.relevance[name]), 100 * row[0], 100 * row[1], 100 * row[3])
            for name, row in zip(asked, table.tolist(), strict=True)
        ),
        seconds=time.perf_counter() - start,
        sentences=len(pool),
        data=str(folder),
        notes=loaded.notes,
        outcomes=tuple(Outcome(name, "mean", table[:, i], texts=texts) for i, name in enumerate(scores)),
    )


def measures(ranked: list[str], relevance: Mapping[str, float]) -> tuple[float, float, float, float]:
    """nDCG@10, recall@10, recall@100 and MRR@10 of one query: documents, best first, and gains above 0.

    >>> [round(value, 4) for value in measures(["b", "a", "c"], {"a": 1, "c": 2})]
    [0.6199, 1.0, 1.0, 0.5]
    """
    hits = [place for place, name in enumerate(ranked[:CUT]) if relevance.get(name, 0.0) > 0]
    return (
        ndcg(ranked, relevance),
        sum(name in relevance for name in ranked[:CUT]) / len(relevance),
        sum(name in relevance for name in ranked[:DEEP]) / len(relevance),
        1 / (1 + hits[0]) if hits else 0.0,
    )


def ndcg(ranked: Sequence[str], relevance: Mapping[str, float], cut: int = CUT) -> float:
    """nDCG of one query at a cut-off: documents, best first, and gains, at least one of them above 0.

    >>> round(ndcg(["b", "a", "c"], {"a": 1}, cut=3), 4)  # 1 / log2(3)
    0.6309
    """
    gains = np.array([relevance.get(name, 0.0) for name in ranked[:cut]])
    best = np.array(sorted(relevance.values(), reverse=True)[:cut])
    return _discounted(gains) / _discounted(best)


def _discounted(gains: NDArray[np.float64]) -> float:
    return float((gains / np.log2(np.arange(2, len(gains) + 2))).sum())


def _nearest(vectors: Vectors, queries: Numbers, documents: Numbers, k: int) -> NDArray[np.intp]:
    """The k nearest documents of each query, best first, ties by order: (Q, k)."""
    corpus = vectors[documents]
    found = np.empty((len(queries), k), dtype=np.intp)
    for at in range(0, len(queries), _AT_ONCE):
        cosines = vectors[queries[at : at + _AT_ONCE]] @ corpus.T  # (q, N)
        found[at : at + _AT_ONCE] = nearest_columns(cosines, k)
    return found


def load_retrieval(folder: str | Path, split: str = "test") -> Retrieval:
    """Read `corpus.jsonl`, `queries.jsonl` and `qrels/SPLIT.tsv`.

    Raises:
        DataError: a file is missing, a line is not in BEIR's layout (with file and line), or no query has an answer.
    """
    root = Path(folder)
    corpus = _texts(root / "corpus.jsonl", "title")
    queries = _texts(root / "queries.jsonl")
    path = root / "qrels" / f"{split}.tsv"
    relevance: Relevance = {}
    unknown = 0
    for number, line in _lines(path):
        cells = line.split("\t")
        try:
            query, document, gain = cells[0], cells[1], float(cells[2])
        except (IndexError, ValueError):
            if number == 1 and len(cells) == 3:
                continue  # the header
            raise DataError(
                f"{path}, line {number}: expected query-id, corpus-id and a number, separated by tabs; got "
                f"{line!r:.200}"
            ) from None
        if query not in queries:
            raise DataError(f"{path}, line {number}: query {query!r:.100} is not in {root / 'queries.jsonl'}")
        if gain > 0:
            unknown += document not in corpus
            relevance.setdefault(query, {})[document] = gain
    if not relevance:
        raise DataError(f"{path}: no query has a relevant document (a score above 0)")
    notes = []
    if left := len(queries) - len(relevance):
        notes.append(f"left out {left:,} of {len(queries):,} queries without an answer in {path.name}")
    if unknown:
        notes.append(f"counted as not found, because not in the corpus: {counted(unknown, 'relevant document')}")
    return Retrieval(corpus, queries, relevance, tuple(notes))


def _texts(path: Path, title: str | None = None) -> dict[str, str]:
    """Texts by id; the title comes before the text, as in BEIR."""
    found: dict[str, str] = {}
    for number, line in _lines(path):
        try:
            row = json.loads(line)
            name, text = row["_id"], row["text"]
            before = row.get(title) or "" if title else ""
            if not (isinstance(name, str) and isinstance(text, str) and isinstance(before, str)):
                raise TypeError
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DataError(
                f'{path}, line {number}: expected {{"_id": "...", "text": "..."}}; got {line!r:.200}'
            ) from None
        if name in found:
            raise DataError(f"{path}, line {number}: the id {name!r:.100} occurs a second time")
        found[name] = f"{before} {text}".strip()
    if not found:
        raise DataError(f"{path} contains no text")
    return found


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Non-blank lines with their numbers."""
    for number, line in enumerate(lines_of(path, RETRIEVAL_HELP), start=1):
        if line.strip():
            yield number, line
