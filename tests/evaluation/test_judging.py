"""Judging without models: blind questions, marks saved at once, BEIR's layout, the verdict by hand."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from simcse_kit.data import read_scored_pairs
from simcse_kit.errors import DataError
from simcse_kit.evaluation.judgements import (
    ABOUT,
    MARKS,
    JudgedSystems,
    Judgements,
    System,
    digest_of,
    open_judgements,
    read_judgements,
    record_use,
    text_id,
    used_queries,
)
from simcse_kit.evaluation.judging import Judging, Search
from simcse_kit.evaluation.retrieval import load_retrieval
from simcse_kit.evaluation.sequential import mean_interval
from simcse_kit.evaluation.verdict import verdict_of
from support.judge_and_die import CORPUS, TEXTS

CHILD = Path(__file__).parents[1] / "support" / "judge_and_die.py"
QUERIES = ["query a", "query b", "query c", "query d"]


def shifted(by: int) -> Search:
    """A system that finds the texts in order, starting at another text for each query."""

    def search(query: str, k: int) -> list[str]:
        start = (ord(query[-1]) + by) % len(TEXTS)
        return [TEXTS[(start + i) % len(TEXTS)] for i in range(min(k, len(TEXTS)))]

    return search


def about(*, hits: int = 3, seed: int = 0, corpus: dict[str, str] = CORPUS, names: str = "AB") -> JudgedSystems:
    first, second = (System(name, f"identity of {name}") for name in names)
    return JudgedSystems(systems=(first, second), hits=hits, texts=len(corpus), digest=digest_of(corpus), seed=seed)


@contextmanager
def judging(
    folder: Path,
    queries: Sequence[str] = QUERIES,
    searches: tuple[Search, Search] = (shifted(0), shifted(2)),
    used: Sequence[str] = (),
    **kind: int | str,
) -> Iterator[Judging]:
    with open_judgements(folder, about(**kind), CORPUS) as opened:  # type: ignore[arg-type]
        yield Judging(opened, CORPUS, searches, iter(queries), set(used))


def mark(now: Judging, wanted: Callable[[str], bool]) -> None:
    """Mark the hits of the open question that are wanted, and go on."""
    question = now.question()
    assert question is not None
    for place, text in enumerate(question.hits):
        if wanted(text) != (place in question.relevant):
            now.mark(place)
    now.close()


def test_a_question_has_the_hits_of_both_once_in_an_order_that_says_nothing(tmp_path: Path) -> None:
    with judging(tmp_path / "one") as now:
        one = now.question()
    with judging(tmp_path / "other", searches=(shifted(2), shifted(0)), names="BA") as now:
        other = now.question()
    assert one is not None
    assert other is not None
    start = ord("a") % len(TEXTS)
    assert sorted(one.hits) == sorted(TEXTS[(start + i) % len(TEXTS)] for i in range(5))  # 3 each, 1 in both
    assert one.hits == other.hits
    with judging(tmp_path / "seed", seed=1) as now:
        third = now.question()
    assert third is not None
    assert third.hits != one.hits
    assert sorted(third.hits) == sorted(one.hits)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without waiting for the disk, which is not tested here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.mark.usefixtures("quick")
def test_the_place_of_a_hit_does_not_depend_on_who_found_it(tmp_path: Path) -> None:
    """Over many queries, each system's hits come first equally often."""
    first = 0
    with judging(tmp_path / "folder", [f"query {i}" for i in range(100)], (shifted(0), shifted(6))) as now:
        while (question := now.question()) is not None:
            first += question.hits[0] in shifted(0)(question.query, 3)
            now.close()
    assert abs(first - 50) < 3 * math.sqrt(100 / 4)


def test_a_text_that_is_searched_is_not_its_own_hit_and_equal_texts_count_once(tmp_path: Path) -> None:
    def doubled(query: str, k: int) -> list[str]:
        return [text for text in ["text 5", *TEXTS] for _ in range(3)][:k]

    with judging(tmp_path / "folder", ["text 5"], (doubled, doubled)) as now:
        question = now.question()
    assert question is not None
    assert sorted(question.hits) == ["text 0", "text 1", "text 2"]


def test_a_hit_from_elsewhere_names_the_system(tmp_path: Path) -> None:
    with (
        judging(tmp_path / "folder", searches=(shifted(0), lambda query, k: ["a stranger"])) as now,
        pytest.raises(DataError, match="B found a text that is not among the given texts: 'a stranger'"),
    ):
        now.question()


def test_every_mark_is_on_the_disk_before_the_next_question(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with judging(folder) as now:
        question = now.question()
        assert question is not None
        now.mark(1)
        now.mark(3, True)
        now.mark(3, True)  # sent twice, like a double click
        saved = read_judgements(folder).queries[question.id]
        assert {CORPUS[name] for name in saved.relevant} == {question.hits[1], question.hits[3]}
        assert saved.state == "open"
        now.mark(1)
        now.mark(0, False)
        assert [CORPUS[name] for name in read_judgements(folder).queries[question.id].relevant] == [question.hits[3]]
    with judging(folder) as now:  # continued: the same question with its marks
        again = now.question()
        assert again is not None
        assert (again.query, again.hits, again.relevant) == (question.query, question.hits, {3})
        with pytest.raises(DataError, match="there are only 5 hits; got place 5"):
            now.mark(5)


def test_what_was_judged_or_skipped_is_not_asked_again(tmp_path: Path) -> None:
    folder, asked = tmp_path / "folder", []
    for _ in range(3):
        with judging(folder) as now:
            question = now.question()
            assert question is not None
            asked.append(question.query)
            now.skip() if len(asked) == 2 else now.close()
    assert asked == QUERIES[:3]
    with judging(folder) as now:
        now.question()
        now.close()
        assert now.question() is None
        with pytest.raises(DataError, match="this query is already skipped: query  b"):
            now.ask(" query  b ")
        with pytest.raises(DataError, match="no question is open"):
            now.mark(0)


def test_undo_asks_the_last_one_again_with_its_marks(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with judging(folder) as now:
        assert not now.undo()
        mark(now, lambda text: text == "text 1")
        mark(now, lambda text: text == "text 2")
        opened = now.question()
        assert opened is not None
        now.mark(0)
        assert now.undo()
        last = now.question()
        assert last is not None
        assert last.query == "query b"
        assert [last.hits[place] for place in last.relevant] == ["text 2"]
        assert len({line.split("\t")[0] for line in (folder / "qrels/test.tsv").read_text().splitlines()[1:]}) == 1
        assert now.undo()
        first = now.question()
        assert first is not None
        assert first.query == "query a"
        now.close()
        now.close()
        back = now.question()
        assert back is not None
        assert (back.query, back.relevant) == ("query c", {0})


def test_a_query_of_ones_own_is_asked_next(tmp_path: Path) -> None:
    with judging(tmp_path / "folder", used=[text_id("query z")]) as now:
        now.question()
        now.mark(2)
        now.ask("query y")
        question = now.question()
        assert question is not None
        assert question.query == "query y"
        now.close()
        back = now.question()
        assert back is not None
        assert (back.query, back.relevant) == ("query a", {2})
        for text, words in (("  ", "empty"), ("query z", "trained or selected with this query")):
            with pytest.raises(DataError, match=words):
                now.ask(text)


def test_a_line_that_a_kill_cut_off_is_dropped(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with judging(folder) as now:
        mark(now, lambda text: text == "text 1")
        now.question()
        now.mark(0)
    before = read_judgements(folder)
    with (folder / MARKS).open("ab") as file:
        file.write(b'{"id": "half a li')
    (folder / "qrels/test.tsv").unlink()  # as if killed before this call
    assert read_judgements(folder) == before
    with judging(folder) as now:
        assert (folder / "qrels/test.tsv").read_text().count("\n") == 1 + 5
        now.mark(1)
        assert len(read_judgements(folder).queries[text_id("query b")].relevant) == 2


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with judging(folder) as now:
        now.question()
    (folder / MARKS).write_text('{"id": "a"}\n')
    with pytest.raises(DataError, match=r"marks\.jsonl, line 1 is damaged: KeyError\('first'\)"):
        read_judgements(folder)
    (folder / ABOUT).write_text('{"format": 2}')
    with pytest.raises(DataError, match="has format 2; this version reads format 1"):
        read_judgements(folder)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ({"names": "AC"}, "holds judgements of A and B, not of A and C; name another folder"),
        ({"names": "BA"}, "holds judgements of A and B, in this order"),
        ({"hits": 4}, "was started with hits 3, not 4"),
        ({"seed": 7}, "was started with seed 0, not 7"),
        ({"corpus": {**CORPUS, text_id("new"): "new"}}, r"other texts \(12 then, 13 now\)"),
    ],
)
def test_a_folder_of_something_else_is_an_error(tmp_path: Path, kind: dict[str, object], words: str) -> None:
    with judging(tmp_path / "folder"):
        pass
    with pytest.raises(DataError, match=words), open_judgements(tmp_path / "folder", about(**kind), CORPUS):  # type: ignore[arg-type]
        pass


def test_other_folders_are_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("a file")
    for name, words in (("full", "is not empty and holds no judgements"), ("file", "is a file")):
        with pytest.raises(DataError, match=words), judging(tmp_path / name):
            pass
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]
    with pytest.raises(DataError, match="is not a folder of judgements"):
        read_judgements(tmp_path / "full")


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    with (
        judging(tmp_path / "folder"),
        pytest.raises(DataError, match="another process is judging"),
        judging(tmp_path / "folder"),
    ):
        pass


def test_the_folder_is_beirs(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with judging(folder) as now:
        mark(now, lambda text: text in ("text 1", "text 3"))
        mark(now, lambda text: False)
        now.question()
        now.skip()
    loaded = load_retrieval(folder)
    assert dict(loaded.corpus) == CORPUS  # the whole corpus, so that recall over it can be measured
    a = text_id("query a")
    assert loaded.relevance == {a: {text_id("text 1"): 1.0, text_id("text 3"): 1.0}}
    assert (folder / "qrels/test.tsv").read_text().startswith("query-id\tcorpus-id\tscore\n")
    assert json.loads((folder / "corpus.jsonl").read_text().splitlines()[0]) == {
        "_id": text_id("text 0"),
        "title": "",
        "text": "text 0",
    }
    pairs = read_scored_pairs(folder)  # unmarked texts have score 0; skipped queries are missing
    assert set(zip(pairs.first, pairs.second, pairs.gold.tolist(), strict=True)) == {
        *(("query a", f"text {i}", float(i in (1, 3))) for i in range(1, 6)),
        *(("query b", f"text {i}", 0.0) for i in range(2, 7)),
    }
    assert pairs.dropped == 0


def test_the_verdict_by_hand(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with judging(folder) as now:
        mark(now, lambda text: text in ("text 1", "text 5"))  # A finds 1, 2, 3; B 3, 4, 5
        mark(now, lambda text: text == "text 5")  # A 2, 3, 4; B 4, 5, 6
        mark(now, lambda text: False)
        now.question()
        now.skip()
        verdict = now.verdict
    half, third = 1 / math.log2(3), 1 / math.log2(4)
    first, second = [1 / (1 + half), 0.0], [third / (1 + half), half]
    gaps = np.subtract(second, first)
    low, high = mean_interval(gaps)
    assert verdict.difference.score == "nDCG@3"
    assert verdict.difference.first == pytest.approx(100 * np.mean(first))
    assert verdict.difference.second == pytest.approx(100 * np.mean(second))
    assert verdict.difference.interval == pytest.approx((100 * low, 100 * high))
    assert verdict.shares == pytest.approx((100 / 6, 200 / 6))
    assert (verdict.queries, verdict.unanswered, verdict.skipped, verdict.unjudged) == (2, 1, 1, 5)
    assert verdict.further is None
    assert verdict == verdict_of(read_judgements(folder))
    assert verdict.lines()[-2:] == [
        "no clear difference yet; too few queries for a forecast",
        "2 queries judged, 1 more without a relevant hit in either, left out, 1 skipped (5 hits unjudged)",
    ]


@pytest.mark.usefixtures("quick")
def test_better_is_said_only_where_the_interval_leaves_zero_out(tmp_path: Path) -> None:
    seen = []
    with judging(tmp_path / "folder", [f"query {i}" for i in range(60)], (shifted(0), shifted(6))) as now:
        for _ in range(60):
            question = now.question()
            assert question is not None
            wanted = shifted(6)(question.query, 1)
            mark(now, lambda text, wanted=wanted: text in wanted)  # B's first hit is relevant
            verdict = now.verdict
            words = verdict.lines()[-2]
            assert verdict.decided == (words == "B is better") == (verdict.difference.interval.low > 0)
            assert verdict.decided == (verdict.further == 0)
            seen.append(words)
    assert seen[0] == "no clear difference yet; too few queries for a forecast"
    assert "more queries like these would decide" in seen[4]
    assert seen[-1] == "B is better"


def test_without_a_query_there_is_no_figure(tmp_path: Path) -> None:
    with judging(tmp_path / "folder") as now:
        verdict = now.verdict
    assert verdict.lines() == ["no clear difference yet; too few queries for a forecast", "0 queries judged"]
    assert math.isnan(verdict.difference.first)
    assert verdict.difference.interval == (-100, 100)


def test_queries_that_a_model_was_made_with_do_not_count(tmp_path: Path) -> None:
    folder, run, later = tmp_path / "folder", tmp_path / "run", tmp_path / "later"
    for path in (run, later):
        path.mkdir()
    with judging(folder) as now:
        for _ in range(3):
            mark(now, lambda text: text in ("text 4", "text 5"))
        before = now.verdict
        record_use(run, ["query a"], purpose="training", folder=folder)
        after = now.verdict
    assert (before.queries, before.used) == (3, 0)
    assert (after.queries, after.used) == (2, 1)
    kept = {name: query for name, query in read_judgements(folder).queries.items() if query.text != "query a"}
    assert after.difference == verdict_of(Judgements(read_judgements(folder).about, kept)).difference
    assert "1 more used in training or selection, left out" in after.lines()[-1]
    for place in (folder, run):
        (use,) = used_queries(place).values()
        assert (use.text, use.purpose, use.by) == ("query a", "training", str(run))
    record_use(later, ["query b"], purpose="selection", start=run)  # texts used by the start model count here too
    assert {use.text for use in used_queries(later).values()} == {"query a", "query b"}
    assert len(used_queries(folder)) == 1
    with judging(tmp_path / "other", used=list(used_queries(later))) as now:
        question = now.question()
        assert question is not None
        assert question.query == "query c"
    assert used_queries(tmp_path) == {}


@pytest.mark.slow
def test_a_kill_loses_no_mark_and_asks_nothing_twice(tmp_path: Path) -> None:
    """A process reports its saves, and is killed repeatedly at any instant."""
    draw, folder = random.Random(0), tmp_path / "folder"
    marks: dict[str, set[str]] = {}
    closed: list[str] = []
    for _ in range(12):
        child = subprocess.Popen([sys.executable, CHILD, folder], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(draw.randint(1, 25))]
        time.sleep(draw.uniform(0, 0.02))
        child.kill()
        said += child.stdout.readlines()  # its reports before the kill arrived
        assert child.wait() == -signal.SIGKILL
        for event, query, text in (line.rstrip("\n").split("\t") for line in said):
            if event == "marked":
                marks.setdefault(query, set()).add(text_id(text))
            elif event == "closed":
                closed.append(query)
            else:
                assert query not in closed
        found = read_judgements(folder).queries
        assert all(names <= found[text_id(query)].relevant for query, names in marks.items())
        assert {found[text_id(query)].state for query in closed} <= {"judged"}
        queries = [query.text for query in found.values()]
        assert queries == [f"query {i}" for i in range(len(queries))]
    assert 20 < len(closed) == len(set(closed))
