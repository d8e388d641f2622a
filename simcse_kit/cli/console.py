"""How the commands talk: results on standard output, everything else on standard error."""

from __future__ import annotations

import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from simcse_kit import bars
from simcse_kit.cli.fitting import WIDEST, FittedTable
from simcse_kit.cli.lines import write_line

_PLAIN_WIDTH = 4000  # columns where the output is no terminal: a line of a table stays a line
_LONGEST = 1000  # characters of a text in a table

Style = Literal["bars", "lines", "json", "quiet"]
"""What standard error gets: text with bars, text with lines for bars, JSON lines, or errors only."""
Kind = Literal["message", "note", "error"]

_style: Style = "bars"
_OTHERS_BARS = ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS")  # read when they are imported


def _console(stream: Any, *, stderr: bool) -> Console:
    """Text is never wrapped, so the width is that of tables."""
    console = Console(stderr=stderr, highlight=False, soft_wrap=True, emoji=False)
    console.width = min(console.width, WIDEST) if stream.isatty() else _PLAIN_WIDTH
    return console


def out() -> Console:
    """Standard output, for results."""
    return _console(sys.stdout, stderr=False)


def err(kind: Kind = "message") -> Console:
    """Standard error, for progress, notices and errors."""
    if _style == "json":
        return Console(file=_JsonLines(kind), highlight=False, soft_wrap=True, width=_PLAIN_WIDTH, emoji=False)  # type: ignore[arg-type]
    console = _console(sys.stderr, stderr=True)
    console.quiet = _style == "quiet" and kind != "error"
    return console


def tell(kind: Literal["note", "error"], text: str) -> None:
    """Print a notice or an error on standard error, with its kind before it."""
    mark = "" if _style == "json" else f"[{'red' if kind == 'error' else 'yellow'}]{kind}:[/] "
    err(kind).print(mark + escaped(text))


class _JsonLines:
    """A stream whose lines become JSON objects on standard error."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def write(self, text: str) -> int:
        for line in filter(str.strip, text.splitlines()):
            write_line(self._kind, text=line.rstrip())
        return len(text)

    def flush(self) -> None:
        sys.stderr.flush()


@contextmanager
def speaking() -> Iterator[None]:
    """Around a command: bars where standard error is a terminal, else lines; `speak` chooses another style."""
    before = _style, bars.show_by(None)
    speak("bars" if sys.stderr.isatty() else "lines")
    try:
        yield
    finally:
        _restore(*before)


def speak(style: Style) -> None:
    """Choose what standard error gets from now on."""
    if style in ("json", "quiet"):
        os.environ |= dict.fromkeys(_OTHERS_BARS, "1")

    def make(*arguments: Any, **settings: Any) -> Any:
        from simcse_kit.cli import bars as kinds  # which imports tqdm

        return {"lines": kinds.LogBar, "json": kinds.JsonBar, "quiet": kinds.no_bar}[style](*arguments, **settings)

    _restore(style, None if style == "bars" else make)


def _restore(style: Style, make: Callable[..., Any] | None) -> None:
    global _style
    _style = style
    bars.show_by(make)


def escaped(text: object) -> str:
    """Text that came from a file or a user, safe from being read as markup."""
    from rich.markup import escape

    return escape(str(text))


def shortened(text: str) -> str:
    """A text as a table shows it: a very long one is cut, and says so."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … ({len(text):,} characters)"


def show_notices() -> None:
    """Print this package's notices as a line each; leave out what other packages warn their developers of."""
    from simcse_kit.errors import Notice

    def show(message: Warning | str, category: type[Warning], *rest: Any) -> None:
        if issubclass(category, Notice):
            tell("note", str(message))

    warnings.simplefilter("ignore")
    warnings.simplefilter("always", Notice)
    warnings.showwarning = show  # type: ignore[assignment]


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, title: str | None = None
) -> FittedTable:
    """A table whose first ``left`` columns are text and the others numbers, aligned to the right."""
    made = FittedTable(title=title)
    for i, name in enumerate(head):
        made.add_column(name, justify="left" if i < left else "right", overflow="fold")
    for row in rows:
        made.add_row(*[escaped(cell) for cell in row])
    return made


def facts(pairs: Sequence[tuple[str, object]]) -> FittedTable:
    """Names and values in two columns."""
    made = FittedTable(show_header=False)
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        made.add_row(name, escaped(value))
    return made


def show_next(command: Sequence[object], what: str = "next") -> None:
    """Print the command that comes next on a line of its own, as it can be copied."""
    out().print(escaped(f"{what}: {shlex.join(['simcse-kit', *map(str, command)])}"), style="dim")


def sentences_of(source: str) -> Path | str:
    """A data source as the user typed it: a path, or ``hf:NAME`` as it is."""
    return source if source.startswith("hf:") else Path(source)
