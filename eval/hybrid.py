"""What search by words and meaning finds, and what it loses: python eval/hybrid.py [--vectors FOLDER]

Every domain's test texts are searched among its train texts (P@10, a hit is right where it has the query's label);
cranfield has queries and judgements (nDCG@10). Four ways of one hybrid index, compared query by query: by meaning, by
words, by both, and by reciprocal rank fusion of the first two (Cormack et al., 2009), equal weights. Then reports of
errors, each with a code of its own, are searched by their codes. `DEVELOPED` names the domains by which the weights of
`simcse_kit.search.fusion` were chosen; the other one was looked at once they were.

``--vectors FOLDER`` keeps the vectors.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lib.adapt_tables import CLASSES, DOCUMENTS, START
from lib.record import data_folder, write_result

from simcse_kit import SimCSE
from simcse_kit.data import read_labelled
from simcse_kit.evaluation.bootstrap import compare, intervals
from simcse_kit.evaluation.results import Outcome, SuiteResult
from simcse_kit.evaluation.retrieval import load_retrieval, ndcg
from simcse_kit.search import Collection, Hit
from simcse_kit.search.fusion import CODE_WEIGHT, DEPTH, WEIGHT

DEVELOPED = ("cranfield", "banking77", "stackoverflow")
CONSTANT = 60  # of reciprocal rank fusion
K = 10
CODES = 200
_AT_ONCE = 500  # queries


class Domain(NamedTuple):
    """Texts, queries, and the score of a query's ranked texts, by their numbers."""

    texts: Sequence[str]
    queries: Sequence[str]
    metric: str
    score: Callable[[int, list[int]], float]


def domain_of(name: str, folder: Path) -> Domain:
    """Read a domain."""
    if name in DOCUMENTS:
        loaded = load_retrieval(folder)
        names, asked = list(loaded.corpus), [query for query in loaded.queries if query in loaded.relevance]

        def gain(query: int, rows: list[int]) -> float:
            own = asked[query]
            return ndcg([names[row] for row in rows if names[row] != own], loaded.relevance[own])

        return Domain(list(loaded.corpus.values()), [loaded.queries[query] for query in asked], "ndcg@10", gain)
    searched, queries = read_labelled(folder / "train.tsv"), read_labelled(folder / "test.tsv")

    def precision(query: int, rows: list[int]) -> float:
        return sum(searched.labels[row] == queries.labels[query] for row in rows[:K]) / K

    return Domain(searched.texts, queries.texts, "p@10", precision)


def plain_fusion(by_meaning: list[Hit], by_words: list[Hit]) -> list[int]:
    """Ids by the sum of 1 / (60 + rank); of equal sums by meaning first."""
    sums: dict[int | str, float] = {}
    for hits in (by_meaning, by_words):
        for rank, hit in enumerate(hits, start=1):
            sums[hit.id] = sums.get(hit.id, 0) + 1 / (CONSTANT + rank)
    return [int(id_) for id_ in sorted(sums, key=lambda id_: -sums[id_])]


def rankings(index: Collection, queries: Sequence[str], vectors: np.ndarray) -> dict[str, list[list[int]]]:
    """Rows of each query, by each way."""
    found: dict[str, list[list[int]]] = {"dense": [], "keyword": [], "plain": [], "hybrid": []}
    for at in range(0, len(queries), _AT_ONCE):
        some, own = queries[at : at + _AT_ONCE], vectors[at : at + _AT_ONCE]
        dense, keyword = index.search(own, DEPTH), index.search_words(some, DEPTH)
        found["plain"] += map(plain_fusion, dense, keyword)
        both = index.search_words(some, K + 1, vectors=own)  # one more: a document may have the query's own id
        for way, answers in (("dense", dense), ("keyword", keyword), ("hybrid", both)):
            found[way] += [[int(hit.id) for hit in hits] for hits in answers]
    return found


def result(metric: str, values: list[float]) -> SuiteResult:
    """Of one way, as the bootstrap takes it."""
    outcome = Outcome(metric, "mean", np.array(values))
    scores = {metric: 100 * float(np.mean(values))}
    return SuiteResult(suite="hybrid", scores=scores, details=(), seconds=0, sentences=0, data="", outcomes=(outcome,))


def measure(domain: Domain, vectors: np.ndarray, asked: np.ndarray) -> dict[str, Any]:
    """Every way's score, with its interval and its difference from search by meaning."""
    index = Collection(vectors.shape[1], "flat", hybrid=True)
    index.add(domain.texts, vectors)
    results = {
        way: result(domain.metric, [domain.score(query, rows) for query, rows in enumerate(found)])
        for way, found in rankings(index, domain.queries, asked).items()
    }
    ways: dict[str, Any] = {}
    for way, own in results.items():
        (interval,) = intervals(own).values()
        ways[way] = {"score": round(own.scores[domain.metric], 2), "interval": [round(end, 2) for end in interval]}
        if way != "dense":
            (change,) = compare([results["dense"]], [own])
            ways[way]["change"] = round(change.difference, 2)
            ways[way]["change_interval"] = [round(end, 2) for end in change.interval]
    return {"metric": domain.metric, "texts": len(domain.texts), "queries": len(domain.queries), "ways": ways}


def with_codes(domain: Domain, seed: int = 0) -> tuple[Domain, list[int]]:
    """Some of its texts with a code each, asked for by these codes; and the numbers of the texts."""
    random = np.random.default_rng(seed)
    rows = random.permutation(len(domain.texts))[:CODES].tolist()
    codes = [f"0x8007{code:04x}" for code in random.permutation(1 << 16)[:CODES].tolist()]
    texts = list(domain.texts)
    for row, code in zip(rows, codes, strict=True):
        texts[row] += f" (error {code})"
    queries = [f"What can I do about error {code}?" for code in codes]
    return Domain(texts, queries, "hit@5", lambda query, found: float(rows[query] in found[:5])), rows


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all domains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=Path, help="folder to keep the vectors in")
    arguments = parser.parse_args(argv)
    data = data_folder()

    @cache
    def model() -> SimCSE:
        return SimCSE(START)

    def encoded(name: str, texts: Sequence[str], queries: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        kept = None if arguments.vectors is None else arguments.vectors / f"{name}.npz"
        if kept is not None and kept.is_file():
            found = np.load(kept)
            return found["corpus"], found["queries"]
        corpus, asked = model().encode_document(texts), model().encode_query(queries)
        if kept is not None:
            np.savez(kept, corpus=corpus, queries=asked)
        return corpus, asked

    found: dict[str, Any] = {}
    for name in (*DOCUMENTS, *CLASSES):
        domain = domain_of(name, data / "domains" / name)
        vectors, asked = encoded(name, domain.texts, domain.queries)
        found[name] = {"developed": name in DEVELOPED, **measure(domain, vectors, asked)}
        print(name, {way: own["score"] for way, own in found[name]["ways"].items()}, flush=True)
        if name == CLASSES[0]:
            coded, rows = with_codes(domain)
            own, asked = encoded("codes", [coded.texts[row] for row in rows], coded.queries)
            vectors = vectors.copy()
            vectors[rows] = own
            found["codes"] = {"developed": True, **measure(coded, vectors, asked)}
            print("codes", {way: own["score"] for way, own in found["codes"]["ways"].items()}, flush=True)
    weights = {"words": WEIGHT, "words_with_code": CODE_WEIGHT, "depth": DEPTH, "plain_constant": CONSTANT}
    write_result("hybrid", {"model": START, "weights": weights, "domains": found})


if __name__ == "__main__":
    main()
