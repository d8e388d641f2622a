"""A comparison as a table of scores, for a terminal, a paper or a spreadsheet."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import NamedTuple

from simcse_kit.report.page import plain_markdown

SHORT = {"STSBenchmark": "STS-B", "SICKRelatedness": "SICK-R"}
"""Scores whose names are too long for a table head."""

MARKS = {"better": "↑", "worse": "↓"}
"""Marks for the verdict against the first model."""

_NARROW = 4  # scores that fit on the width of a page
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "–": "--",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "%": r"\%",
    **{mark: f"\\{mark}" for mark in "&$#_{}"},
}


class ScoreCell(NamedTuple):
    """One score of one model, rounded as its suite rounds."""

    value: str  # the mean over the seeds, as a number; a dash if it is not defined
    spread: str  # standard deviation over the seeds; "" for one seed
    interval: str  # 95 % interval; "" if there is none
    mark: str  # ↑ or ↓ if it is clearly better or worse than the first model's
    best: bool  # highest of its column


class ScoreLine(NamedTuple):
    """One model, or one recipe under several seeds."""

    label: str
    seeds: int
    cells: Sequence[ScoreCell]


class ScoreTable(NamedTuple):
    """One suite: one row per model, one column per score."""

    suite: str
    unit: str
    scores: Sequence[str]
    lines: Sequence[ScoreLine]

    @property
    def caption(self) -> str:
        """What the table shows, and what its marks mean."""
        cells = [cell for line in self.lines for cell in line.cells]
        sentences = [f"{self.suite}: {self.unit}."]
        if any(cell.best for cell in cells):
            sentences.append("Bold: best of the column.")
        if seeds := sorted({line.seeds for line in self.lines if line.seeds > 1}):
            sentences.append(f"±: standard deviation over {' or '.join(map(str, seeds))} seeds.")
        if any(cell.interval for cell in cells):
            sentences.append("In brackets: 95 % interval (bootstrap).")
        if any(cell.mark for cell in cells):
            sentences.append(
                f"↑, ↓: better, worse than {self.lines[0].label}; the 95 % interval of the difference (paired "
                "bootstrap) excludes zero."
            )
        return " ".join(sentences)


def as_markdown(table: ScoreTable) -> str:
    """A table in GitHub's Markdown, with its caption below."""
    rows = [["", *table.scores], [":--", *["--:"] * len(table.scores)], *_rows(table, plain_markdown, "**{}**".format)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", plain_markdown(table.caption)]) + "\n"


def as_latex(table: ScoreTable) -> str:
    """A ``table`` in LaTeX. It needs the package booktabs, and graphicx for a wide table, which is scaled to fit."""
    wide = len(table.scores) > _NARROW
    head = " & ".join(["", *map(_latex_text, table.scores)])
    small = "{{\\scriptsize {}}}".format
    rows = [" & ".join(row) for row in _rows(table, _latex_text, "\\textbf{{{}}}".format, small)]
    lines = [
        f"\\begin{{tabular}}{{l{'r' * len(table.scores)}}}",
        r"  \toprule",
        f"  {head.strip()} \\\\",
        r"  \midrule",
        *(f"  {row.strip()} \\\\" for row in rows),
        r"  \bottomrule",
        r"\end{tabular}",
    ]
    if wide:
        lines = [r"\resizebox{\linewidth}{!}{%", *lines, "}"]
    caption = [r"\centering", f"\\caption{{{_latex_text(table.caption)}}}", f"\\label{{tab:{table.suite}}}"]
    body = [f"  {line}" for line in [*caption, *lines]]
    kind = "table*" if wide else "table"
    return "\n".join([f"\\begin{{{kind}}}", *body, f"\\end{{{kind}}}", ""])


def as_html(table: ScoreTable) -> str:
    """A ``<table>``, with all text escaped."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ["", *table.scores])
    rows = "".join(
        f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>"
        for row in _rows(table, html.escape, "<b>{}</b>".format)
    )
    caption = f"<caption>{html.escape(table.caption)}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _rows(
    table: ScoreTable, text: Callable[[str], str], bold: Callable[[str], str], small: Callable[[str], str] = str
) -> list[list[str]]:
    """One row per model, followed by a row of intervals."""
    rows = []
    for line in table.lines:
        cells = []
        for cell in line.cells:
            value = text(cell.value + (f" ± {cell.spread}" if cell.spread else ""))
            cells.append((bold(value) if cell.best else value) + text(cell.mark))
        rows.append([text(line.label), *cells])
        if any(cell.interval for cell in line.cells):
            rows.append(["", *(small(text(f"[{cell.interval}]")) if cell.interval else "" for cell in line.cells)])
    return rows


def _latex_text(text: str) -> str:
    """
    >>> print(_latex_text("50 % of a_b ± 1"))
    50 \\% of a\\_b $\\pm$ 1
    """
    return "".join(_LATEX.get(letter, letter) for letter in text)
