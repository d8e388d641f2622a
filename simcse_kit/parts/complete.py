"""A user's own part has all that its family needs; what is missing is named when the part is loaded."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from simcse_kit.errors import SimCSEKitError


def check_complete(part: Any, called: str, error: type[SimCSEKitError]) -> None:
    """Raise ``error`` if a part, a class or an object, lacks class variables or methods of its base class.

    A class variable is required if the base class declares it without a value; a method, if it is abstract.
    """
    kind = part if isinstance(part, type) else type(part)
    forgotten = [name for name, value in vars(kind).items() if isinstance(value, dataclasses.Field)]
    if forgotten:
        raise error(
            f"{called} has settings ({', '.join(forgotten)}) but is not a dataclass; put "
            "@dataclass(frozen=True, kw_only=True) above the class"
        )
    declared = [
        name
        for base in reversed(kind.__mro__)
        for name, annotation in inspect.get_annotations(base).items()
        if "ClassVar" in str(annotation) and not hasattr(part, name)
    ]
    missing = [*dict.fromkeys(declared), *(f"{name}()" for name in sorted(getattr(kind, "__abstractmethods__", ())))]
    if missing:
        raise error(f"{called} lacks {', '.join(missing)}; see the docstring of {_public(kind).__name__}")


def _public(kind: type) -> type:
    """The base class that a user extends: the nearest one of this package."""
    return next((base for base in kind.__mro__ if base.__module__.startswith("simcse_kit.")), kind)
