"""The ``simcse-kit`` command: wiring only."""

from __future__ import annotations

import io
import os
import sys
import warnings
from typing import Annotated, Any

import typer

from simcse_kit.cli.adapt import adapt_model
from simcse_kit.cli.corpus import cluster_index, mine_index
from simcse_kit.cli.encode import encode_corpus
from simcse_kit.cli.evaluate import evaluate_models
from simcse_kit.cli.export import export
from simcse_kit.cli.index.build import add_to_index, build_index_command, update_index
from simcse_kit.cli.index.change import compact_index, delete_from_index, rebuild_with_model
from simcse_kit.cli.index.show import show_index, verify_index
from simcse_kit.cli.judge import judge_systems
from simcse_kit.cli.objectives import show_objectives, show_recipes
from simcse_kit.cli.panels import PanelledCommand, PanelledGroup
from simcse_kit.cli.prepare import prepare_negatives_command, prepare_nli_command, prepare_sentences_command
from simcse_kit.cli.quickstart import run_quickstart
from simcse_kit.cli.report import report_models
from simcse_kit.cli.search import search_index
from simcse_kit.cli.serve import run_demo, serve_targets
from simcse_kit.cli.shared import SharingGroup
from simcse_kit.cli.start import START
from simcse_kit.cli.study import run_study_command
from simcse_kit.cli.train import train_again, train_command


class _InOrder(SharingGroup):
    """Lists commands and groups in the order in which the app registers them; any others come last.

    Without arguments it shows the main jobs, where click would show the whole help: on standard error, with status 2.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            typer.echo(START, err=True, nl=False)
            ctx.exit(2)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        places = {name: place for place, name in enumerate(app.order)}
        return sorted(self.commands, key=lambda name: places.get(name, len(places)))


class _Group(typer.Typer):
    """Commands whose help has panels and ends with examples."""

    def __init__(self, *, cls: type[PanelledGroup] = PanelledGroup, **settings: Any) -> None:
        super().__init__(cls=cls, rich_markup_mode=None, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Any:
        return super().command(name, **{"cls": PanelledCommand} | settings)


class _App(_Group):
    """Remembers the order of registration, of which typer keeps one list for commands and one for groups."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(cls=_InOrder, **settings)
        self.order: list[str] = []

    def command(self, name: str | None = None, **settings: Any) -> Any:
        self.order.append(name or "")
        return super().command(name, **settings)

    def add_typer(self, typer_instance: typer.Typer, *, name: str | None = None, **settings: Any) -> None:
        self.order.append(name or "")
        super().add_typer(typer_instance, name=name, **settings)


app = _App(
    name="simcse-kit",
    help="Train a sentence encoder of your own (SimCSE), measure it, search with it.\n\n"
    "Example: simcse-kit quickstart\nExample: simcse-kit adapt tickets.txt --output-dir my-model",
    pretty_exceptions_enable=False,
)
# The order here is that of the help: the order in which one needs the commands.
_prepare = _Group(
    help="Make training data from documents, NLI data or pairs.\n\n"
    "Example: simcse-kit prepare sentences articles/ sentences.txt\n"
    "Example: simcse-kit prepare negatives pairs.csv triplets.csv --model my-model",
    no_args_is_help=True,
)
_train = _Group()
_index = _Group(
    help="Make an index to search in, and change it.\n\n"
    "Example: simcse-kit index build my-model tickets.txt tickets-index\n"
    "Example: simcse-kit index info tickets-index",
    no_args_is_help=True,
)

app.command("quickstart", short_help="Train, measure, index and search on a sample, offline.")(run_quickstart)
app.command("adapt", short_help="Make a model for search on your own texts.")(adapt_model)
app.add_typer(_prepare, name="prepare")
_prepare.command("sentences", short_help="Split documents into sentences.")(prepare_sentences_command)
_prepare.command("nli", short_help="Make triplets of NLI data.")(prepare_nli_command)
_prepare.command("negatives", short_help="Find hard negatives for pairs.")(prepare_negatives_command)
app.add_typer(_train, name="train", short_help="Train a model on sentences, pairs, triplets or scored pairs.")
_train.callback(invoke_without_command=True)(train_again)
_train.command("unsup", short_help="On plain sentences.")(train_command("unsup"))
_train.command("sup", short_help="On pairs, triplets or scored pairs.")(train_command("sup"))
app.command("objectives", short_help="Show what a model can be trained for.")(show_objectives)
app.command("recipes", short_help="List the paper's settings, for train --recipe.")(show_recipes)
app.command("eval", short_help="Measure models on STS or on your own pairs.")(evaluate_models)
app.command("judge", short_help="Judge hits of two systems blind: which one is better.")(judge_systems)
app.command("report", short_help="Write a page that shows runs and models side by side.")(report_models)
app.command("study", short_help="Train and measure all of a paper's models, from one file.")(run_study_command)
app.command("encode", short_help="Encode a corpus of any size into a file of vectors.")(encode_corpus)
app.command("export", short_help="Write a model for another runtime: ONNX, OpenVINO, a static table.")(export)
app.add_typer(_index, name="index")
_index.command("build")(build_index_command)
_index.command("add", short_help="Add the texts of FILE to an index.")(add_to_index)
_index.command("update", short_help="Make an index equal to FILE.")(update_index)
_index.command("delete")(delete_from_index)
_index.command("info")(show_index)
_index.command("verify", short_help="Compare an index with its checksums.")(verify_index)
_index.command("compact", short_help="Remove deleted texts from the disk.")(compact_index)
_index.command("rebuild", short_help="Encode an index with another model.")(rebuild_with_model)
app.command("search", short_help="Search an index by meaning.")(search_index)
app.command("mine", short_help="Find duplicates and paraphrases in an index.")(mine_index)
app.command("cluster", short_help="Group the sentences of an index.")(cluster_index)
app.command("demo", short_help="Open a page to search in.")(run_demo)
app.command(
    "serve",
    short_help="Serve models and indexes over HTTP.",
    context_settings={"auto_envvar_prefix": "SIMCSE_KIT_SERVE"},
)(serve_targets)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"simcse-kit {version('simcse-kit')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command; an error that a user can act on is one line and exit status 1 (Ctrl-C: 130)."""
    from simcse_kit.cli.console import err, escaped, show_notices, speaking, tell
    from simcse_kit.cli.threads import thread_settings
    from simcse_kit.errors import SimCSEKitError, TrainingInterrupted

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a character gets its escape
            stream.reconfigure(errors="backslashreplace")
    with speaking():
        try:
            try:
                os.environ.update(thread_settings(os.environ))
            except ValueError as error:
                raise SimCSEKitError(str(error)) from error
            if os.environ.get("RANK", "0") == "0":  # of processes that train together, one speaks
                show_notices()
            else:
                warnings.simplefilter("ignore")
            app(prog_name="simcse-kit")  # `python -m simcse_kit` too, for the scripts of shell completion
        except TrainingInterrupted as stop:
            err("error").print(f"\n{escaped(stop)}")
            sys.exit(130)
        except KeyboardInterrupt:
            err("error").print("\nstopped")
            sys.exit(130)
        except (SimCSEKitError, OSError) as error:
            if os.environ.get("SIMCSE_KIT_DEBUG"):
                raise
            tell("error", str(error))
            sys.exit(1)
