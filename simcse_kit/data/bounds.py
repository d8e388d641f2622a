"""Limits on the size and depth of a row's metadata, so that every reader can parse what is stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

LARGEST_METADATA = 1 << 20  # characters of JSON
DEEPEST_METADATA = 64  # objects and lists inside one another
_READABLE = 200  # the limit for files of 0.1.0, which had none: writers of JSON stop at 255


def bounded_json(value: Mapping[str, Any]) -> str:
    """The JSON of a row's metadata.

    >>> bounded_json({"lang": "en", "tags": ["ü"]})
    '{"lang": "en", "tags": ["ü"]}'

    Raises:
        ValueError: larger or deeper than metadata may be, or not JSON; the text says which.
        TypeError: a value that JSON does not support.
    """
    try:
        text = json.dumps(dict(value), ensure_ascii=False, allow_nan=False)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    if len(text) > LARGEST_METADATA:
        raise ValueError(
            f"{len(text):,} characters of JSON: metadata may have at most {LARGEST_METADATA:,}; store the rest "
            "elsewhere, under the id"
        )
    if text.count("{") + text.count("[") > DEEPEST_METADATA and depth(value) > DEEPEST_METADATA:
        raise ValueError(_TOO_DEEP)
    return text


def read_json_object(text: str) -> Any:
    """Parse what `bounded_json` wrote. An index of 0.1.0 may hold metadata that no JSON writer accepts.

    Raises:
        ValueError: it is nested too deeply, or not JSON.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    if text.count("{") + text.count("[") > _READABLE and depth(value) > _READABLE:
        raise ValueError(_TOO_DEEP)
    return value


_TOO_DEEP = f"metadata may be nested at most {DEEPEST_METADATA} levels deep; make them flatter"


def depth(value: Any) -> int:
    """Depth of nested objects and lists.

    >>> depth(1), depth({}), depth({"a": [1, {"b": 2}]})
    (0, 1, 3)
    """
    levels, level = 0, [value]
    while level := [one for one in level if isinstance(one, Mapping | list | tuple)]:
        levels += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, Mapping) else one)]
    return levels
