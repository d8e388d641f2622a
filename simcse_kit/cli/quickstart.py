"""``simcse-kit quickstart``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer


def run_quickstart(
    sentences: Annotated[
        Path | None,
        typer.Option(help="A file of your own texts. Default: the package's sample, which has judged queries."),
    ] = None,
    output_dir: Annotated[Path, typer.Option(help="Gets model/, index/ and report.html.")] = Path(
        "simcse-kit-quickstart"
    ),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier quickstart there.")] = False,
) -> None:
    """The main job in one go, offline, in a minute or two: adapt, search before and after, index, and a report.

    Example: simcse-kit quickstart
    """
    from simcse_kit.cli.console import err, escaped, facts, out, table
    from simcse_kit.cli.progress import TerminalListener
    from simcse_kit.workflows.quickstart import quickstart, score_head, score_rows

    what = "1,200 service desk messages, labelled by topic" if sentences is None else str(sentences)
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
        console.print(f"{made.used:,} of {made.texts:,} distinct texts were used, chosen at random\n")
    console.print(facts(adapted.lines()[:-1]))
    for query, hits in made.answers.items():
        console.print()
        console.print(f"[bold]{escaped(query)}[/]")
        for when, found in zip(("before", "after"), hits, strict=True):
            console.print(facts([(when if not i else "", hit.text) for i, hit in enumerate(found)]) if found else when)
    console.print()
    console.print(f"model   {escaped(made.model)}\nindex   {escaped(made.index)}\nreport  {escaped(made.report)}")
    console.print()
    source = escaped(shlex.quote(str(sentences))) if sentences is not None else "my.txt"
    console.print("Next, with your own text, one sentence per line:" if sentences is None else "Next, with all texts:")
    console.print(f"  simcse-kit adapt {source} --model all-MiniLM-L6-v2 --output-dir my-model")
    console.print(f"  simcse-kit index build my-model {source} my-index")
