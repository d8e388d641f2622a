"""Objects in the user's own code, named ``module:attribute``."""

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
    """The object ``module:attribute``, from the import path or the working folder; raises ``error`` if not found."""
    module_name, _, attribute = text.partition(":")
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ImportError as cause:
        raise error(f"{text}: cannot import the module {module_name}: {cause}") from cause
    if not hasattr(module, attribute):
        raise error(f"{text}: {module_name} has no {attribute}")
    return getattr(module, attribute)
