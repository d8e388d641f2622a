"""``simcse-kit search``: groups, reranking, and queries from a pipe."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
from pathlib import Path
from typing import Any

import pytest

from simcse_kit import SentenceIndex, SimCSE
from support.commands import COMMAND, run
from support.tiny import SENTENCES, make_cross_encoder


@pytest.fixture(scope="module")
def index(model: SimCSE, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searched") / "index"
    metadata = [{"document": f"d{number // 4}"} for number in range(len(SENTENCES))]
    SentenceIndex.build(model, SENTENCES, metadata=metadata).save(folder)
    return folder


@pytest.fixture(scope="module")
def cross(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cross_encoder("bert", tmp_path_factory.mktemp("cross") / "encoder")


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_the_best_hit_of_each_document(index: Path) -> None:
    done = run("search", index, SENTENCES[0], "-k", 10, "--group-by", "document", "--format", "json")
    assert done.returncode == 0, done.stderr
    (answer,) = lines(done.stdout)
    assert answer["hits"][0]["text"] == SENTENCES[0]
    assert sorted(hit["metadata"]["document"] for hit in answer["hits"]) == [f"d{number}" for number in range(10)]
    done = run("search", index, "x", "--group-by", "author")
    assert done.returncode == 1
    assert "group_by is 'author', but no sentence of this index has this field" in done.stderr


def test_reranking_shows_both_scores_and_what_it_cost(index: Path, cross: Path) -> None:
    asked = ("search", index, SENTENCES[0], SENTENCES[7], "-k", 3, "--rerank", cross)
    answers = lines(run(*asked, "--candidates", 8, "--format", "json").stdout)
    assert [answer["query"] for answer in answers] == [SENTENCES[0], SENTENCES[7]]
    for answer in answers:
        scores = [hit["score"] for hit in answer["hits"]]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) == 3
        assert all(0 < score < 1 for score in scores)  # a sigmoid's
        assert all(-1 <= hit["search_score"] <= 1 for hit in answer["hits"])
        assert (answer["rerank"]["model"], answer["rerank"]["pairs"]) == (str(cross), 8)
        assert answer["rerank"]["seconds"] > 0
    table = run(*asked)
    assert table.returncode == 0, table.stderr
    assert table.stdout.count("40 pairs reranked in ") == 2  # 50 are requested, the index has 40
    assert [line.split()[:4] for line in table.stdout.splitlines() if line.startswith("score")] == [
        ["score", "search", "id", "text"]
    ] * 2


def test_options_of_reranking_that_mean_nothing_are_errors(index: Path, cross: Path, model_folder: Path) -> None:
    def error(*options: object) -> str:
        done = run("search", index, "x", *options)
        assert done.returncode == 1
        return " ".join(done.stderr.split())

    assert "--candidates needs --rerank" in error("--candidates", 8)
    assert "candidates must be at least the 5 requested hits" in error("--rerank", cross, "--candidates", 4)
    assert "is a sentence encoder" in error("--rerank", model_folder)


def test_queries_come_from_standard_input(index: Path) -> None:
    sent = f"\ufeff{SENTENCES[0]}\r\n\n  \n{SENTENCES[9]}\n" + "\n".join(SENTENCES * 4)
    done = run("search", index, "-k", 1, input=sent.encode())
    assert done.returncode == 0, done.stderr
    answers = lines(done.stdout)
    assert [answer["query"] for answer in answers] == [SENTENCES[0], SENTENCES[9], *SENTENCES * 4]
    assert all(answer["hits"][0]["text"] == answer["query"] for answer in answers)
    assert "skipped 2 blank lines of 164 lines of standard input" in done.stderr.replace("\n", " ")
    asked = run("search", index, SENTENCES[0], SENTENCES[9], "-k", 1, "--format", "json", input=b"not read")
    assert lines(asked.stdout) == answers[:2]
    table = run("search", index, "--format", "table", input=SENTENCES[3].encode())
    assert "score" in table.stdout
    empty = run("search", index, input=b"")
    assert (empty.returncode, empty.stdout) == (0, "")
    assert "standard input is empty" in empty.stderr


@pytest.mark.parametrize("bad", [b"caf\xe9", b"x" * 2_000_000], ids=["latin-1", "long"])
def test_a_line_that_is_no_query_is_named_after_the_answers_before_it(index: Path, bad: bytes) -> None:
    done = run("search", index, input=b"one\n\ntwo\n" + bad + b"\nthree\n")
    assert done.returncode == 1
    assert [answer["query"] for answer in lines(done.stdout)] == ["one", "two"]
    assert "cannot read line 4 of standard input" in done.stderr.replace("\n", " ")


def test_without_a_query_a_terminal_gets_a_usage_error() -> None:
    """Before an index or a model is opened."""
    terminal, its_other_end = pty.openpty()
    done = subprocess.run([*COMMAND, "search", "nowhere"], stdin=its_other_end, capture_output=True, text=True)
    os.close(terminal)
    os.close(its_other_end)
    assert (done.returncode, done.stdout) == (2, "")
    assert "send queries to standard input, one per line" in " ".join(done.stderr.split())


@pytest.mark.slow
def test_each_line_of_a_pipe_is_answered_before_the_next_is_sent(index: Path) -> None:
    """Like a program that asks, waits for the answer, and asks again."""
    with subprocess.Popen(
        [*COMMAND, "search", str(index), "-k", "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for query in SENTENCES[:3]:
            process.stdin.write(f"{query}\n".encode())
            process.stdin.flush()
            assert select.select([process.stdout], [], [], 120)[0], "no answer while the pipe is open"
            answer = json.loads(process.stdout.readline())
            assert (answer["query"], answer["hits"][0]["text"]) == (query, query)
        process.stdin.close()
        assert process.wait(60) == 0
        assert process.stdout.read() == b""
