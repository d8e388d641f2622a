"""Unknown keywords of open functions (``**settings``): an error that names the nearest known one."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Iterable
from typing import Any


def check_keywords(given: Iterable[str], known: Collection[str], where: str, error: type[Exception]) -> None:
    """Raise ``error`` for the first keyword that is not known.

    Args:
        given: keywords of the call; may be a dictionary of arguments.
        known: names that the function accepts.
        where: the function's name, for the text: "encode() has no argument 'batchsize'; did you mean batch_size?".
        error: the class to raise; Python itself raises TypeError.
    """
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(sorted(known))}"
            raise error(f"{where}() has no argument {name!r}; {hint}")


@functools.cache
def keywords_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Arguments that a caller can pass by name, in the order of the signature, without ``self`` and ``**open``."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return tuple(
        one.name for one in inspect.signature(function).parameters.values() if one.kind in named and one.name != "self"
    )
