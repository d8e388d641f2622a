"""``simcse-kit quickstart``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run_quickstart(
    sentences: Annotated[
        Path | None,
        typer.Option(
            help="File of your own texts, one in each line. Default: the package's sample, which has judged queries."
        ),
    ] = None,
    output_dir: Annotated[Path, typer.Option(help="Folder for model/, index/ and report.html.")] = Path(
        "simcse-kit-quickstart"
    ),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier quickstart in that folder.")
    ] = False,
) -> None:
    """The main job in one go, offline, in a minute or two: adapt, search before and after, index, and a report.

    Example: simcse-kit quickstart
    Example: simcse-kit quickstart --sentences tickets.txt --output-dir first-try
    """
    from simcse_kit.cli.console import err, escaped, facts, out, show_next, table
    from simcse_kit.cli.progress import TerminalListener
    from simcse_kit.workflows.quickstart import quickstart, score_head, score_rows
    from simcse_kit.workflows.steps import new_name

    what = "1,200 messages to service desks, with their matter" if sentences is None else str(sentences)
    err().print(f"quickstart: adapting MiniLM to {escaped(what)}", style="bold")
    listener = TerminalListener()
    try:
        made = quickstart(sentences, output_dir, overwrite=overwrite, listener=listener)
    finally:
        listener.close()
    console, adapted = out(), made.adapted
    console.print()
    if rows := score_rows(adapted):
        console.print(table(score_head(), rows))
        console.print()
    if made.used < made.texts:
        console.print(f"of {made.texts:,} distinct texts, a random {made.used:,} were used\n")
    console.print(facts(adapted.facts()))
    for query, hits in made.answers.items():
        console.print()
        console.print(f"[bold]{escaped(query)}[/]")
        for when, found in zip(("before", "after"), hits, strict=True):
            console.print(facts([(when if not i else "", hit.text) for i, hit in enumerate(found)]) if found else when)
    console.print()
    console.print(f"model   {escaped(made.model)}\nindex   {escaped(made.index)}\nreport  {escaped(made.report)}")
    console.print()
    if adapted.measure is not None:
        show_next(adapted.measure, "to measure")
    show_next(["search", made.index, next(iter(made.answers))])
    show_next(["demo", made.index])
    if sentences is None or made.used < made.texts:
        what = "on your own texts, one a line" if sentences is None else "on all texts"
        show_next(["adapt", sentences or "my.txt", "--output-dir", new_name("my-model")], what)
