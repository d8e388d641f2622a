"""The user's cache: files that can be made again, kept to save time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/simcse-kit``, else ``~/.cache/simcse-kit``; for a user without a home, ``~`` is the root."""
    given = os.environ.get("XDG_CACHE_HOME")
    if given:
        return Path(given) / "simcse-kit"
    try:
        home = Path.home()
    except RuntimeError:
        home = Path("/")
    return home / ".cache" / "simcse-kit"


def digests(paths: Iterable[Path]) -> dict[str, str]:
    """sha256 of each existing file by name; a damaged cached file is not used."""
    found = {}
    for path in paths:
        if path.is_file():
            with path.open("rb") as file:
                found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
