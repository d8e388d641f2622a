"""What callers hand over as texts: a string, or any column of strings; a table or a missing value is an error."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from simcse_kit.data.frames import columns_of_table, one_column
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
    if is_single(value) or columns_of_table(value) is not None:
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
    if columns_of_table(sentences) is not None:
        raise TypeError(f"sentences is {one_column(sentences)}")
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
