"""The command without a new process: `main` as a shell would run it, with its output and exit status."""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
import warnings
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from typer.main import get_command

from simcse_kit import errors
from simcse_kit.cli import app, main

COMMAND = [sys.executable, "-m", "simcse_kit"]  # where the process itself is the subject
_COLOURS = re.compile(r"\x1b\[[\d;]*m")


class Done(NamedTuple):
    """As `subprocess.CompletedProcess` has it."""

    returncode: int
    stdout: str
    stderr: str


class _Terminal(io.TextIOWrapper):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def run(*arguments: object, cwd: Path | None = None, input: bytes | None = None, terminal: int | None = None) -> Done:
    """Run ``simcse-kit ARGUMENTS`` in this process, to its end; notices are said as in a new one.

    ``input`` is what standard input holds; None leaves it as it is. ``terminal``: standard output is a terminal with
    this number of columns; its colours are left out of the result.
    """
    kinds = (io.TextIOWrapper if terminal is None else _Terminal), io.TextIOWrapper
    out, err = (kind(io.BytesIO(), encoding="utf-8", write_through=True) for kind in kinds)
    environment = {"TOKENIZERS_PARALLELISM": "false"}
    if terminal is not None:
        environment |= {"COLUMNS": str(terminal), "TERM": "xterm"}
    errors._said.clear()
    given = sys.stdin
    if input is not None:
        given = io.TextIOWrapper(io.BufferedReader(io.BytesIO(input)), encoding="utf-8")
    with (
        patch.object(sys, "argv", ["simcse-kit", *map(str, arguments)]),
        patch.object(sys, "stdin", given),
        patch.dict(os.environ, environment),
        warnings.catch_warnings(),
        redirect_stdout(out),
        redirect_stderr(err),
        chdir(cwd or Path.cwd()),
    ):
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    errors._said.clear()
    shown, said = (stream.buffer.getvalue().decode() for stream in (out, err))
    return Done(code, shown if terminal is None else _COLOURS.sub("", shown), said)


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words behind ``simcse-kit`` name, and the words behind its name."""
    command: Any = get_command(app)
    rest = list(words)
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    return command, rest


def parsed(line: str) -> list[str]:
    """The arguments of a line that begins with ``simcse-kit``; an error where its command does not take them."""
    program, *arguments = shlex.split(line)
    assert program == "simcse-kit", line
    command, rest = command_of(arguments)
    if rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        raise AssertionError(f"no such command: {line}")
    command.make_context(command.name, rest)
    return arguments
