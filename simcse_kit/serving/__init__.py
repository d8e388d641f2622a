"""HTTP server for models and indexes, and the demo page: the extra ``serve``.

Imports nothing, so that `simcse_kit.serve` can name the install command if the extra is missing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simcse_kit.serving.app import create_app
    from simcse_kit.serving.server import Started, free_port, serve
    from simcse_kit.serving.settings import Limits, PageSettings, ServeError, check_access, read_api_keys
    from simcse_kit.serving.targets import open_targets

__all__ = [
    "Limits",
    "PageSettings",
    "ServeError",
    "Started",
    "check_access",
    "create_app",
    "free_port",
    "open_targets",
    "read_api_keys",
    "serve",
]

_HOME = {
    "create_app": "app",
    "open_targets": "targets",
    **dict.fromkeys(("Started", "free_port", "serve"), "server"),
    **dict.fromkeys(("Limits", "PageSettings", "ServeError", "check_access", "read_api_keys"), "settings"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'simcse_kit.serving' has no attribute {name!r}")
    return getattr(importlib.import_module(f"simcse_kit.serving.{_HOME[name]}"), name)
