"""An option with choices completes them: typer checks a closed set, an open set completes from its family."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import click
import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from simcse_kit.cli import app
from simcse_kit.encoder.backends.part import BACKENDS
from simcse_kit.encoder.poolers import POOLERS
from simcse_kit.encoding.export.part import EXPORT_FORMATS
from simcse_kit.evaluation.suite import SUITES
from simcse_kit.evaluation.transfer_data import TASKS
from simcse_kit.objectives import AUGMENTATIONS, OBJECTIVES
from simcse_kit.search.kinds import KINDS
from simcse_kit.training.config import COMMON, part_settings

WORD = r"[a-z][\w+-]*"
LISTED = re.compile(rf"(?:^|(?<=[.:;] )|(?<=[Oo]ne of ))({WORD})((?:, {WORD})*)(?:,? or |, )({WORD})(?=[.:;(]|$)")
EXPLAINED = re.compile(rf"(?:^|(?<=[.;] ))({WORD}): ")  # name: what it is; name: what it is


def choices_in(text: str) -> set[str]:
    """Names of the choices that a help text lists; empty if it lists none."""
    for first, more, last in LISTED.findall(text):
        return {first, last, *re.findall(WORD, more)}
    explained = set(EXPLAINED.findall(text))
    return explained if len(explained) > 1 else set()


def options(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every option of every command, below its command's path."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from options(inner, f"{path} {name}".strip())
    for parameter in command.params:
        if parameter.param_type_name == "option":
            yield path, parameter


def offered(parameter: Any, begun: str = "") -> list[str]:
    """What the shell completes."""
    return [item.value for item in parameter.shell_complete(click.Context(click.Command("x")), begun)]


def silent(command: Any) -> set[str]:
    """Options whose help lists choices that the shell does not complete."""
    return {
        f"{path} {option.opts[0]}".strip()
        for path, option in options(command)
        if not choices_in(option.help or "") <= set(offered(option))
    }


OPTIONS = {f"{path} {option.opts[0]}".strip(): option for path, option in options(get_command(app))}


def test_every_choice_in_the_help_is_offered() -> None:
    assert len(OPTIONS) > 150
    assert silent(get_command(app)) == set()


def test_a_list_that_is_not_offered_is_found() -> None:
    stranger = typer.Typer()

    @stranger.command()
    def command(
        one: Annotated[str, typer.Option(help="html, md or json. Default: html.")] = "html",
        two: Annotated[str, typer.Option(help="near: by cosine; far: by rank.")] = "near",
        three: Annotated[Literal["a", "b"], typer.Option(help="a or b.")] = "a",
        four: Annotated[str, typer.Option(help="One of a, b, c.", autocompletion=lambda: ["a", "b", "c"])] = "a",
        five: Annotated[str, typer.Option(help="Folder of the model, or its name on the hub.")] = "m",
    ) -> None: ...

    assert silent(get_command(stranger)) == {"--one", "--two"}


@pytest.mark.parametrize(
    ("option", "names"),
    [
        ("export --to", EXPORT_FORMATS.names()),
        ("eval --suite", SUITES.names()),
        ("eval --tasks", TASKS),
        ("encode --backend", BACKENDS.names()),
        ("encode --dtype", ("auto", "float32", "bfloat16", "int8")),
        ("encode --pooling", POOLERS.names()),
        ("train unsup --pooling", POOLERS.names()),
        ("train unsup --augmentation", AUGMENTATIONS.names()),
        ("train sup --objective", OBJECTIVES.names()),
        ("index build --kind", ("auto", *KINDS.names())),
    ],
)
def test_an_open_list_completes_from_its_family(option: str, names: tuple[str, ...]) -> None:
    assert offered(OPTIONS[option]) == list(names)


def test_of_several_names_the_last_one_is_completed() -> None:
    assert offered(OPTIONS["eval --suite"], "sts,ret") == ["sts,retrieval"]
    assert offered(OPTIONS["train unsup --recipe"], "esimcse+arc") == ["esimcse+arccse"]


def test_a_setting_with_choices_offers_them() -> None:
    settings = [field for field in (*COMMON, *part_settings().values()) if field.metadata.get("choices")]
    assert len(settings) >= 4
    for field in settings:
        allowed = [*field.metadata["choices"], *field.metadata["aliases"]]  # an alias is accepted, but not shown
        assert offered(OPTIONS[f"train unsup --{field.name.replace('_', '-')}"]) == allowed
    for suite in SUITES:
        for field in dataclasses.fields(suite):
            if choices := field.metadata.get("choices"):
                assert set(choices) <= set(offered(OPTIONS[f"eval --{field.name.replace('_', '-')}"]))


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "index", "query", "--format", "xml"),
        ("report", "run", "--format", "pdf"),
        ("train", "unsup", "in.txt", "--output-dir", "out", "--train-head", "linear"),
    ],
)
def test_a_value_outside_of_a_closed_set_is_an_error_of_usage(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert f": '{arguments[-1]}' is not one of" in result.output
