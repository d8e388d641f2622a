"""The search sample: messages, queries and judgements that fit together."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest

from simcse_kit.data import read_sentences, sample_search_path, sample_sentences_path
from simcse_kit.evaluation import evaluate_retrieval
from simcse_kit.evaluation.retrieval import Retrieval, load_retrieval

FOLDER = sample_search_path()


@pytest.fixture(scope="module")
def sample() -> Retrieval:
    return load_retrieval(FOLDER)


def test_every_query_has_answers_in_the_corpus(sample: Retrieval) -> None:
    assert sample.notes == ()  # every judged text is there, every query is judged
    assert sample.relevance.keys() == sample.queries.keys()
    assert min(len(answers) for answers in sample.relevance.values()) >= 3
    assert {gain for answers in sample.relevance.values() for gain in answers.values()} == {1.0}


def test_every_matter_is_the_answer_to_a_query(sample: Retrieval) -> None:
    def matters(ids: Sequence[str]) -> set[str]:
        return {name.rpartition("-")[0] for name in ids}

    assert matters(list(sample.corpus)) == matters([name for found in sample.relevance.values() for name in found])


def test_no_judgement_stands_twice() -> None:
    lines = (FOLDER / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "query-id\tcorpus-id\tscore"
    assert len(lines) == len(set(lines))


def test_no_text_comes_twice(sample: Retrieval) -> None:
    """Not as a query and a message either, ignoring case and punctuation; nor in the other sample."""
    other = read_sentences(sample_sentences_path()).column(0)
    texts = [" ".join(re.findall(r"\w+", text.lower())) for text in (*sample.corpus.values(), *sample.queries.values())]
    assert len(texts) == len(set(texts))
    assert not set(other) & set(sample.corpus.values())


def test_no_two_messages_are_nearly_the_same(sample: Retrieval) -> None:
    """Of two messages, at most 80 percent of the longer one's words are in the other."""
    texts = list(sample.corpus.values())
    bags = [set(re.findall(r"[a-z0-9]+", text.lower())) for text in texts]
    known = {word: column for column, word in enumerate(sorted(set().union(*bags)))}
    has = np.zeros((len(bags), len(known)), dtype=np.float32)
    for row, bag in zip(has, bags, strict=True):
        row[[known[word] for word in bag]] = 1
    shared = np.triu(has @ has.T, k=1) / np.maximum.outer(has.sum(1), has.sum(1))  # (N, N)
    assert [(texts[a], texts[b]) for a, b in np.argwhere(shared > 0.8)] == []


def test_the_corpus_reads_as_sentences(sample: Retrieval) -> None:
    assert read_sentences(FOLDER / "corpus.jsonl").column(0) == list(sample.corpus.values())


def test_the_suite_reads_it(sample: Retrieval) -> None:
    """An encoder that knows the answers finds all of them first, and one that knows nothing does not."""
    column = {text: number for number, text in enumerate(sample.corpus.values())}
    answers = {text: sample.relevance[name] for name, text in sample.queries.items()}
    number = {name: column[text] for name, text in sample.corpus.items()}

    def knows(texts: Sequence[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), len(column)), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            row[[number[name] for name in answers[text]] if text in answers else column[text]] = 1
        return vectors

    def knows_nothing(texts: Sequence[str]) -> np.ndarray:
        return np.random.default_rng(0).normal(size=(len(texts), 8)).astype(np.float32)

    assert evaluate_retrieval(knows, FOLDER).scores["ndcg@10"] == pytest.approx(100)
    assert evaluate_retrieval(knows_nothing, FOLDER).scores["ndcg@10"] < 10


def test_it_is_small() -> None:
    """In bytes; the wheel carries it."""
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 200_000
