"""``simcse-kit export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simcse_kit.cli.options import ModelArgument, Pooling, TrustRemoteCode
from simcse_kit.cli.panels import with_choices
from simcse_kit.encoding.export.part import EXPORT_FORMATS
from simcse_kit.wording import counted

_CALIBRATED = ", ".join(part.name for part in EXPORT_FORMATS if part.calibrated)


@with_choices({"Formats": {part.name: part.help for part in EXPORT_FORMATS}})
def export(
    model: ModelArgument,
    output: Annotated[Path, typer.Argument(help="Folder to write; it must be new or empty.", metavar="OUT")],
    to: Annotated[
        str,
        typer.Option(
            help=f"Format, see below: {', '.join(EXPORT_FORMATS.names())}, or MODULE:CLASS.",
            autocompletion=EXPORT_FORMATS.names,
        ),
    ],
    calibration: Annotated[
        Path | None,
        typer.Option(help=f"File of your own texts to quantize by ({_CALIBRATED}). Default: the package's sample."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="File of scored pairs (sentence1, sentence2, score) to check by. Default: the package's sample."
        ),
    ] = None,
    pooling: Pooling = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Write a model for another runtime, and print how much its vectors, quality and speed differ from the original.

    Example: simcse-kit export my-model my-model-onnx --to onnx
    Example: simcse-kit export my-model my-model-int8 --to openvino-int8 --calibration tickets.txt --data pairs.tsv
    """
    from simcse_kit.cli.console import err, escaped, out, show_next, table
    from simcse_kit.data import read_sentences
    from simcse_kit.encoding.export.export import export_model
    from simcse_kit.encoding.export.part import EXPORT_FORMATS
    from simcse_kit.model import SimCSE
    from simcse_kit.workflows.steps import after_export

    EXPORT_FORMATS.get(to)  # find mistakes before a model is loaded
    check = export_model(
        SimCSE(model, pooling=pooling, device="cpu", trust_remote_code=trust_remote_code),
        output,
        to=to,
        calibration=None if calibration is None else read_sentences(calibration).column(0),
        check_pairs=data,
        announce=lambda text: err().print(escaped(text), style="dim"),
    )
    sample = "the package's sample"
    pairs = f"{counted(check.pairs, 'pair')} of {sample if data is None else data.name}"
    sentences = f"{counted(check.sentences, 'sentence')} of {sample}" + ("" if data is None else f" and {data.name}")
    rows = [
        [f"Spearman x 100, {pairs}", f"{check.spearman_original:.2f}", f"{check.spearman:.2f}"],
        ["sentences/s", f"{check.speed_original:,.0f}", f"{check.speed:,.0f}"],
    ]
    if check.mean_cosine is not None and check.lowest_cosine is not None:
        rows += [
            [f"mean cosine, {sentences}", "1", f"{check.mean_cosine:.5f}"],
            ["lowest cosine", "1", f"{check.lowest_cosine:.5f}"],
        ]
    rows.append(["MB on disk", "", f"{check.megabytes:,.0f}"])
    out().print(table([escaped(output), "original", to], rows))
    if (step := after_export(output, to, data)) is not None:
        show_next(step.command)
