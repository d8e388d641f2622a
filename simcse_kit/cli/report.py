"""``simcse-kit report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from simcse_kit.cli.completion import model_folders
from simcse_kit.cli.options import BackendOption, BatchSize, Device, Dtype, Pooling, TrustRemoteCode, check_output_file
from simcse_kit.cli.suites import (
    Endpoint,
    OptionalSuiteData,
    Suites,
    suite_data,
    suite_options,
    suites_of,
    with_suite_options,
)


@with_suite_options
def report_models(
    *,
    models: Annotated[
        list[str],
        typer.Argument(
            help="Folders of training runs or of train --seeds, or models as in eval. All are compared with the first.",
            metavar="RUN...",
            autocompletion=model_folders,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .html, .md or .json.", metavar="FILE")
    ] = Path("report.html"),
    data: OptionalSuiteData = [],  # noqa: B006 - typer's way of a list that may be left out
    suite: Suites = None,
    settings: dict[str, Any],
    figures: Annotated[
        Path | None,
        typer.Option(
            help="Also write each picture into this folder, as .svg and .pdf. Default: no pictures.", metavar="DIR"
        ),
    ] = None,
    format: Annotated[
        Literal["html", "md", "json"] | None, typer.Option(help="Form of the file. Default: by the ending of its name.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
    endpoint: Endpoint = None,
    pooling: Pooling = None,
    batch_size: BatchSize = None,
    device: Device = None,
    backend: BackendOption = "torch",
    dtype: Dtype = "float32",
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Write one page that shows training runs and models side by side. It opens without a network and can be printed.

    It has scores with intervals, differences from the first, training curves, the alignment-uniformity plane with the
    path of each run, similarity against gold, spectrum, speed against quality, and the pairs with the largest errors.

    Example: simcse-kit report my-model
    Example: simcse-kit report runs/plain runs/esimcse all-MiniLM-L6-v2 --data data/senteval -o report.html
    """
    from simcse_kit.cli.console import err, escaped
    from simcse_kit.errors import SimCSEKitError
    from simcse_kit.report.gather import make_report
    from simcse_kit.report.pictures import save_figures
    from simcse_kit.report.render import report_format, write_report

    kind = report_format(output, format)
    check_output_file("--output", output)
    if suite and not data:
        raise SimCSEKitError("--suite needs --data; without both it measures on the evaluation data of the first run")
    if output.exists() and not overwrite:
        raise SimCSEKitError(f"{output} exists; --overwrite replaces it")
    suites = suites_of(suite)
    report = make_report(
        models,
        suite_data(data, suites) if data else None,
        options=suite_options(suites, settings),
        show_progress_bar=True,
        announce=lambda name: err().print(escaped(name), style="dim"),
        endpoint=endpoint,
        pooling=pooling,
        batch_size=batch_size,
        device=device,
        backend=backend,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
    )
    write_report(report, output, kind)
    err().print(f"wrote {escaped(output)}")
    if figures is not None:
        written = save_figures(report, figures)
        err().print(f"wrote {len(written)} pictures into {escaped(figures)}, each as .svg and .pdf")
