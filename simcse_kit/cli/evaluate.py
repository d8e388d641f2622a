"""``simcse-kit eval``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from simcse_kit.cli.options import BackendOption, BatchSize, Device, Dtype, Pooling, TrustRemoteCode, check_output_file
from simcse_kit.cli.suites import (
    Endpoint,
    Models,
    SuiteDataOption,
    Suites,
    downloads,
    suite_data,
    suite_options,
    suites_of,
    with_suite_options,
)
from simcse_kit.evaluation.suite import SUITES
from simcse_kit.files import write_json
from simcse_kit.tabular import rounded

if TYPE_CHECKING:
    from simcse_kit.evaluation import Difference
    from simcse_kit.report.comparison import Comparison, Measurement

DOWNLOADED = ", ".join(part.name for part in SUITES if part.can_download)
_ACROSS = 10  # scores in a table row; further scores go into rows below


@with_suite_options
def evaluate_models(
    *,
    models: Models,
    data: SuiteDataOption,
    suite: Suites = None,
    endpoint: Endpoint = None,
    pooling: Pooling = None,
    details: Annotated[
        bool, typer.Option("--details", help="Also print each suite's finer table: each subset, each classifier.")
    ] = False,
    output: Annotated[
        Literal["table", "latex", "md", "csv", "json"],
        typer.Option(
            "--format",
            help="Form of the output: table is for the terminal; latex (booktabs) and md have intervals and marks "
            "against the first model; csv and json have all digits.",
        ),
    ] = "table",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the results to this file. Default: no file.")
    ] = None,
    settings: dict[str, Any],
    record: Annotated[
        bool, typer.Option("--record", help="Write the scores into the models' folders and model cards.")
    ] = False,
    download: Annotated[
        bool, typer.Option("--download", help=f"First fetch the data of {DOWNLOADED} from the hub into --data.")
    ] = False,
    batch_size: BatchSize = None,
    device: Device = None,
    backend: BackendOption = "torch",
    dtype: Dtype = "float32",
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Measure models on your own pairs, queries or labels, or on the benchmarks of the field.

    The suites sts and transfer are the two tables of the SimCSE paper (SentEval's protocol, setting "all"). Several
    models are compared with the first: each difference has a 95 % interval (paired bootstrap), and "better" or "worse"
    is printed only if the interval excludes zero.

    Example: simcse-kit eval all-MiniLM-L6-v2 my-model --suite sts --data data/senteval
    Example: simcse-kit eval my-model --suite pairs,labels --data pairs=scored.tsv --data labels=tickets.csv
    """
    from simcse_kit.cli.console import err, escaped
    from simcse_kit.report.comparison import compare_models, compared, suites_with_data

    suites = suites_of(suite)
    if json_file is not None:
        check_output_file("--json", json_file)
    places = suite_data(data, suites)
    options = suite_options(suites, settings)
    for name, part in downloads(suites).items() if download else ():
        part.download(places[name])
    parts, _ = suites_with_data(suites, places, options)
    measured: list[Measurement] = []
    try:
        compare_models(
            models,
            places,
            suites,
            options=options,
            record=record,
            show_progress_bar=True,
            announce=lambda model, pooling, name: err().print(
                f"{escaped(_label(model, pooling))}, suite {escaped(name)}", style="dim"
            ),
            on_measured=measured.append,
            endpoint=endpoint,
            pooling=pooling,
            batch_size=batch_size,
            device=device,
            backend=backend,
            dtype=dtype,
            trust_remote_code=trust_remote_code,
        )
    finally:  # an error keeps the results measured before it
        if measured:
            comparison = compared(measured, parts)
            alone = len(models) * len(suites) == len(measured) == 1
            _print(comparison, output, details, _results(measured, alone=alone))
            if json_file is not None:
                write_json(json_file, _results(measured, alone=alone))


def _results(measured: Sequence[Measurement], *, alone: bool) -> dict[str, Any]:
    results = [{"model": one.model, "pooling": one.pooling, **one.result.to_json()} for one in measured]
    return results[0] if alone else {"results": results}


def _print(comparison: Comparison, output: str, details: bool, results: dict[str, Any]) -> None:
    from simcse_kit.cli.console import err, escaped, out
    from simcse_kit.report.score_table import as_latex, as_markdown

    if output == "table":
        for name in comparison.suites:
            out().print()
            print_suite(out(), comparison, name, details)
        return
    for label, note in comparison.notes_of_suites():
        err().print(f"{escaped(label)}: {escaped(note)}", style="dim")
    if output == "json":
        typer.echo(json.dumps(results, ensure_ascii=False))
    elif output == "csv":
        typer.echo(comparison.to_dataframe().to_csv(index=False), nl=False)
    else:
        write = as_latex if output == "latex" else as_markdown
        typer.echo("\n".join(map(write, comparison.score_tables())), nl=False)


def _label(name: str, pooling: str | None) -> str:
    return name if pooling is None else f"{name} ({pooling})"


def print_suite(console: Any, comparison: Comparison, suite: str, details: bool = False) -> None:
    """Print the scores of a suite, and how each model differs from the first."""
    from statistics import fmean

    from simcse_kit.cli.console import escaped, table
    from simcse_kit.report.score_table import SHORT

    models = [model for model in comparison.models if suite in model.results]
    labels = [model.label(model.title) for model in models]
    rows = [(label, model.results[suite]) for label, model in zip(labels, models, strict=True)]
    part, first = comparison.parts[suite], rows[0][1][0]
    geometry = [
        name for name in ("alignment", "uniformity") if first.alignment is not None and name not in first.scores
    ]
    digits = part.digits
    head = ["", *(SHORT.get(name, name) for name in first.scores), *geometry, "seconds"]
    lines = []
    for model, (label, results) in zip(models, rows, strict=True):
        lines.append(
            [
                label,
                *(_shown(model.mean(suite, name), digits) for name in first.scores),
                *(_shown(fmean(getattr(result, name) for result in results), 3) for name in geometry),
                f"{sum(result.seconds for result in results):.0f}",
            ]
        )
        if len(results) > 1:
            spreads = [_shown(model.spread(suite, name), digits) for name in first.scores]
            lines.append([f"  spread of {len(results)} seeds", *spreads, *("" for _ in geometry), ""])
    if len(first.scores) > _ACROSS:
        head, *lines = [list(column) for column in zip(head, *lines, strict=True)]
    console.print(table(head, lines, title=f"{suite}: {part.unit}"))
    for label, results in rows:
        for note in dict.fromkeys(note for result in results for note in result.notes):
            console.print(f"{escaped(label)}: {escaped(note)}", style="dim")
    for label, model in zip(labels[1:], models[1:], strict=True):
        _print_difference(console, labels[0], label, comparison.differences[model.name, suite])
    for label, results in rows if details else ():
        for result in filter(lambda result: result.details, results):
            fields = result.details[0]._fields
            texts = sum(1 for _ in takewhile(lambda value: isinstance(value, str), result.details[0]))
            finer = [[_shown(value, digits) for value in row] for row in result.details]
            console.print()
            console.print(table([name.replace("_", " ") for name in fields], finer, left=texts, title=label))


def _print_difference(console: Any, first: str, second: str, differences: Sequence[Difference]) -> None:
    from simcse_kit.cli.console import table
    from simcse_kit.report.score_table import SHORT

    lines = [
        [
            SHORT.get(line.score, line.score),
            _shown(line.first),
            _shown(line.second),
            rounded(line.difference, signed=True),
            f"{rounded(line.interval.low, signed=True)} to {rounded(line.interval.high, signed=True)}",
            line.verdict,
        ]
        for line in differences
    ]
    if not lines:  # a suite without per-item scores
        return
    console.print()
    head = ["", "first", "second", "difference", "95 % interval", "the second is"]
    console.print(table(head, lines, title=f"{first} (first) and {second} (second)"))


def _shown(value: Any, digits: int = 2) -> str:
    """A table cell. A number that is not defined is a dash; the suite's notes say why."""
    return rounded(value, digits) if isinstance(value, float) else str(value)
