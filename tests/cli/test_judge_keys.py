"""`simcse-kit judge`: keys to marks, the screen, and one-line errors."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from simcse_kit import SimCSE
from simcse_kit.cli.judge import PLACES, Keyboard
from simcse_kit.evaluation.judgements import read_judgements, text_id
from support.commands import COMMAND, Done, parsed, run
from support.tiny import SENTENCES


@pytest.fixture(scope="module")
def place(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two models and a file of texts."""
    folder = tmp_path_factory.mktemp("place")
    for kind in ("bert", "roberta"):
        SimCSE(tiny_model(kind), pooling="mean", device="cpu").save(folder / kind)
    (folder / "texts.txt").write_text("\n".join(SENTENCES))
    return folder


Judge = Callable[..., Done]


class Pressed(Keyboard):
    """Scripted keys and lines; at their end, Ctrl-C."""

    keys = ""
    lines = ""

    def __enter__(self) -> Pressed:
        self._keys, self._typed = iter(self.keys), iter(self.lines.split("\n"))
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def key(self) -> str:
        for key in self._keys:
            return key
        raise KeyboardInterrupt

    def line(self, prompt: str) -> str:
        return next(self._typed)


@pytest.fixture
def judge(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """The command with scripted keys and lines."""

    def judged(
        keys: str,
        *options: object,
        typed: str = "",
        texts: str = "texts.txt",
        both: tuple[str, str] = ("bert", "roberta"),
    ) -> Done:
        monkeypatch.setattr("simcse_kit.cli.judge.Keyboard", type("Keys", (Pressed,), {"keys": keys, "lines": typed}))
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        return run("judge", *both, texts, "--output", tmp_path / "judged", *options, cwd=place)

    return judged


def test_digits_mark_and_enter_goes_on(judge: Judge, tmp_path: Path) -> None:
    done = judge("13\r2\r" + "s" + "?4x4" + "q")
    assert done.returncode == 0, done.stderr
    judged = list(read_judgements(tmp_path / "judged").queries.values())
    assert [query.state for query in judged] == ["judged", "judged", "skipped", "open"]
    assert [len(query.relevant) for query in judged] == [2, 1, 0, 0]
    assert "random texts are the queries" in done.stderr
    assert "2 queries judged, 1 skipped" in done.stdout
    assert "nDCG@5 × 100: bert" in done.stdout
    assert re.search(r"difference [+-]\d+\.\d, 95 % interval -\d+\.\d to \+\d+\.\d", done.stdout)
    again = judge("u\rq")
    assert "2 queries judged" in again.stdout
    step = parsed(again.stdout.splitlines()[-1].removeprefix("next: "))
    assert step == ["eval", "bert", "roberta", "--suite", "retrieval", "--data", str(tmp_path / "judged")]
    assert len(read_judgements(tmp_path / "judged").queries) == 4


def test_the_screen_shows_the_query_its_hits_and_what_is_marked(judge: Judge, tmp_path: Path) -> None:
    done = judge("2q")
    (query,) = read_judgements(tmp_path / "judged").queries.values()
    before, after = done.stdout.split(f"1. {query.text}\n")[1:]  # each key is answered by the screen
    after = after.partition("relevant or not")[0]
    lines = [line for line in after.splitlines() if re.match(r"\d ", line)]
    assert len(lines) == len(query.pool)
    shown = {text_id(line[4:]): line[2] for line in lines}
    assert set(shown) == set(query.pool)
    assert {name for name, mark in shown.items() if mark == "✓"} == query.relevant
    assert "✓" not in before
    for name in ("bert", "roberta"):
        assert name not in after  # blind


def test_a_long_text_is_cut_until_it_is_wanted_whole(judge: Judge, place: Path) -> None:
    long = "The soup needs salt. " * 30 + "THE END"
    (place / "long.txt").write_text("\n".join([long, *SENTENCES]))
    (place / "same.txt").write_text(long.replace("THE END", "the ends"))
    done = judge("wq", "--queries", "same.txt", texts="long.txt")
    assert done.returncode == 0, done.stderr
    cut, whole = done.stdout.split("1. The soup needs salt.")[1:]
    assert f"{long[:300]} …" in cut
    assert "THE END" not in cut
    assert long in whole


def test_queries_can_be_typed(judge: Judge, tmp_path: Path) -> None:
    done = judge("1\r2\r", "--queries", "-", typed="late trains\na warm cat\n\n")
    assert done.returncode == 0, done.stderr
    assert [query.text for query in read_judgements(tmp_path / "judged").queries.values()] == [
        "late trains",
        "a warm cat",
    ]
    assert "all queries are judged or skipped" in done.stderr


def test_over_documents_queries_are_typed(judge: Judge, place: Path, tmp_path: Path) -> None:
    (place / "documents.txt").write_text("\n".join(f"{text} " * 12 for text in SENTENCES))
    done = judge("q", typed="late trains\n", texts="documents.txt")
    assert done.returncode == 0, done.stderr
    assert "type your queries" in done.stderr
    assert [query.text for query in read_judgements(tmp_path / "judged").queries.values()] == ["late trains"]


def test_every_hit_has_a_key_of_its_own(judge: Judge, tmp_path: Path) -> None:
    most = len(PLACES) // 2
    done = judge(PLACES, "--hits", most)
    (query,) = read_judgements(tmp_path / "judged").queries.values()
    assert done.returncode == 130
    assert len(query.relevant) == len(query.pool) > most
    assert not set(PLACES) & set("squw\r\n")


@pytest.mark.parametrize(
    ("both", "options", "words"),
    [
        (("bert", "bert"), (), "bert and bert are equal: same model"),
        (("bert", "nowhere"), (), "nowhere"),
        (("bert", "roberta"), ("--queries", "empty.txt"), "empty.txt holds no sentences"),
    ],
)
def test_bad_input_is_one_line(
    judge: Judge, place: Path, both: tuple[str, str], options: tuple[str, ...], words: str
) -> None:
    (place / "empty.txt").write_text("\n")
    done = judge("q", *options, both=both)
    assert done.returncode == 1
    assert words in done.stderr.replace(" (2)", "")
    assert "Traceback" not in done.stderr


def test_one_line_of_text_and_the_folder_of_another_pair(judge: Judge, place: Path, tmp_path: Path) -> None:
    (place / "one-line.txt").write_text("one line\n")
    assert "at least two different texts" in judge("q", texts="one-line.txt").stderr
    assert judge("q").returncode == 0
    assert "in this order; name them in the same order" in judge("q", both=("roberta", "bert")).stderr


def test_without_a_terminal_the_other_ways_are_named(place: Path, tmp_path: Path) -> None:
    done = run("judge", "bert", "roberta", "texts.txt", "--output", tmp_path / "judged", cwd=place)
    assert done.returncode == 1
    assert "simcse-kit demo INDEX --compare INDEX --judge FOLDER" in done.stderr


class Typing:
    """The command in a new terminal."""

    def __init__(self, *arguments: object, cwd: Path) -> None:
        self.end, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)], stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, close_fds=True
        )
        os.close(theirs)
        self.said = ""

    def until(self, words: str) -> None:
        """Read until the screen shows new output."""
        until = time.monotonic() + 120
        while words not in self.said:
            assert time.monotonic() < until, self.said[-2000:]
            if select.select([self.end], [], [], 1)[0]:
                self.said += os.read(self.end, 1 << 16).decode()
        self.said = self.said.partition(words)[2]

    def press(self, key: str) -> None:
        os.write(self.end, key.encode())


@pytest.fixture
def typing(place: Path, tmp_path: Path) -> Iterator[Callable[[], Typing]]:
    made: list[Typing] = []

    def start() -> Typing:
        made.append(Typing("judge", "bert", "roberta", "texts.txt", "-o", tmp_path / "judged", cwd=place))
        return made[-1]

    yield start
    for one in made:
        one.process.kill()
        one.process.wait()
        os.close(one.end)


@pytest.mark.slow
def test_a_real_terminal_that_is_killed_between_marks(typing: Callable[[], Typing], tmp_path: Path) -> None:
    first = typing()
    first.until("q quit")
    first.press("1\r23")  # faster than the screen
    for _ in range(4):
        first.until("q quit")
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    judged, opened = read_judgements(tmp_path / "judged").queries.values()
    assert (judged.state, len(judged.relevant), opened.state, len(opened.relevant)) == ("judged", 1, "open", 2)
    second = typing()
    second.until(f"2. {opened.text}")
    second.until("q quit")
    second.press("\r")
    second.until("3. ")
    second.press("q")
    second.until("2 queries judged")
    assert second.process.wait(30) == 0
    again = read_judgements(tmp_path / "judged").queries
    assert again[judged.id] == judged
    assert again[opened.id] == opened._replace(state="judged")
