"""Pages of documentation as their readers use them: every block runs, in order, in one folder.

A comment on the line before a block says what is special about it::

    <!-- not run: needs two machines -->     it does not run; the options of its commands are checked
    <!-- output -->                          the lines that the block before it wrote; digits may differ, `...` stands
                                             for any lines
    <!-- server -->                          its command serves until the next such block, or the end of the page, on a
                                             free port, which stands for localhost:8000 in the blocks that follow; demo
                                             loads, and ends
    <!-- file: NAME -->                      a file that the blocks after it read

A page names the files and models that it takes as given in one comment, each perhaps with a number of rows::

    <!-- stand-ins: tickets.csv tickets.txt=80 my-model -->
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, chdir, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support.commands import command_of, run

_FENCE = re.compile(r"(?:<!--\s*(?P<note>[^>]*?)\s*-->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
_SHELL = re.compile(r"[|<>&;$`*]")
_SOURCES = ("python", "bash")


class Block(NamedTuple):
    """Text between two fences."""

    language: str
    text: str
    line: int  # of its first line in the page
    note: str  # of the comment before it

    @property
    def runs(self) -> bool:
        """Whether a test can run it."""
        own_test = self.text.startswith(">>> ")  # a doctest: tests/whole/test_documents.py runs it
        return self.language in _SOURCES and not self.note.startswith("not run: ") and not own_test


def blocks(page: Path) -> list[Block]:
    """All of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found["language"], found["text"], text[: found.start("text")].count("\n") + 1, found["note"] or "")
        for found in _FENCE.finditer(text)
    ]


def stand_ins(page: Path) -> dict[str, int | None]:
    """Names that a page takes as given, with a number of rows."""
    found = re.search(r"<!-- stand-ins: (.*?) -->", page.read_text(encoding="utf-8"), re.S)
    named = (name.partition("=") for name in (found[1].split() if found else []))
    return {name: int(rows) if rows else None for name, _, rows in named}


def commands(text: str) -> Iterator[str]:
    """Each command of a shell block in one line, without comments."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.strip()


def unknown_options(line: str) -> list[str]:
    """Options of ``simcse-kit`` commands in a line that there are not; also a command that there is not."""
    wrong = []
    for part in re.split(r"&&|\|(?!\|)|;", line):
        words = shlex.split(part, comments=True)
        while words and (re.fullmatch(r"\w+=.*", words[0]) or words[0] in ("exec", "time")):
            del words[0]
        if words[:1] == ["torchrun"] and "simcse_kit" in words:
            words = words[words.index("simcse_kit") :]
        if words[:1] not in (["simcse-kit"], ["simcse_kit"]):
            continue
        command, words = command_of(words[1:])
        if words and hasattr(command, "commands") and not words[0].startswith("-"):
            wrong.append(words[0])
        known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
        wrong += [word for word in words if re.match(r"--?[a-z]", word) and word.split("=")[0] not in known]
    return wrong


def run_page(page: Path, folder: Path) -> None:
    """Run all blocks of a page that run, in one folder; outputs that it shows are those that come."""
    names: dict[str, Any] = {"__name__": "__main__"}
    said = ""
    with _Server(folder) as server:
        for block in blocks(page):
            place, text = f"{page.name}:{block.line}", server.addressed(block.text)
            if block.note == "output":
                _compare(block.text, said, place)
            elif block.note.startswith("file: "):
                (folder / block.note.removeprefix("file: ")).write_text(block.text, encoding="utf-8")
            elif block.note == "server":
                (line,) = commands(block.text)
                said = server.start(line)
            elif block.runs and block.language == "python":
                with chdir(folder), redirect_stdout(StringIO()) as out:
                    exec(compile("\n" * (block.line - 1) + text, str(page), "exec"), names)
                said = out.getvalue()
            elif block.runs:
                said = "".join(_run(line, folder, place) for line in commands(text))


class _Server(ExitStack):
    """The command of a page that serves at the moment."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._host = ""

    def start(self, line: str) -> str:
        """Run a command on a free port, instead of the previous one; returns its output until it answers."""
        from support.server import only_loading, running  # they take the extra serve

        self.close()
        name, command, *arguments = shlex.split(line, comments=True)
        assert name == "simcse-kit", line
        if command == "demo":
            with pytest.MonkeyPatch.context() as patch:
                only_loading(patch)
                patch.setattr("webbrowser.open", lambda url: True)
                done = run(command, *arguments, "--port", 0, cwd=self._folder)
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            return done.stderr
        server = self.enter_context(running(*arguments, "--port", "0", command=command, folder=self._folder))
        self._host = server.url.removeprefix("http://")
        return "".join(server.said)

    def addressed(self, text: str) -> str:
        """A block with the address of the server that runs."""
        return re.sub(r"\b(localhost|127\.0\.0\.1):8000\b", self._host, text) if self._host else text


def _run(line: str, folder: Path, place: str) -> str:
    if line.startswith("simcse-kit ") and not _SHELL.search(re.sub(r"'[^']*'|\"[^\"$`]*\"", "", line)):
        done: Any = run(*shlex.split(line, comments=True)[1:], cwd=folder)
    else:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        shell = ["bash", "-euo", "pipefail", "-c", line]
        done = subprocess.run(shell, cwd=folder, capture_output=True, text=True, env=os.environ | {"PATH": path})
    assert done.returncode == 0, f"{place}: {line}\n{done.stdout}\n{done.stderr}"
    return f"{done.stdout}{done.stderr}"


def _compare(shown: str, said: str, place: str) -> None:
    """Each shown line occurs in the output, in order; one that ends in ``...`` may go on there."""
    rest = iter([_plain(line) for line in said.splitlines()])
    for line in shown.splitlines():
        if line.strip() not in ("", "..."):
            start, goes_on, _ = _plain(line).partition(" ...")
            found = any(one.startswith(start) if goes_on else one == start for one in rest)
            assert found, f"{place}: {line!r} is not in the output, or not in this order:\n{said}"


def _plain(line: str) -> str:
    """Without parts that differ from run to run: digits, and the width of columns."""
    return re.sub(r"[\s─━-]+", " ", re.sub(r"\d[\d,.:]*", "#", line)).strip()
