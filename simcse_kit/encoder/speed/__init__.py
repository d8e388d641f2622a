"""What makes training and encoding faster without changing what they compute, behind one switch.

With ``SIMCSE_KIT_PLAIN=1`` in the environment, or inside `plain`, transformers' own modules run as they are: to read a
run step by step, and to see whether a doubtful figure comes from here. A model that is loaded there stays plain.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_SWITCH = "SIMCSE_KIT_PLAIN"


def is_plain() -> bool:
    """Whether the faster paths are switched off."""
    return os.environ.get(_SWITCH, "") not in ("", "0")


@contextmanager
def plain() -> Iterator[None]:
    """Switch the faster paths off inside the context, in this process and those that it starts."""
    before = os.environ.get(_SWITCH)
    os.environ[_SWITCH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SWITCH]
        else:
            os.environ[_SWITCH] = before
