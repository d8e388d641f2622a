"""``simcse-kit eval``."""

from __future__ import annotations

import math
from itertools import chain, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simcse_kit.cli.options import Backend, BatchSize, Device, Dtype, Pooling, TrustRemoteCode, check_output_file
from simcse_kit.cli.suites import BARS, Endpoint, Models, SuiteData, Suites, suite_data, suites_of

if TYPE_CHECKING:
    from simcse_kit.evaluation import SuiteResult

_SHORT = {"STSBenchmark": "STS-B", "SICKRelatedness": "SICK-R"}
_ACROSS = 10  # scores in a line of a table; more stand one below the other


def evaluate_models(
    models: Models,
    data: SuiteData,
    suite: Suites = None,
    endpoint: Endpoint = None,
    pooling: Pooling = None,
    details: Annotated[
        bool, typer.Option("--details", help="Also each suite's finer table: every subset, every classifier.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the results, at full precision.")] = None,
    split: Annotated[str, typer.Option(help="geometry: of STS-B, train, dev, test or all.")] = "all",
    dedupe: Annotated[bool, typer.Option("--dedupe", help="geometry: every pair and sentence once.")] = False,
    folds: Annotated[
        int, typer.Option(help="transfer: folds of the cross-validations; the paper's table has 10.", min=2)
    ] = 5,
    record: Annotated[
        bool, typer.Option("--record", help="Write the scores into the models' folders and their cards.")
    ] = False,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch the STS sets into DATA first, from the hub.")
    ] = False,
    batch_size: BatchSize = None,
    device: Device = None,
    backend: Backend = "torch",
    dtype: Dtype = "float32",
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Measure models: with human judgement of similarity (Spearman's correlation), or by what classifiers read.

    The suite sts is the seven-task table of the SimCSE paper (SentEval's protocol, setting "all"), transfer its
    other one. Several models are compared with the first: the difference of each score and where it lies with 95 %
    confidence (paired bootstrap); "better" and "worse" are said only where that excludes zero.

    Example: simcse-kit eval my-model all-MiniLM-L6-v2 --suite sts --data data/senteval
    """
    from simcse_kit.cli.console import err, out, plain
    from simcse_kit.encoding.embedders import open_embedder
    from simcse_kit.errors import SimCSEKitError
    from simcse_kit.evaluation import download_sts, evaluate
    from simcse_kit.files import write_json
    from simcse_kit.report.recording import check_recordable, record_evaluation
    from simcse_kit.training.seeds import seed_models

    suites = suites_of(suite)
    if json_file is not None:
        check_output_file("--json", json_file)
    places = suite_data(data, suites)
    if download:
        if "sts" not in suites:
            raise SimCSEKitError("--download fetches the data of the suite sts; the others have to lie in --data")
        download_sts(places["sts"])
    options: dict[str, dict[str, Any]] = {
        **BARS,
        "transfer": {"folds": folds, **BARS["transfer"]},
        "geometry": {"split": split, "dedupe": dedupe},
    }
    results: list[dict[str, Any]] = []
    measured: dict[str, dict[int, tuple[str, list[SuiteResult]]]] = {name: {} for name in suites}  # by place in models
    seeds = [seed_models(given) for given in models]
    groups: list[list[Path | str]] = [[*runs] or [given] for given, runs in zip(models, seeds, strict=True)]
    if record:
        for folder in chain.from_iterable(groups):
            check_recordable(folder)
    try:
        for number, members in enumerate(groups):
            for member in members:
                model = open_embedder(
                    member,
                    endpoint=endpoint,
                    pooling=pooling,
                    batch_size=batch_size,
                    show_progress_bar=True,
                    device=device,
                    backend=backend,
                    dtype=dtype,
                    trust_remote_code=trust_remote_code,
                )
                label = _label(models[number] if seeds[number] else model.name, model.pooling)
                own: list[SuiteResult] = []
                for name in suites:
                    err().print(f"{plain(_label(str(member), model.pooling))}, suite {name}", style="dim")
                    with model.full_length():
                        result = evaluate(model.encode, name, places[name], **options.get(name, {}))
                    own.append(result)
                    measured[name].setdefault(number, (label, []))[1].append(result)
                    results.append({"model": str(member), "pooling": model.pooling, **result.to_json()})
                if record:
                    record_evaluation(member, own)
    finally:  # what was measured before an error is not lost
        for name, rows in measured.items():
            if rows:
                out().print()
                _print_suite(out(), name, list(rows.values()), details)
        if json_file is not None and results:
            write_json(
                json_file, results[0] if len(models) * len(suites) == len(results) == 1 else {"results": results}
            )


def _label(name: str, pooling: str | None) -> str:
    return name if pooling is None else f"{name} ({pooling})"


def _print_suite(console: Any, suite: str, rows: list[tuple[str, list[SuiteResult]]], details: bool) -> None:
    from statistics import fmean, stdev

    from simcse_kit.cli.console import plain, table
    from simcse_kit.evaluation import SUITES

    first = rows[0][1][0]
    geometry = [
        name for name in ("alignment", "uniformity") if first.alignment is not None and name not in first.scores
    ]
    digits = 3 if suite == "geometry" else 2
    head = ["", *(_SHORT.get(name, name) for name in first.scores), *geometry, "seconds"]
    lines = []
    for label, results in rows:
        scores = [[result.scores[name] for result in results] for name in first.scores]
        lines.append(
            [
                label,
                *(_shown(fmean(own), digits) for own in scores),
                *(_shown(fmean(getattr(result, name) for result in results), 3) for name in geometry),
                f"{sum(result.seconds for result in results):.0f}",
            ]
        )
        if len(results) > 1:
            spreads = [_shown(stdev(own), digits) for own in scores]
            lines.append([f"  spread of {len(results)} seeds", *spreads, *("" for _ in geometry), ""])
    if len(first.scores) > _ACROSS:
        head, *lines = [list(column) for column in zip(head, *lines, strict=True)]
    console.print(table(head, lines, title=f"{suite}: {SUITES[suite].unit}"))
    for label, results in rows:
        for note in dict.fromkeys(note for result in results for note in result.notes):
            console.print(f"{plain(label)}: {plain(note)}", style="dim")
    for label, results in rows[1:] if first.outcomes else ():
        _print_difference(console, rows[0], (label, results))
    for label, results in rows if details else ():
        for result in results:
            fields = result.details[0]._fields
            texts = sum(1 for _ in takewhile(lambda value: isinstance(value, str), result.details[0]))
            finer = [[_shown(value, digits) for value in row] for row in result.details]
            console.print()
            console.print(table([name.replace("_", " ") for name in fields], finer, left=texts, title=label))


def _print_difference(
    console: Any, first: tuple[str, list[SuiteResult]], second: tuple[str, list[SuiteResult]]
) -> None:
    from simcse_kit.cli.console import table
    from simcse_kit.evaluation import compare

    lines = [
        [
            _SHORT.get(line.score, line.score),
            _shown(line.first),
            _shown(line.second),
            _signed(line.difference),
            f"{_signed(line.interval.low)} to {_signed(line.interval.high)}",
            line.verdict,
        ]
        for line in compare(first[1], second[1])
    ]
    console.print()
    head = ["", "first", "second", "difference", "95 % interval", "the second is"]
    console.print(table(head, lines, title=f"{first[0]} (first) and {second[0]} (second)"))


def _shown(value: Any, digits: int = 2) -> str:
    """A cell; a number that is not defined is a dash, and the suite's notes say why."""
    if isinstance(value, float):
        return f"{value:.{digits}f}" if math.isfinite(value) else "–"
    return str(value)


def _signed(value: float) -> str:
    return f"{value:+.2f}" if math.isfinite(value) else "–"
