"""How the commands talk: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_PLAIN_WIDTH = 4000  # columns where the output is no terminal: a line of a table stays a line
_LONGEST = 1000  # characters of a text in a table


def _console(stream: Any, *, stderr: bool) -> Console:
    return Console(
        stderr=stderr, highlight=False, soft_wrap=True, width=None if stream.isatty() else _PLAIN_WIDTH, emoji=False
    )


def out() -> Console:
    """Standard output, for results."""
    return _console(sys.stdout, stderr=False)


def err() -> Console:
    """Standard error, for progress, notices and errors."""
    return _console(sys.stderr, stderr=True)


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
            err().print(f"[yellow]note:[/] {escaped(message)}")

    warnings.simplefilter("ignore")
    warnings.simplefilter("always", Notice)
    warnings.showwarning = show  # type: ignore[assignment]


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, title: str | None = None) -> Table:
    """A table whose first ``left`` columns are text and the others numbers, aligned to the right."""
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for i, name in enumerate(head):
        made.add_column(name, justify="left" if i < left else "right", overflow="fold", style=None)
    for row in rows:
        made.add_row(*[escaped(cell) for cell in row])
    return made


def facts(pairs: Sequence[tuple[str, object]]) -> Table:
    """Names and values in two columns."""
    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        made.add_row(name, escaped(value))
    return made


def sentences_of(source: str) -> Path | str:
    """A data source as the user typed it: a path, or ``hf:NAME`` as it is."""
    return source if source.startswith("hf:") else Path(source)
