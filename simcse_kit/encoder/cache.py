"""The user's cache: what can be made again, kept to save the time."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/simcse-kit``, else ``~/.cache/simcse-kit``; ``~`` of a user without a home is the root."""
    given = os.environ.get("XDG_CACHE_HOME")
    if given:
        return Path(given) / "simcse-kit"
    try:
        home = Path.home()
    except RuntimeError:
        home = Path("/")
    return home / ".cache" / "simcse-kit"
