"""A page of sections, as self-contained HTML (no script, no network, light and dark, printable) or as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from simcse_kit.report.picture import Picture
from simcse_kit.tabular import rounded


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart with a sentence that says what it shows."""

    title: str
    picture: Picture
    caption: str
    wide: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of cells; line breaks in a cell stay."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1  # text columns at the left; the others are numbers
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Section:
    """Part of a page; its fields are shown in this order."""

    title: str = ""
    text: str = ""
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    answers: Mapping[str, Sequence[tuple[float, str]]] = field(default_factory=dict)  # query to (score, text)
    notes: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Page:
    """Content of a report."""

    title: str
    lead: str
    sections: Sequence[Section]


def write_page(path: Path, page: Page) -> None:
    """Render ``page`` to ``path``; every text is escaped."""
    from jinja2 import Environment

    source = (files("simcse_kit") / "report" / "page.html.j2").read_text(encoding="utf-8")
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    path.write_text(template.render(page=page, rounded=rounded), encoding="utf-8")


def page_markdown(page: Page) -> str:
    """The page as Markdown, without charts."""
    lines = [f"# {plain_markdown(page.title)}", "", plain_markdown(page.lead), ""]
    for section in page.sections:
        content = _section(section)
        if content:
            lines += [*([f"## {plain_markdown(section.title)}", ""] if section.title else []), *content]
    return "\n".join(lines).rstrip() + "\n"


def _section(section: Section) -> list[str]:
    lines = [plain_markdown(section.text), ""] if section.text else []
    for table in section.tables:
        lines += [f"**{plain_markdown(table.caption)}**", ""] if table.caption else []
        marks = [":--" if i < table.left else "--:" for i in range(len(table.head))]
        lines += [_row(table.head), _row(marks, plain=False), *(_row(row) for row in table.rows), ""]
    for query, hits in section.answers.items():
        lines += [
            f"**{plain_markdown(query)}**",
            "",
            *(f"- {rounded(score)} {plain_markdown(text)}" for score, text in hits),
            "",
        ]
    if section.notes:
        lines += [*(f"- {plain_markdown(note)}" for note in section.notes), ""]
    if section.facts:
        lines += [*(f"- {plain_markdown(name)}: {plain_markdown(value)}" for name, value in section.facts.items()), ""]
    return lines


def _row(cells: Sequence[str], *, plain: bool = True) -> str:
    return f"| {' | '.join(plain_markdown(cell) if plain else cell for cell in cells)} |"


def plain_markdown(text: str) -> str:
    """Text as one line of Markdown, fully escaped."""
    for mark in "\\`*_[]<|":
        text = text.replace(mark, f"\\{mark}")
    return "<br>".join(text.splitlines())
