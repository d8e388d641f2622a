"""Speed-ups of training and encoding that do not change results, behind one switch.

With ``SIMCSE_KIT_PLAIN=1`` in the environment, or inside `plain`, transformers' own modules run unchanged: to read a
run step by step, and to check whether a suspicious number comes from here. A model loaded this way stays plain.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_SWITCH = "SIMCSE_KIT_PLAIN"


def is_plain() -> bool:
    """Whether the speed-ups are off."""
    return os.environ.get(_SWITCH, "") not in ("", "0")


@contextmanager
def plain() -> Iterator[None]:
    """Turn the speed-ups off inside the context, in this process and its child processes."""
    before = os.environ.get(_SWITCH)
    os.environ[_SWITCH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SWITCH]
        else:
            os.environ[_SWITCH] = before
