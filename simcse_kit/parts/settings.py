"""Settings of a part: fields of a frozen dataclass with default, bounds and one line of help."""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

from simcse_kit.errors import SimCSEKitError

_COMPARE = {"above": operator.gt, "at least": operator.ge, "below": operator.lt, "at most": operator.le}


def setting(
    default: Any,
    help: str,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    choices: Sequence[Any] | None = None,
    aliases: Mapping[str, str] | None = None,
    panel: str = "",
    needs: str = "",
    words: str = "",
) -> Any:
    """A field with its default, its line of help, and its allowed values.

    Bounds apply to numbers, and to each item of a tuple; None is allowed if it is the default. ``aliases`` are former
    names of choices, see `own_name`. ``panel``: the panel of the setting in the command's help; ``needs``: the setting
    without which this one has no effect; ``words``: the allowed values in words, if bounds read badly.
    """
    given = {"above": above, "at least": at_least, "below": below, "at most": at_most}
    bounds = {word: bound for word, bound in given.items() if bound is not None}
    return dataclasses.field(
        default=default,
        metadata={
            "help": help,
            "bounds": bounds,
            "choices": choices,
            "aliases": aliases or {},
            "panel": panel,
            "needs": needs,
            "words": words,
        },
    )


def check_settings(part: Any, error: type[SimCSEKitError]) -> None:
    """Raise ``error`` for the first setting of a dataclass instance outside its bounds or choices."""
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if value is None and field.default is None:
            continue
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, float) and not math.isfinite(one):
                raise error(f"{field.name} must be a finite number; got {one}")
            if not _allowed(one, field.metadata):
                raise error(f"{field.name} must be {allowed(field)}; got {one!r}")


def own_name(field: dataclasses.Field[Any], value: Any) -> Any:
    """The current name of a choice; a value that is not an alias is returned unchanged."""
    aliases = field.metadata.get("aliases") or {}
    return aliases[value] if isinstance(value, str) and value in aliases else value


def allowed(field: dataclasses.Field[Any]) -> str:
    """Allowed values of a setting, in words."""
    choices = field.metadata.get("choices")
    if field.metadata.get("words"):
        return str(field.metadata["words"])
    if choices is not None:
        return f"one of {', '.join(map(str, choices))}"
    return " and ".join(
        f"{word} {bound if isinstance(bound, int) else f'{bound:g}'}"
        for word, bound in field.metadata.get("bounds", {}).items()
    )


def _allowed(value: Any, metadata: Any) -> bool:
    choices, bounds = metadata.get("choices"), metadata.get("bounds") or {}
    if choices is not None:
        return value in choices
    if not bounds:
        return True
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return all(_COMPARE[word](value, bound) for word, bound in bounds.items())
