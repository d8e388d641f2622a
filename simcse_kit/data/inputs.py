"""What may be encoded: a string or a sequence of strings, each of them a text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from simcse_kit.errors import say_once

_HALF = re.compile("[\ud800-\udfff]")


def is_text(value: Any) -> bool:
    """One string or a sequence of strings, an empty list included: it has no vectors either."""
    if isinstance(value, np.ndarray):
        return bool(value.dtype.kind == "U")
    return isinstance(value, str) or (isinstance(value, Sequence) and all(isinstance(item, str) for item in value))


def checked_texts(sentences: Any) -> list[str]:
    """The strings as a list, half surrogate pairs read as U+FFFD; what is no string is a `TypeError` with its index."""
    if sentences is None or isinstance(sentences, bytes | dict | set | frozenset):
        raise TypeError(f"sentences must be a string or a sequence of strings; got {type(sentences).__name__}")
    texts = [sentences] if isinstance(sentences, str) else list(sentences)
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
