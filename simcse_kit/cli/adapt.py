"""``simcse-kit adapt``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simcse_kit.cli.completion import model_folders
from simcse_kit.cli.options import (
    HEADER_HELP,
    SKIP_HELP,
    Device,
    TrustRemoteCode,
    columns_of,
)


def adapt_model(
    texts: Annotated[
        str,
        typer.Argument(
            metavar="TEXTS",
            help="Your texts: .txt (one in each line), .csv, .tsv, .jsonl or .parquet, each also .gz; or "
            "hf:NAME[:split]. Columns such as title and text, or question and answer, are the two parts of a document.",
        ),
    ],
    output_dir: Annotated[Path, typer.Option(help="Folder of the adapted model. It must be new or empty.")],
    model: Annotated[
        str,
        typer.Option(help="Sentence encoder to start from: a folder or a hub name.", autocompletion=model_folders),
    ] = "all-MiniLM-L6-v2",
    teacher: Annotated[
        str | None,
        typer.Option(
            help="Larger sentence encoder to learn from, such as all-mpnet-base-v2; slower. Default: the start model."
        ),
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option(
            help="Column with the class of each text, such as a queue. Texts of one class are trained to be near each "
            "other. Default: no classes."
        ),
    ] = None,
    text_column: Annotated[
        str | None,
        typer.Option(
            help="With --label-column: column of the texts. Default: the one named text, or the only other one."
        ),
    ] = None,
    judgements: Annotated[
        Path | None,
        typer.Option(
            help="Folder of judged queries that decide whether the result is better: from simcse-kit judge, or in "
            "BEIR's layout. Default: none."
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(help="Column of the texts, if a file has several and no classes. Default: found by its name."),
    ] = None,
    header: Annotated[bool | None, typer.Option("--header/--no-header", help=HEADER_HELP)] = None,
    skip_bad_rows: Annotated[bool, typer.Option("--skip-bad-rows", help=SKIP_HELP)] = False,
    seed: Annotated[int, typer.Option(help="Random seed of the training.", min=0)] = 42,
    device: Device = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in OUTPUT_DIR.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run in OUTPUT_DIR when the new one is complete.")
    ] = False,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Adapt a sentence encoder to your own texts, so that search among them gets better.

    No setting needs tuning. The result is checked on held-out texts, and on your judgements or classes if you give
    them. If search looks harmed, or is not clearly better on your judgements or classes, the start model is saved. For
    pairs and triplets use simcse-kit train sup.

    Example: simcse-kit adapt tickets.txt --output-dir my-model
    Example: simcse-kit adapt tickets.csv --label-column queue --judgements judged --output-dir my-model
    """
    from simcse_kit.cli.console import err, escaped, facts, out, show_next
    from simcse_kit.cli.progress import TerminalListener
    from simcse_kit.errors import TrainingInterrupted
    from simcse_kit.workflows.adapt import adapt

    listener = TerminalListener()
    try:
        made = adapt(
            texts,
            model,
            output_dir,
            teacher=teacher,
            label_column=label_column,
            text_column=text_column,
            judgements=judgements,
            columns=columns_of(columns),
            header=header,
            skip_bad_rows=skip_bad_rows,
            seed=seed,
            device=device,
            resume=resume,
            overwrite=overwrite,
            trust_remote_code=trust_remote_code,
            listener=listener,
        )
    except KeyboardInterrupt:  # outside of the steps, which say it themselves
        raise TrainingInterrupted(f"stopped; --resume goes on with the run in {output_dir}") from None
    finally:
        listener.close()
    out().print(facts(made.facts()))
    if made.measure is not None:
        show_next(made.measure, "to measure")
    show_next(made.next)
    if made.kept_start:
        why = "the gate failed" if made.figures is None else "the adapted one is not clearly better"
        err().print(f"[yellow]{escaped(output_dir)} holds the start model: {why}[/]")
