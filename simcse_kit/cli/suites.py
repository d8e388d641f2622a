"""What the commands that measure take: models, suites with their options, and their data."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import Field, fields
from typing import Annotated, Any, get_type_hints

import typer

from simcse_kit.cli.completion import model_folders
from simcse_kit.cli.options import completes_list
from simcse_kit.cli.panels import with_choices
from simcse_kit.errors import SimCSEKitError, say_once
from simcse_kit.evaluation.suite import SUITES, Suite, suite_of

Models = Annotated[
    list[str],
    typer.Argument(
        help="Models: folders or hub names; MODULE:FUNCTION, from a list of texts to an array; or a folder of train "
        "--seeds, which counts as one model.",
        metavar="MODEL...",
        autocompletion=model_folders,
    ),
]
_DATA_HELP = "Data of the suites, see below: PATH for all, or SUITE=PATH for one. May be given several times."
SuiteDataOption = Annotated[list[str], typer.Option(help=_DATA_HELP, metavar="[SUITE=]PATH")]
OptionalSuiteData = Annotated[
    list[str],
    typer.Option(help=_DATA_HELP + " Default: evaluation data of the first run.", metavar="[SUITE=]PATH"),
]
DEFAULT = SUITES.names()[0]
Suites = Annotated[
    str | None,
    typer.Option(
        help="Names of suites, see below, with commas; or MODULE:NAME for one of your own. Default: " + DEFAULT + ".",
        autocompletion=completes_list(SUITES.names),
    ),
]
Endpoint = Annotated[
    str | None,
    typer.Option(
        help="OpenAI-compatible server, such as https://host/v1, for each MODEL that is no folder; its key is "
        "OPENAI_API_KEY. Default: models run here.",
        metavar="URL",
    ),
]


def suites_of(text: str | None) -> list[str]:
    """``a,b`` as a list of suites that exist."""
    suites = [name.strip() for name in (text or DEFAULT).split(",")]
    for name in suites:
        SUITES.get(name)
    return suites


def suite_data(data: list[str], suites: list[str]) -> dict[str, str]:
    """Where the data of each suite lies."""
    named: dict[str, str] = {}
    general: list[str] = []
    for value in data:
        name, sign, place = value.partition("=")
        if sign and (name in SUITES or name in suites):
            named[name] = place
        else:
            general.append(value)
    if len(general) > 1:
        raise SimCSEKitError(f"--data: one path for all suites, and SUITE=PATH for others; got {', '.join(general)}")
    for name in suites:
        if name not in named and not general:
            raise SimCSEKitError(f"--data: the suite {name} needs {SUITES.get(name).data}; --data {name}=PATH")
    return {name: named[name] if name in named else general[0] for name in suites}


def with_suite_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter ``settings`` becomes an option for each setting of the suites."""
    given: dict[str, list[tuple[type[Suite], Field[Any]]]] = {}
    for part in SUITES:
        for field in fields(part):
            given.setdefault(field.name, []).append((part, field))

    def run(**arguments: Any) -> None:
        settings = {name: arguments.pop(name) for name in given}
        command(settings={name: value for name, value in settings.items() if value is not None}, **arguments)

    signature = inspect.signature(command, eval_str=True)
    parameters = []
    for parameter in signature.parameters.values():
        if parameter.name == "settings":
            parameters += [_option(name, owners) for name, owners in given.items()]
        else:
            parameters.append(parameter)
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__doc__, run.__name__ = command.__doc__, command.__name__
    return with_choices({"Suites": {part.name: f"{part.help} Data: {part.data}." for part in SUITES}})(run)


def suite_options(suites: list[str], settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The options that were given, by the suites that have them; one that no suite has is said."""
    options: dict[str, dict[str, Any]] = {suite: {} for suite in suites}
    used: set[str] = set()
    for suite in suites:
        part = suite_of(suite)
        for field in fields(part):
            if field.name in settings:
                value = settings[field.name]
                options[suite][field.name] = _parts_of(value) if "tuple" in str(field.type) else value
                used.add(field.name)
        suite_of(part, **options[suite])  # a value out of bounds is an error before anything is read
    for name in set(settings) - used:
        having = [part.name for part in SUITES if any(field.name == name for field in fields(part))]
        say_once(f"--{name.replace('_', '-')} is an option of {', '.join(having)} and is left out")
    return options


def downloads(suites: list[str]) -> dict[str, Suite]:
    """By name, those whose data can be fetched; an error where there is none."""
    able = {name: part for name, part in zip(suites, map(suite_of, suites), strict=True) if part.can_download}
    if not able:
        names = [part.name for part in SUITES if part.can_download]
        noun = "suite" if len(names) == 1 else "suites"
        raise SimCSEKitError(
            f"--download fetches the data of the {noun} {', '.join(names)}; the others have to lie in --data"
        )
    return able


def _option(name: str, owners: list[tuple[type[Suite], Field[Any]]]) -> inspect.Parameter:
    """The option of a setting, which several suites may have; left out, each takes its own default."""
    kind = get_type_hints(owners[0][0])[name]
    one = kind if kind in (bool, int, float) else str  # a list is given with commas
    choices = list(dict.fromkeys(choice for _, field in owners for choice in field.metadata["choices"] or ()))
    lows = [field.metadata["bounds"].get("at least") for _, field in owners]
    option = typer.Option(
        f"--{name.replace('_', '-')}",  # a flag has no --no-
        help=" ".join(f"{part.name}: {_told(field)}" for part, field in owners),
        min=lows[0] if one in (int, float) and len(owners) == 1 else None,
        show_default=False,
        autocompletion=completes_list(lambda: choices) if choices else None,
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[one | None, option]
    )


def _told(field: Field[Any]) -> str:
    text = str(field.metadata["help"])
    if field.metadata["choices"]:
        text += f" One of {', '.join(map(str, field.metadata['choices']))}."
    if field.default not in (None, False):
        text += f" Default: {field.default}."
    return text


def _parts_of(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))
