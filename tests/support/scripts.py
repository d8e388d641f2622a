"""Scripts outside the package, as modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def load_script(path: Path, name: str, listed: pytest.MonkeyPatch | None = None) -> ModuleType:
    """Run a script under a name; ``listed``: also list it in ``sys.modules`` until the test ends."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if listed is not None:
        listed.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module
