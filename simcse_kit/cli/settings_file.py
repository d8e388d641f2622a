"""``--config FILE``: options from a TOML file. The command line and the environment override it."""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer


def _read(context: typer.Context, value: Path | None) -> None:
    if not context.resilient_parsing:
        _say_unknown(context)
    if value is not None:
        context.default_map = {**(context.default_map or {}), **settings_of(value, context.command.params)}


def _say_unknown(context: typer.Context) -> None:
    """Warn about a variable that only looks like an option. Other programs may have set it."""
    from simcse_kit.errors import say_once

    prefix = f"{context.auto_envvar_prefix}_"
    known = {prefix + str(one.name).upper() for one in context.command.params}
    for name in sorted(os.environ):
        if name.startswith(prefix) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            say_once(f"{name} is not an option of this command" + (f"; did you mean {near[0]}?" if near else ""))


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="TOML file of these options, such as port = 8000. The command line wins over the environment, the "
        "environment over the file. Default: none.",
        metavar="FILE",
        is_eager=True,
        callback=_read,
        expose_value=False,
    ),
]


def settings_of(path: Path, parameters: list[Any]) -> dict[str, Any]:
    """Settings of a file by parameter name.

    Raises:
        SimCSEKitError: the file cannot be read, or has an unknown key or a value of the wrong type.
    """
    from simcse_kit.errors import SimCSEKitError

    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SimCSEKitError(f"--config {path} cannot be read: {error}") from error
    known = {str(one.name).replace("_", "-"): one for one in parameters if one.name not in ("config", "help")}
    found = {}
    for key, value in given.items():
        parameter = known.get(key.replace("_", "-"))
        if parameter is None:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; choose from {', '.join(known)}"
            raise SimCSEKitError(f"{path}: {key} is not an option of this command{hint}")
        if (wanted := _wanted(parameter, value)) is not None:
            raise SimCSEKitError(f"{path}: {key} takes {wanted}; got {value!r}")
        found[str(parameter.name)] = value
    return found


def _wanted(parameter: Any, value: Any) -> str | None:
    """What a parameter takes, if the TOML value has the wrong type."""
    if getattr(parameter, "multiple", False) or parameter.nargs != 1:
        fits = isinstance(value, list) and all(isinstance(one, str) for one in value)
        return None if fits else 'a list of strings, such as ["a", "b"]'
    if getattr(parameter, "is_flag", False):
        return None if isinstance(value, bool) else "true or false"
    return None if isinstance(value, str | int | float) and not isinstance(value, bool) else "one text or number"
