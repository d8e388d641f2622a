"""A report as a page, as Markdown, as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from simcse_kit.errors import SimCSEKitError
from simcse_kit.evaluation import intervals
from simcse_kit.files import write_json
from simcse_kit.report.gather import ModelReport, Report
from simcse_kit.report.page import Page, Section, Table, page_markdown, write_page
from simcse_kit.report.pairs import ShownPairs, shown_pairs, worst_pairs
from simcse_kit.report.pictures import figures
from simcse_kit.tabular import rounded
from simcse_kit.wording import counted

_ACROSS = 3  # models whose score and interval fit on one line
FORMATS = ("html", "md", "json")


def write_report(report: Report, path: str | Path, format: str | None = None) -> None:
    """Write a report in a format of `FORMATS`; None: by the suffix of the path.

    Raises:
        SimCSEKitError: neither argument gives a known format.
    """
    place, wanted = Path(path), report_format(path, format)
    if wanted == "html":
        write_page(place, report_page(report))
    elif wanted == "md":
        place.write_text(page_markdown(report_page(report, charts=False)), encoding="utf-8")
    else:
        write_json(place, report_json(report))


def report_format(path: str | Path, format: str | None = None) -> str:
    """A format of `FORMATS`: the requested one, or that of the path's suffix."""
    ending = Path(path).suffix[1:].lower()
    wanted = format or {"htm": "html", "markdown": "md"}.get(ending, ending)
    if wanted not in FORMATS:
        raise SimCSEKitError(f"the format of a report must be one of {', '.join(FORMATS)}; got {wanted or str(path)!r}")
    return wanted


def report_json(report: Report) -> dict[str, Any]:
    """All content of a report as plain JSON at full precision, including the worst pairs."""
    shown = shown_pairs(report)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": dict(report.machine),
        "notes": list(report.notes),
        "models": [
            {
                "model": model.name,
                "pooling": model.pooling,
                "sentences_per_second": _number(model.sentences_per_second),
                "results": [
                    result.to_json() | {"intervals": {name: list(map(_number, ends)) for name, ends in own.items()}}
                    for results in model.results.values()
                    for result, own in ((result, intervals(result)) for result in results)
                ],
                "summary": {suite: _summary(report, model, suite) for suite in report.suites},
                "against_the_first": [
                    {"suite": suite, "score": line.score, "difference": _number(line.difference)}
                    | {"interval": list(map(_number, line.interval)), "verdict": line.verdict}
                    for suite in report.suites
                    for line in report.differences[model.name, suite]
                ],
                "runs": [
                    {
                        "run": log.record,
                        "losses": [list(point) for point in log.losses],
                        "scores": [list(point) for point in log.scores],
                        "geometry": [point._asdict() for point in log.geometry],
                        "saved_step": log.saved_step,
                    }
                    for log in model.logs
                ],
                "worst_pairs": [pair._asdict() for pair in worst_pairs(model, shown)] if shown else [],
            }
            for model in report.models
        ],
    }


def _summary(report: Report, model: ModelReport, suite: str) -> dict[str, dict[str, Any]]:
    """Mean, spread and interval of each score over the seeds."""
    results, spans = model.results[suite], report.intervals[model.name, suite]
    summary = {}
    for score in results[0].scores:
        values = [result.scores[score] for result in results]
        summary[score] = {
            "mean": _number(float(np.mean(values))),
            "spread": _number(float(np.std(values, ddof=1))) if len(values) > 1 else None,
            "interval": list(map(_number, spans[score])) if score in spans else None,
        }
    return summary


def report_page(report: Report, *, charts: bool = True) -> Page:
    """The page; optionally without charts."""
    names = [model.name for model in report.models]
    sections = [_scores(report)]
    if charts:
        sections.append(Section(title="Pictures", figures=list(figures(report))))
    shown = shown_pairs(report)
    if shown:
        sections.append(_worst_section(report, shown))
    sections += [_facts(model) for model in report.models if model.logs]
    sections.append(Section(title="How to read this", notes=[*report.notes, *_reading(report)]))
    return Page(title=f"Report: {', '.join(names)}", lead=_lead(report), sections=sections)


def _lead(report: Report) -> str:
    suite, score = report.suites[0], report.main_score
    parts = []
    for model in report.models:
        text = f"{model.name}: {rounded(model.mean(suite, score))}"
        for line in report.differences[model.name, suite]:
            if line.score == score:
                change = rounded(line.difference, signed=True)
                text += f", {line.verdict} ({change}; 95 %: {_span(line.interval, signed=True)})"
        parts.append(text)
    unit = report.parts[suite].unit
    return f"{suite}, {score} ({unit}). {'; '.join(parts)}."


def _scores(report: Report) -> Section:
    tables: list[Table] = []
    for suite in report.suites:
        tables.append(_score_table(report, suite))
        if len(report.models) > 1 and report.models[0].results[suite][0].outcomes:
            tables.append(_difference_table(report, suite))
    return Section(tables=tables, notes=[f"{label}: {note}" for label, note in report.notes_of_suites()])


def _score_table(report: Report, suite: str) -> Table:
    """One row per score, one column per model."""
    first = report.models[0].results[suite][0]
    digits = report.parts[suite].digits
    columns = []
    for model in report.models:
        results = model.results[suite]
        spans = report.intervals[model.name, suite]
        cells = [f"{model.name}\n{counted(len(results), 'seed')}" if len(results) > 1 else model.name]
        for score in first.scores:
            cell = rounded(model.mean(suite, score), digits)
            if len(results) > 1:
                cell += f" ± {rounded(model.spread(suite, score), digits)}"
            span = spans.get(score, (math.nan, math.nan))
            cells.append(_cell(report, cell, f"({_span(span)})" if all(map(math.isfinite, span)) else ""))
        columns.append(cells)
    return _table(list(first.scores), columns, f"{suite}: {report.parts[suite].unit}")


def _difference_table(report: Report, suite: str) -> Table:
    scores = list(report.models[0].results[suite][0].scores)
    columns = []
    for model in report.models[1:]:
        lines = {line.score: line for line in report.differences[model.name, suite]}
        cells = [model.name]
        for score in scores:
            line = lines.get(score)
            span = "" if line is None else f"({_span(line.interval, signed=True)})"
            cells.append(
                "" if line is None else _cell(report, rounded(line.difference, signed=True), span, line.verdict)
            )
        columns.append(cells)
    return _table(scores, columns, f"{suite}: against {report.models[0].name}")


def _cell(report: Report, *parts: str) -> str:
    """On one line; with many models, whose columns are narrow, on several lines."""
    return (" " if len(report.models) <= _ACROSS else "\n").join(filter(None, parts))


def _table(scores: list[str], columns: list[list[str]], caption: str) -> Table:
    head, *rows = [list(line) for line in zip(["", *scores], *columns, strict=True)]
    return Table(head=head, rows=rows, caption=caption)


def _worst_section(report: Report, pairs: ShownPairs) -> Section:
    tables = []
    for model in report.models:
        rows = [
            [
                pair.first,
                pair.second,
                f"{pair.gold + 0.0:g}",
                rounded(pair.cosine),
                f"{rounded(100 * pair.error, 0, signed=True)} %",
            ]
            for pair in worst_pairs(model, pairs)
        ]
        head = ["first sentence", "second sentence", "gold", "cosine", "rank error"]
        tables.append(Table(head=head, rows=rows, left=2, caption=model.name))
    return Section(
        title="Pairs to read",
        text=f"The pairs of {pairs.title} whose rank by cosine is farthest from their rank by gold: first the most "
        "overestimated, then the most underestimated.",
        tables=tables,
    )


def _facts(model: ModelReport) -> Section:
    record = model.logs[0].record
    arguments, data = record["arguments"], record["data"]
    seeds = ", ".join(str(log.record["arguments"]["seed"]) for log in model.logs)
    kept = ", ".join("0 (the start model)" if log.saved_step == 0 else str(log.saved_step) for log in model.logs)
    facts = {
        "training": f"{arguments['mode']}, {arguments['recipe'] or arguments['objective']}, from {arguments['model']}",
        "data": f"{counted(data['rows'], 'row')} of {Path(data['source']).name}",
        "settings": f"batch size {arguments['batch_size']}, learning rate {arguments['learning_rate']:g}, "
        f"epochs {arguments['epochs']}, max_seq_length {arguments['max_seq_length']}, "
        f"temperature {arguments['temperature']}",
        "pooling": str(model.pooling),
        "seeds" if len(model.logs) > 1 else "seed": seeds,
        "step of the model": kept,
        "precision": str(record.get("precision")),
        "versions": ", ".join(f"{name} {number}" for name, number in record["versions"].items() if number),
    }
    if record.get("commit"):
        facts["commit"] = record["commit"]
    return Section(title=f"The run {model.name}", facts=facts)


def _reading(report: Report) -> list[str]:
    notes = [
        "An interval contains the score, or the difference, with 95 % confidence (bootstrap over the items, "
        'for a recipe also over its seeds; paired between models). "Better" and "worse" appear only if the '
        "interval of the difference excludes zero.",
        f"Measured on {datetime.now(UTC).date().isoformat()}, {report.machine_name}.",
    ]
    if any(len(model.logs) > 1 for model in report.models):
        notes.insert(
            1, "For a recipe with several seeds, the charts of pairs and the listed pairs are those of the first seed."
        )
    return notes


def _span(ends: Sequence[float], *, signed: bool = False) -> str:
    low, high = (rounded(end, signed=signed) for end in ends)
    return f"{low} to {high}" if all(map(math.isfinite, ends)) else "not defined"


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
