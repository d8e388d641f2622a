"""How large and how deep the metadata of a row may be: what is stored must be read by everybody who finds it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

LARGEST_METADATA = 1 << 20  # characters of JSON
DEEPEST_METADATA = 64  # objects and lists inside one another
_READABLE = 200  # the same, of 0.1.0, which had no limit: writers of JSON stop at 255


def bounded_json(value: Mapping[str, Any]) -> str:
    """The JSON of a row's metadata.

    >>> bounded_json({"lang": "en", "tags": ["ü"]})
    '{"lang": "en", "tags": ["ü"]}'

    Raises:
        ValueError: larger or deeper than metadata may be, or not JSON; the text says so.
        TypeError: a value that JSON does not have.
    """
    try:
        text = json.dumps(dict(value), ensure_ascii=False, allow_nan=False)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    if len(text) > LARGEST_METADATA:
        raise ValueError(
            f"{len(text):,} characters of JSON, metadata have at most {LARGEST_METADATA:,}; keep the rest elsewhere, "
            "under the id"
        )
    if text.count("{") + text.count("[") > DEEPEST_METADATA and depth(value) > DEEPEST_METADATA:
        raise ValueError(_TOO_DEEP)
    return text


def read_json_object(text: str) -> Any:
    """What `bounded_json` wrote; of 0.1.0 it may be what nobody can pass on.

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


_TOO_DEEP = f"metadata have at most {DEEPEST_METADATA} objects and lists inside one another; keep them flat"


def depth(value: Any) -> int:
    """Objects and lists inside one another.

    >>> depth(1), depth({}), depth({"a": [1, {"b": 2}]})
    (0, 1, 3)
    """
    levels, level = 0, [value]
    while level := [one for one in level if isinstance(one, Mapping | list | tuple)]:
        levels += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, Mapping) else one)]
    return levels
