"""What callers hand over as texts: a string, or any column of strings; a table or a missing value is an error."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from simcse_kit.errors import say_once

_HALF = re.compile("[\ud800-\udfff]")


def is_single(value: Any) -> bool:
    """One string, numpy's scalar of one included."""
    return isinstance(value, str) or (isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "OTU")


def is_text(value: Any) -> bool:
    """One string or a column of strings, an empty list included: it has no vectors either. Vectors are not.

    >>> is_text("a"), is_text(["a", None]), is_text([]), is_text([[0.5, 1.0]]), is_text(np.zeros((0, 3)))
    (True, True, True, False, False)
    """
    if is_single(value) or _columns_of(value) is not None:
        return True
    if isinstance(value, torch.Tensor) or (isinstance(value, np.ndarray) and value.dtype.kind not in "OTU"):
        return False
    items = _items(value)
    return not items or any(isinstance(item, str) for item in items)


def checked_texts(sentences: Any) -> list[str]:
    """The strings as a list, half surrogate pairs read as U+FFFD.

    Raises:
        TypeError: a table, with its columns of text; or what is no string, with its place from 0.
    """
    columns = _columns_of(sentences)
    if columns is not None:
        raise TypeError(_one_column(sentences, columns))
    if sentences is None or isinstance(sentences, bytes | dict | set | frozenset):
        raise TypeError(_not_texts(sentences))
    texts = [str(sentences)] if is_single(sentences) else _items(sentences)
    halves = 0
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"sentences must be strings; sentences[{i}] is {type(text).__name__}: {str(text)[:60]!r}")
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                halves += 1
                texts[i] = _HALF.sub("\ufffd", text)
    if halves:
        say_once(f"{halves} of {len(texts)} texts hold half of a surrogate pair, which is no text: read as U+FFFD")
    return texts


def _items(value: Any) -> list[Any]:
    if hasattr(value, "to_pylist"):  # Arrow's columns, whose items are no strings
        return list(value.to_pylist())
    if not isinstance(value, Iterable):
        raise TypeError(_not_texts(value))
    return list(value)


def _not_texts(value: Any) -> str:
    return f"sentences must be a string or a sequence of strings; got {type(value).__name__}"


def _columns_of(value: Any) -> list[Any] | None:
    """The columns' names of a table (pandas, polars, Arrow, a data set of the hub), None for anything else."""
    if isinstance(value, str | list | tuple | np.ndarray | torch.Tensor):
        return None
    names = getattr(value, "column_names", None)
    if names is None and hasattr(value, "dtypes"):  # of a Series too, which has no columns
        names = getattr(value, "columns", None)
    return None if names is None or callable(names) else list(names)


def _one_column(table: Any, columns: list[Any]) -> str:
    with_text = [name for name in columns if _holds_text(table, name)]
    kind = type(table).__name__
    if not with_text:
        return f"sentences is a {kind} without a column of text; it has {', '.join(map(str, columns)) or 'none'}"
    what = "column of text is" if len(with_text) == 1 else "columns of text are"
    return (
        f"sentences is a {kind}, a table; give one of its columns, as table[{with_text[0]!r}]. "
        f"Its {what} {', '.join(map(str, with_text))}"
    )


def _holds_text(table: Any, name: Any) -> bool:
    """Whether the first value that is not missing is a string."""
    for item in table[name]:
        value = item.as_py() if hasattr(item, "as_py") else item
        if value is not None and value == value:  # NaN differs from itself
            return isinstance(value, str)
    return False
