"""Things of the user's own code, by the name ``module:attribute``."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any


def is_named(text: str) -> bool:
    """Whether a text has the form ``module:attribute``."""
    module, colon, attribute = text.partition(":")
    return bool(colon) and attribute.isidentifier() and all(map(str.isidentifier, module.split(".")))


def load_named(text: str, error: type[Exception]) -> Any:
    """What ``module:attribute`` stands for, found on the path or in the working folder; ``error`` where it is not."""
    module_name, _, attribute = text.partition(":")
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ImportError as cause:
        raise error(f"{text}: the module {module_name} cannot be imported: {cause}") from cause
    if not hasattr(module, attribute):
        raise error(f"{text}: {module_name} has no {attribute}")
    return getattr(module, attribute)
