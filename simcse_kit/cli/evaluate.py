"""``simcse-kit eval``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simcse_kit.cli.options import Backend, BatchSize, Device, Dtype, Pooling, TrustRemoteCode

if TYPE_CHECKING:
    from simcse_kit.evaluation import SuiteResult
    from simcse_kit.model import SimCSE

_SHORT = {"STSBenchmark": "STS-B", "SICKRelatedness": "SICK-R"}


def evaluate_models(
    models: Annotated[list[str], typer.Argument(help="Folders or hub names.", metavar="MODEL...")],
    data: Annotated[
        Path,
        typer.Option(
            help="Suite sts: folder with STS/ and SICK/ (or senteval/); korsts: folder with korsts/; pairs: a file of "
            "scored pairs (sentence1, sentence2, score)."
        ),
    ],
    suite: Annotated[str, typer.Option(help="sts, korsts or pairs; several with commas.")] = "sts",
    pooling: Pooling = None,
    details: Annotated[
        bool, typer.Option("--details", help="Also a table of every subset, Spearman and Pearson.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the results, at full precision.")] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch the STS sets into DATA first, from the hub.")
    ] = False,
    batch_size: BatchSize = None,
    device: Device = None,
    backend: Backend = "torch",
    dtype: Dtype = "float32",
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Measure models: Spearman's correlation with human judgement, times 100, with alignment and uniformity.

    The suite sts is the seven-task table of the SimCSE paper (SentEval's protocol, setting "all").

    Example: simcse-kit eval my-model all-MiniLM-L6-v2 --suite sts --data data/senteval
    """
    from simcse_kit.cli.console import err, out, plain
    from simcse_kit.errors import SimCSEKitError
    from simcse_kit.evaluation import SUITES, download_sts, evaluate
    from simcse_kit.files import write_json
    from simcse_kit.model import SimCSE

    suites = [name.strip() for name in suite.split(",")]
    for name in suites:
        if name not in SUITES:
            raise SimCSEKitError(f"--suite must be of {', '.join(SUITES)}; got {name!r}")
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise SimCSEKitError(f"--json: the folder {json_file.absolute().parent} does not exist")
    if json_file is not None and json_file.is_dir():
        raise SimCSEKitError(f"--json: {json_file} is a folder; name a file")
    if download:
        if "sts" not in suites:
            raise SimCSEKitError("--download fetches the data of the suite sts; the others have to lie in --data")
        download_sts(data)
    results: list[dict[str, Any]] = []
    measured: dict[str, list[tuple[str, SuiteResult]]] = {name: [] for name in suites}
    try:
        for model_name in models:
            model = SimCSE(
                model_name,
                pooling=pooling,
                device=device,
                backend=backend,
                dtype=dtype,
                trust_remote_code=trust_remote_code,
            )
            for name in suites:
                err().print(f"{plain(model_name)} ({model.pooling}), suite {name}", style="dim")
                with model.full_length():
                    encode = model.encoder_fn(batch_size=batch_size, show_progress_bar=True)
                    result = evaluate(encode, name, data)
                measured[name].append((_label(model), result))
                results.append({"model": model_name, "pooling": model.pooling, **result.to_json()})
    finally:  # what was measured before an error is not lost
        for name, rows in measured.items():
            if rows:
                _print_suite(out(), name, rows, details)
        if json_file is not None and results:
            write_json(json_file, results[0] if len(models) * len(suites) == 1 else {"results": results})


def _label(model: SimCSE) -> str:
    return f"{model.name} ({model.pooling})"


def _print_suite(console: Any, suite: str, rows: list[tuple[str, SuiteResult]], details: bool) -> None:
    from simcse_kit.cli.console import plain, table

    names = list(rows[0][1].scores)
    head = ["", *(_SHORT.get(name, name) for name in names), "alignment", "uniformity", "seconds"]
    lines = [
        [
            label,
            *(f"{result.scores[name]:.2f}" for name in names),
            f"{result.alignment:.3f}",
            f"{result.uniformity:.3f}",
            f"{result.seconds:.0f}",
        ]
        for label, result in rows
    ]
    console.print(table(head, lines, title=f"{suite}: Spearman x 100"))
    for label, result in rows:
        for note in result.notes:
            console.print(f"{plain(label)}: {plain(note)}", style="dim")
        if details:
            subset_lines = [
                [r.task, r.subset, f"{r.pairs}", f"{r.dropped}", f"{r.spearman:.2f}", f"{r.pearson:.2f}"]
                for r in result.details
            ]
            head = ["task", "subset", "pairs", "dropped", "Spearman", "Pearson"]
            console.print()
            console.print(table(head, subset_lines, left=2, title=label))
