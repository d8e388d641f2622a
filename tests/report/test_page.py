"""A page of a report: numbers, and texts that are text."""

from __future__ import annotations

import math
from pathlib import Path

from simcse_kit.report import Page, Section, Table, page_markdown, write_page

MARKUP = "\"><script>document.title = 'owned'</script>"


def written(page: Page, folder: Path) -> str:
    write_page(folder / "page.html", page)
    return (folder / "page.html").read_text(encoding="utf-8")


def test_a_small_number_below_zero_is_zero(tmp_path: Path) -> None:
    page = Page(title="t", lead="", sections=[Section(answers={"a query": [(-0.001, "a"), (-0.006, "b")]})])
    for text in (written(page, tmp_path), page_markdown(page)):
        assert "-0.00" not in text
        assert "0.00" in text
        assert "-0.01" in text


def test_what_a_page_holds_is_text(tmp_path: Path) -> None:
    table = Table(head=["", MARKUP], rows=[[MARKUP, "1"]], caption=MARKUP)
    section = Section(title=MARKUP, tables=[table], answers={MARKUP: [(math.nan, MARKUP)]}, facts={MARKUP: MARKUP})
    text = written(Page(title=MARKUP, lead=MARKUP, sections=[section]), tmp_path)
    assert "<script" not in text
    assert '"">' not in text
    assert 'aria-label="&#34;&gt;&lt;script&gt;' in text
