"""One self-contained HTML page: no script, no network, light and dark, prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart with the sentence that says what to see in it."""

    title: str
    svg: str
    caption: str
    wide: bool = False


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a report shows, in this order."""

    title: str
    lead: str
    table_head: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    figures: Sequence[Figure] = ()
    answers: Mapping[str, Sequence[tuple[float, str]]] = field(default_factory=dict)  # query to (score, text)
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


def write_page(path: Path, page: Page) -> None:
    """Render ``page`` to ``path``; every text is escaped."""
    from jinja2 import Environment

    source = (files("simcse_kit") / "report" / "page.html.j2").read_text(encoding="utf-8")
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    path.write_text(template.render(page=page), encoding="utf-8")
