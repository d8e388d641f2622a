"""Documents with two related columns: title and body, or question and answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from simcse_kit.data.columns import by_given_names, folded
from simcse_kit.data.reading import Layout, open_rows
from simcse_kit.data.text import text_of

SHORT_NAMES = ("title", "heading", "headline", "subject", "question", "query", "name", "summary")
LONG_NAMES = ("text", "body", "content", "abstract", "description", "answer", "section", "message", "passage")


class Structured(NamedTuple):
    """N documents of two parts. Either part may be empty, but not both."""

    short: list[str]  # titles, questions
    long: list[str]  # bodies, answers
    names: tuple[str, str]  # column names
    source: str
    empty: int  # dropped rows without any text

    @property
    def rest(self) -> list[str]:
        """Long parts without the short part, if they start with it, as texts often repeat their title; may be empty."""
        return [
            long[len(short) :].lstrip(" .:-\n") if short and long.startswith(short) else long
            for short, long in zip(self.short, self.long, strict=True)
        ]

    @property
    def whole(self) -> list[str]:
        """Both parts as one text, short part first, as in an index (BEIR's layout). A repeated title is not doubled."""
        return [
            long if long.startswith(short) else f"{short} {long}".strip()
            for short, long in zip(self.short, self.long, strict=True)
        ]


def read_structured(source: str | Path | Sequence[object]) -> Structured | None:
    """Read documents of a short and a long part; None if the columns do not match.

    The parts are the first columns with a name in `SHORT_NAMES` and one in `LONG_NAMES`.

    Raises:
        DataError: a row cannot be used, with file and line.
    """
    wanted = frozenset((*SHORT_NAMES, *LONG_NAMES))
    with open_rows(source, is_wanted=lambda name: name.strip().casefold() in wanted) as reading:
        head = reading.head("documents")
        if head.names is None and not reading.may_have_header:
            return None
        names = [str(name).strip() for name in head.names or head.cells]
        chosen = _chosen(names)
        if chosen is None:
            return None
        layout: Layout = by_given_names(reading, chosen, "documents")
        rows = reading.collect(layout, _parts)
        return Structured(
            [short for short, _ in rows], [long for _, long in rows], chosen, reading.source, reading.empty
        )


def _chosen(names: Sequence[str]) -> tuple[str, str] | None:
    """Original names of the columns of both parts.

    >>> _chosen(["id", "Title", "text"]), _chosen(["id", "text"])
    (('Title', 'text'), None)
    """
    known = dict(zip(folded(names), names, strict=True))
    short = next((known[name] for name in SHORT_NAMES if name in known), None)
    long = next((known[name] for name in LONG_NAMES if name in known), None)
    return None if short is None or long is None else (short, long)


def _parts(cells: tuple[object, ...]) -> tuple[str, str] | None:
    """Both parts, stripped; None if both are empty. A null is an empty part."""
    short, long = ("" if cell is None else text_of(cell) for cell in cells)
    return (short, long) if short or long else None
