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
            help="Your texts: .txt (one a line), .csv, .tsv, .jsonl or .parquet, each also .gz; or hf:NAME[:split]. "
            "Columns named title and text (or question and answer, and the like) are taken for the two parts of a "
            "document.",
        ),
    ],
    output_dir: Annotated[Path, typer.Option(help="Folder of the adapted model; must be new or empty.")],
    model: Annotated[
        str,
        typer.Option(help="Sentence encoder to start from: a folder or a hub name.", autocompletion=model_folders),
    ] = "all-MiniLM-L6-v2",
    teacher: Annotated[
        str | None,
        typer.Option(
            help="Larger sentence encoder that teaches in place of the start model, such as all-mpnet-base-v2. Slower."
        ),
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Column with the class of each text. Texts of one class learn to be near.")
    ] = None,
    text_column: Annotated[
        str | None,
        typer.Option(help="With --label-column: column of the texts. Default: the one named text, or the only other."),
    ] = None,
    judgements: Annotated[
        Path | None,
        typer.Option(
            help="Folder of judged queries that measure the result: from simcse-kit judge, or in BEIR's layout."
        ),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Column of the texts, where a file has several and there are no classes.")
    ] = None,
    header: Annotated[bool | None, typer.Option("--header/--no-header", help=HEADER_HELP)] = None,
    skip_bad_rows: Annotated[bool, typer.Option("--skip-bad-rows", help=SKIP_HELP)] = False,
    seed: Annotated[int, typer.Option(help="Random seed of the training.", min=0)] = 42,
    device: Device = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that OUTPUT_DIR holds.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run that OUTPUT_DIR holds, once the new one is complete.")
    ] = False,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Adapt a sentence encoder to your own texts, so that search among them gets better.

    No setting needs tuning. The result is checked on held-out texts, and on your judgements or classes where you give
    some. If search looks harmed, or is not clearly better on your judgements or classes, the start model is saved.
    Pairs and triplets: simcse-kit train sup.

    Example: simcse-kit adapt tickets.txt --output-dir my-model
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
