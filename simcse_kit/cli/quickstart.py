"""``simcse-kit quickstart``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer


def run_quickstart(
    sentences: Annotated[
        Path | None, typer.Option(help="A file of your own sentences. Default: the 653 that the package ships.")
    ] = None,
    output_dir: Annotated[Path, typer.Option(help="Gets model/, index/ and report.html.")] = Path(
        "simcse-kit-quickstart"
    ),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier quickstart there.")] = False,
) -> None:
    """The main job in one go, offline, in a minute or two: train, measure, index, search, and a report to look at."""
    from simcse_kit.cli.console import err, escaped, facts, out, table
    from simcse_kit.cli.progress import TerminalListener
    from simcse_kit.workflows.quickstart import quickstart, reading_notes

    err().print("SimCSE quickstart: training MiniLM's CLS vector without labels", style="bold")
    listener = TerminalListener()
    try:
        made = quickstart(sentences, output_dir, overwrite=overwrite, listener=listener)
    finally:
        listener.close()
    console = out()
    console.print()
    head = ["on 120 self-graded pairs", "Spearman x 100", "alignment", "uniformity"]
    rows = [
        [name, f"{result.scores['spearman']:.2f}", f"{result.alignment:.3f}", f"{result.uniformity:.3f}"]
        for name, result in (("before training", made.before), ("after training", made.after))
    ]
    console.print(table(head, rows))
    if made.training.start_was_better:
        console.print("[yellow]the start model is saved: no checkpoint scored higher[/]")
    console.print()
    if made.trained_on < made.sentences:
        console.print(
            f"of {made.sentences:,} distinct sentences, a random {made.trained_on:,} were trained on "
            f"and {made.indexed:,} indexed"
        )
    for query, hits in made.answers.items():
        console.print(f"[bold]{escaped(query)}[/]")
        console.print(facts([(f"{hit.score:.2f}", hit.text) for hit in hits]) if hits else "no hit")
    console.print()
    for note in reading_notes():
        console.print(f"- {note}", style="dim")
    console.print()
    console.print(f"model   {escaped(made.model)}\nindex   {escaped(made.index)}\nreport  {escaped(made.report)}")
    console.print()
    source = escaped(shlex.quote(str(sentences))) if sentences is not None else "my.txt"
    console.print("Next, on your own text, one sentence a line:" if sentences is None else "Next, on all of it:")
    console.print(f"  simcse-kit train unsup {source} --model google-bert/bert-base-uncased --output-dir my-model")
    console.print(f"  simcse-kit index build my-model {source} my-index")
    console.print(
        "`train unsup` is for raw encoders: take one of your language in place of BERT. A model that is already a\n"
        "sentence encoder usually searches worse after it. Without a network, this does the same as the quickstart:"
    )
    console.print(
        f"  simcse-kit train unsup {source} --model all-MiniLM-L6-v2 --pooling cls_before_pooler --output-dir my-model"
    )
