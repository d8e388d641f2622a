"""What the help says: every option in full and in plain words, two examples that parse, the four main jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from typer.main import get_command

from simcse_kit.cli import app
from support.commands import parsed, run
from support.imports import command_imports

LONGEST = 240  # characters of a help: three lines of 80
OF_TYPER = {"--help", "--install-completion", "--show-completion"}
# Words of the old dialect, see the pairs of before and after in the guide of style.
DIALECT = re.compile(
    r"\b(told|tells|anew|so many|is none|bears?|whoever|likewise|of it|once more|one a line|a step and device|"
    r"each perhaps|will do|may not be had|cannot be had|says which|lies in|goes on|go on|whence|thereof)\b"
    r"|\b(else|meanwhile)[.;]|^Of |\. Of the "
)
# What a number counts or measures.
UNIT = re.compile(
    r"\b(seconds|steps|sentences|texts|rows|tokens|words|characters|hits|threads|negatives|neighbours|neighbors|nearest|"
    r"pairs|passes|degrees|cosines?|share|probability|number of|models at once|port|seed|weight|temperature|rank|"
    r"learning rate|logit|strength|similarity|batches|folds|clusters)\b",
    re.IGNORECASE,
)
DEFAULT = re.compile(r"\bDefault: \S|Needed unless ")


class Parameter(NamedTuple):
    """An option or argument of a command."""

    where: str
    shown: Any  # click's parameter
    help: str

    @property
    def number(self) -> bool:
        """Whether it takes a number."""
        return self.kind in (int, float)

    @property
    def kind(self) -> Any:
        """The type of its value; of an option that can be left out, too."""
        descriptor = getattr(self.shown, "type_descriptor", None)
        if descriptor is not None:
            return descriptor.annotation
        return {"integer": int, "float": float}.get(self.shown.type.name.removesuffix(" range"))


def commands(command: Any, name: str = "simcse-kit") -> Iterator[tuple[str, Any]]:
    """Every command and group by its line."""
    yield name, command
    for key, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{name} {key}")


COMMANDS = dict(commands(get_command(app)))
PARAMETERS = [
    Parameter(f"{name} {parameter.opts[0]}", parameter, parameter.help or "")
    for name, command in COMMANDS.items()
    for parameter in command.params
    if not getattr(parameter, "hidden", False) and not OF_TYPER & {*parameter.opts}
]


def test_every_option_has_a_short_help() -> None:
    assert len(PARAMETERS) > 300
    assert [one.where for one in PARAMETERS if not re.search(r"[.)]$", one.help)] == []
    assert [(one.where, len(one.help)) for one in PARAMETERS if len(one.help) > LONGEST] == []


def test_no_help_is_in_the_old_dialect() -> None:
    texts = {one.where: one.help for one in PARAMETERS} | {name: command.help for name, command in COMMANDS.items()}
    texts |= {f"{name}: short help": command.get_short_help_str(200) for name, command in COMMANDS.items()}
    assert {where: found[0] for where, text in texts.items() if (found := DIALECT.search(text or ""))} == {}


def test_every_number_has_a_unit_or_a_range() -> None:
    numbers = [one for one in PARAMETERS if one.number]
    assert len(numbers) > 60
    assert [(one.where, one.help) for one in numbers if not UNIT.search(one.help)] == []


def test_every_option_says_what_holds_without_it() -> None:
    """By click's own words or by the help's; a flag is off, and a required option has no default."""

    def silent(one: Parameter) -> bool:
        parameter = one.shown
        if parameter.required or (getattr(parameter, "is_flag", False) and not parameter.secondary_opts):
            return False
        by_click = parameter.default not in (None, [], (), "") and parameter.show_default
        return not by_click and not DEFAULT.search(one.help)

    flags = {one.where for one in PARAMETERS if one.shown.param_type_name == "option" and one.shown.secondary_opts}
    assert [(one.where, one.help) for one in PARAMETERS if one.where not in flags and silent(one)] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_ends_with_two_examples(name: str) -> None:
    done = run(*name.split()[1:], "--help")
    assert done.returncode == 0
    text, heading, examples = done.stdout.partition("\nExamples:\n")
    assert heading
    assert "Example:" not in text
    lines = [line.strip() for line in examples.strip().splitlines()]
    assert len(lines) == len(set(lines)) >= 2
    for line in lines:
        parsed(line)
    if name != "simcse-kit" and name not in ("simcse-kit recipes", "simcse-kit prepare", "simcse-kit index"):
        assert all(line.startswith(name) for line in lines)


@pytest.mark.parametrize(
    "line",
    ["simcse-kit adapt x.txt", "simcse-kit eval m --datum x", "simcse-kit index build m", "simcse-kit adap x"],
)
def test_a_wrong_example_is_found(line: str) -> None:
    with pytest.raises(Exception, match=r"(?i)missing|no such|unexpected"):
        parsed(line)


def test_no_line_of_a_list_of_commands_is_cut() -> None:
    for name, command in COMMANDS.items():
        if getattr(command, "commands", {}):
            listed = run(*name.split()[1:], "--help").stdout.partition("Commands:")[2].partition("Examples:")[0]
            assert "..." not in listed


def test_without_arguments_the_main_jobs_are_shown() -> None:
    done = command_imports()
    assert (done.code, done.heavy, done.output) == (2, [], "")
    lines = [line.strip() for line in done.errors.splitlines() if line.startswith("  simcse-kit ")]
    jobs = [parsed(part)[0] for line in lines for part in line.split(" && ")]
    assert jobs == ["adapt", "train", "eval", "index", "search"]
    assert len(lines) == 4
    assert "All commands: simcse-kit --help" in done.errors
    assert max(map(len, done.errors.splitlines())) <= 100
