"""The list of commands: registration is the only one, and it is the order of the help."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from typing import Any, get_args

import click
import pytest
import typer
from typer.testing import CliRunner

from simcse_kit import cli
from simcse_kit.cli import prepare as cli_prepare
from simcse_kit.data.prepare import nli
from simcse_kit.encoding.bulk import precisions
from simcse_kit.training import negatives
from support.commands import COMMAND


def help_of(command: Any = cli.app) -> list[str]:
    """The commands that --help lists, in its order."""
    result = CliRunner().invoke(command, ["--help"])
    assert result.exit_code == 0, result.output
    return re.findall(r"^  ([a-z][\w-]*)", result.output.partition("Commands:")[2].partition("Examples:")[0], re.M)


@pytest.fixture
def app() -> Iterator[typer.Typer]:
    """The app, and afterwards as it was."""
    before = [*cli.app.registered_commands], [*cli.app.registered_groups], [*cli.app.order]
    yield cli.app
    cli.app.registered_commands, cli.app.registered_groups, cli.app.order = before


def commands_of(command: Any, name: str = "") -> Iterator[tuple[str, set[str]]]:
    """Every command with its parameters."""
    for key, inner in getattr(command, "commands", {}).items():
        yield from commands_of(inner, f"{name} {key}".strip())
    if not getattr(command, "commands", {}):
        yield name, {parameter.name for parameter in command.params}


def test_what_opens_a_model_or_an_index_can_trust_its_code() -> None:
    opens = {"model", "models", "index", "target", "targets", "first", "second"}
    commands = {name: names for name, names in commands_of(typer.main.get_command(cli.app)) if opens & names}
    assert len(commands) > 15
    assert [name for name, names in commands.items() if "trust_remote_code" not in names] == []


def test_a_new_command_stands_in_the_help(app: typer.Typer) -> None:
    before = help_of()
    app.command("first-new", help="One that no other list names.")(lambda: None)
    group = typer.Typer(help="A group of new ones.")
    app.add_typer(group, name="second-new")
    group.command("inner")(lambda: None)
    app.command("third-new")(lambda: None)
    assert help_of() == [*before, "first-new", "second-new", "third-new"]


def test_a_command_that_was_not_registered_with_the_app_is_not_hidden() -> None:
    group: Any = typer.main.get_command(cli.app)
    group.add_command(type(group.commands["search"])("stranger", callback=lambda: None))
    assert group.list_commands(click.Context(click.Command("x")))[-1] == "stranger"


def test_the_help_lists_the_commands_in_the_order_of_use() -> None:
    listed = help_of()
    assert [listed[0], listed[-1]] == ["quickstart", "serve"]
    assert listed.index("prepare") < listed.index("train") < listed.index("eval") < listed.index("search")


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("simcse-kit qui", {"quickstart"}),
        ("simcse-kit encode --precision fl", {"float32", "float16"}),
        ("simcse-kit prepare nli --combinations ", {"one", "all"}),
    ],
)
def test_the_shell_completes_commands_and_choices(line: str, offered: set[str]) -> None:
    words = line.split(" ")
    asked = {"_SIMCSE_KIT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    code = "import sys; sys.argv[0] = 'simcse-kit'; from simcse_kit.cli import app; app()"
    done = subprocess.run([COMMAND[0], "-c", code], env=os.environ | asked, capture_output=True, text=True)
    assert set(done.stdout.split()) == offered, done.stderr


@pytest.mark.parametrize(
    ("shown", "taken"),
    [
        (cli_prepare.Combinations, nli.COMBINATIONS),
        (cli_prepare.SamplingStrategy, negatives.STRATEGIES),
        (precisions.FilePrecision, tuple(precisions.FILE_PRECISIONS)),
    ],
)
def test_the_choices_that_the_help_lists_are_those_of_the_functions(shown: Any, taken: tuple[str, ...]) -> None:
    assert get_args(shown) == taken


@pytest.mark.parametrize(
    "arguments",
    [
        ("encode", "model", "in.txt", "out.npy", "--precision", "int4"),
        ("encode", "model", "in.txt", "out.npy", "--runner", "spark"),
        ("prepare", "nli", "in.tsv", "out.csv", "--combinations", "two"),
        ("prepare", "negatives", "in.csv", "out.csv", "--model", "m", "--sampling-strategy", "best"),
    ],
)
def test_a_choice_that_does_not_exist_is_an_error_of_usage(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 2
    assert f"'{arguments[-1]}' is not one of" in result.output
