"""Retrieval in BEIR's layout: measures by hand, equal to a plain ranking, files named with their line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from simcse_kit.errors import DataError
from simcse_kit.evaluation import evaluate_retrieval
from simcse_kit.evaluation.retrieval import load_retrieval, measures

from .conftest import Counting, encode_angles


def write(folder: Path, corpus: dict[str, str], queries: dict[str, str], qrels: str) -> Path:
    for name, texts in (("corpus", corpus), ("queries", queries)):
        rows = [json.dumps({"_id": key, "text": text}) + "\n" for key, text in texts.items()]
        (folder / f"{name}.jsonl").write_text("".join(rows))
    (folder / "qrels").mkdir(exist_ok=True)
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    corpus = {f"d{a}": f"angle {a}" for a in range(0, 180, 5)}
    queries = {"q1": "angle 1", "q2": "angle 91", "lonely": "angle 3"}
    return write(tmp_path, corpus, queries, "q1\td0\t1\nq1\td10\t2\nq1\td5\t0\nq2\td170\t1\n")


def test_by_hand(folder: Path) -> None:
    counting = Counting()
    result = evaluate_retrieval(counting, folder)
    # q1 finds d0, d5, d10: gains 1, 0, 2; q2 finds d170 beyond the tenth place
    ideal = 2 + 1 / math.log2(3)
    assert result.scores["ndcg@10"] == pytest.approx(100 * ((1 + 2 / 2) / ideal + 0) / 2)
    assert result.scores["recall@10"] == pytest.approx(50)
    assert result.scores["recall@100"] == pytest.approx(100)
    assert result.scores["mrr@10"] == pytest.approx(50)
    assert len(counting.calls) == 1
    assert result.notes == ("left out 1 of 3 queries without an answer in test.tsv",)
    assert [outcome.values.mean() * 100 for outcome in result.outcomes] == pytest.approx(list(result.scores.values()))


def test_a_plain_ranking_says_the_same(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    points = draw.uniform(0, 360, 340)
    corpus = {f"d{i}": f"angle {a:.6f}" for i, a in enumerate(points[:300])}
    queries = {f"q{i}": f"angle {a:.6f}" for i, a in enumerate(points[300:])}
    answers = {query: draw.choice(300, 5, replace=False) for query in queries}
    qrels = "".join(f"{query}\td{i}\t{1 + i % 3}\n" for query, own in answers.items() for i in own)
    result = evaluate_retrieval(encode_angles, write(tmp_path, corpus, queries, qrels))
    rows = []
    for query, text in queries.items():
        ranked = sorted(corpus, key=lambda name: -(encode_angles([text])[0] @ encode_angles([corpus[name]])[0]))
        rows.append(measures(ranked, {f"d{i}": 1 + i % 3 for i in answers[query]}))
    assert list(result.scores.values()) == pytest.approx(list(100 * np.mean(rows, axis=0)), abs=1e-6)


def test_a_document_is_no_answer_to_itself(tmp_path: Path) -> None:
    folder = write(tmp_path, {"a": "angle 0", "b": "angle 9"}, {"a": "angle 0"}, "a\tb\t1\n")
    assert evaluate_retrieval(encode_angles, folder).scores["mrr@10"] == 100


def test_a_title_stands_before_its_text(folder: Path) -> None:
    (folder / "corpus.jsonl").write_text('{"_id": "d0", "title": "A title", "text": "and a text"}\n')
    loaded = load_retrieval(folder)
    assert loaded.corpus == {"d0": "A title and a text"}
    assert loaded.notes[-1] == "counted as not found, because not in the corpus: 2 relevant documents"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("corpus.jsonl", None, r"corpus\.jsonl is missing\. BEIR's layout"),
        ("corpus.jsonl", "", r"corpus\.jsonl contains no text"),
        ("queries.jsonl", '{"_id": "q", "text": "x"}\n{"id": 3}\n', r"queries\.jsonl, line 2: .*; got"),
        (
            "queries.jsonl",
            '{"_id": "q", "text": "x"}\n' * 2,
            r"queries\.jsonl, line 2: the id 'q' occurs a second",
        ),
        ("queries.jsonl", '{"_id": "q", "text": "x"}\n\n3\n', r"queries\.jsonl, line 3: .*; got '3'"),
        (
            "qrels/test.tsv",
            "query-id\tcorpus-id\tscore\nq1\td0\n",
            r"test\.tsv, line 2: expected query-id, corpus-id and a number",
        ),
        ("qrels/test.tsv", "q9\td0\t1\n", r"test\.tsv, line 1: query 'q9' is not in"),
        ("qrels/test.tsv", "q1\td0\t0\n", r"test\.tsv: no query has a relevant document"),
    ],
)
def test_a_bad_file_is_named_with_its_line(folder: Path, file: str, content: str | None, message: str) -> None:
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    with pytest.raises(DataError, match=message):
        evaluate_retrieval(encode_angles, folder)
