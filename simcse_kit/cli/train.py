"""``simcse-kit train unsup|sup`` and ``simcse-kit recipes``."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from simcse_kit.cli.options import (
    FILE_HELP,
    POOLING_HELP,
    Columns,
    Device,
    Header,
    SkipBadRows,
    TrustRemoteCode,
    columns_of,
)
from simcse_kit.training.recipes import recipes

_UNSUP = """Train on plain sentences: each one and itself under another dropout mask are a pair (unsupervised SimCSE).

Example: simcse-kit train unsup tickets.txt --model all-MiniLM-L6-v2 --output-dir my-model

OUTPUT_DIR becomes the model; checkpoints, metrics.jsonl and run.json lie inside it.
"""
_SUP = """Train on pairs (sentence, positive) or triplets (with a hard negative), as from NLI (supervised SimCSE).

Example: simcse-kit train sup nli.csv --recipe sup-bert-base --output-dir my-model --eval-data sts-dev.csv

OUTPUT_DIR becomes the model; checkpoints, metrics.jsonl and run.json lie inside it.
"""
_ROWS = {
    "unsup": FILE_HELP,
    "sup": "Rows of 2 or 3 sentences: .csv, .tsv, .jsonl or .parquet with columns sent0,sent1[,hard_neg] or "
    "anchor,positive[,negative], each also .gz; or hf:NAME[:split].",
}


def train_command(mode: str) -> Callable[..., None]:
    """The command of one mode; both have the same options, with defaults of their own."""
    default = recipes()[mode]

    def says(name: str) -> str:
        return (
            f" Default: {default[name]:g}." if isinstance(default[name], int | float) else f" Default: {default[name]}."
        )

    def command(
        file: Annotated[str, typer.Argument(help=_ROWS[mode], metavar="FILE")],
        output_dir: Annotated[Path, typer.Option(help="Folder of the trained model; must be new or empty.")],
        model: Annotated[
            str | None, typer.Option(help="Folder or hub name to start from. Default: the recipe's.")
        ] = None,
        recipe: Annotated[
            str | None, typer.Option(help="Settings of the paper by name: see simcse-kit recipes.")
        ] = None,
        eval_data: Annotated[
            str | None,
            typer.Option(
                help="Scored sentence pairs, such as STS-B dev: the best checkpoint on them becomes the model."
            ),
        ] = None,
        pooling: Annotated[
            str | None,
            typer.Option(
                help=f"Of the saved model. {POOLING_HELP} Default: the model's folder's, else {default['pooling']}."
            ),
        ] = None,
        train_head: Annotated[
            str | None, typer.Option(help="mlp: a dense + tanh that lives in the loss only; none." + says("train_head"))
        ] = None,
        epochs: Annotated[float | None, typer.Option(help="Passes over the data." + says("epochs"))] = None,
        batch_size: Annotated[
            int | None, typer.Option(help="Rows a step: the others are the negatives." + says("batch_size"))
        ] = None,
        learning_rate: Annotated[
            float | None, typer.Option(help="Falls linearly to 0." + says("learning_rate"))
        ] = None,
        max_seq_length: Annotated[
            int | None,
            typer.Option(help="Tokens, in training only; the saved model keeps its own." + says("max_seq_length")),
        ] = None,
        temperature: Annotated[float | None, typer.Option(help="Of the loss." + says("temperature"))] = None,
        hard_negative_weight: Annotated[
            float | None, typer.Option(help="Added to the logit of a row's own hard negative. Default: 0.")
        ] = None,
        mlm_weight: Annotated[
            float | None, typer.Option(help="Weight of an added masked-language-model loss. Default: 0, none.")
        ] = None,
        dropout: Annotated[
            float | None, typer.Option(help="Every dropout probability of the backbone. Default: its own.")
        ] = None,
        eval_steps: Annotated[
            int | None, typer.Option(help="Steps between checkpoints (and scores)." + says("eval_steps"))
        ] = None,
        seed: Annotated[int | None, typer.Option(help="Fixes everything that is drawn. Default: 42.")] = None,
        bf16: Annotated[
            bool | None,
            typer.Option("--bf16/--no-bf16", help="bfloat16 autocast. Default: where an accelerator has it."),
        ] = None,
        device: Device = None,
        report_to: Annotated[
            str | None, typer.Option(help="Also log to tensorboard, wandb or another of transformers' integrations.")
        ] = None,
        columns: Columns = None,
        header: Header = None,
        skip_bad_rows: SkipBadRows = False,
        resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in OUTPUT_DIR.")] = False,
        overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run that OUTPUT_DIR holds.")] = False,
        trust_remote_code: TrustRemoteCode = False,
    ) -> None:
        from simcse_kit.cli.console import out, plain
        from simcse_kit.cli.progress import TerminalListener
        from simcse_kit.training.run import train_sup, train_unsup

        listener = TerminalListener()
        try:
            result = (train_unsup if mode == "unsup" else train_sup)(
                file,
                output_dir,
                model=model,
                recipe=recipe,
                eval_data=eval_data,
                pooling=pooling,
                train_head=train_head,
                epochs=epochs,
                batch_size=batch_size,
                learning_rate=learning_rate,
                max_seq_length=max_seq_length,
                temperature=temperature,
                hard_negative_weight=hard_negative_weight,
                mlm_weight=mlm_weight,
                dropout=dropout,
                eval_steps=eval_steps,
                seed=seed,
                bf16=bf16,
                device=device,
                report_to=report_to,
                columns=columns_of(columns),
                header=header,
                skip_bad_rows=skip_bad_rows,
                resume=resume,
                overwrite=overwrite,
                listener=listener,
                trust_remote_code=trust_remote_code,
            )
        finally:
            listener.close()
        console = out()
        if result.best_score is not None:
            console.print(f"best: step {result.best_step}, Spearman {result.best_score:.2f} on the evaluation data")
            if result.start_was_better:
                console.print(f"[yellow]the start model scored higher: {result.start_score:.2f}[/]")
        console.print(f"model saved in {plain(result.output_dir)} after {result.steps} steps, {result.seconds:.0f} s")
        console.print(f"next: simcse-kit eval {plain(result.output_dir)} --suite sts --data DIR", style="dim")

    command.__doc__ = _UNSUP if mode == "unsup" else _SUP
    return command


def show_recipes() -> None:
    """List the paper's settings, for --recipe; what a recipe does not name has its mode's default."""
    from simcse_kit.cli.console import out, table

    names = ("model", "pooling", "train_head", "batch_size", "learning_rate", "epochs", "max_seq_length", "temperature")
    rows = [[name, *(str(values.get(key, "")) for key in names)] for name, values in recipes().items()]
    console = out()
    console.print(table(["recipe", *names], rows, left=4))
    console.print("Gao et al., SimCSE: Simple Contrastive Learning of Sentence Embeddings, EMNLP 2021", style="dim")
