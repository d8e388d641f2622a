"""Errors that a user can act on, and notices that are said once."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Sequence


class SimCSEKitError(Exception):
    """Base of every error that this package raises on purpose; its text says what to do."""


class DataError(SimCSEKitError, ValueError):
    """A file or row cannot be used; the text names file, line and what was found."""


class MissingColumnError(DataError):
    """A file lacks a column that was named, or has it more than once."""


class ModelError(SimCSEKitError, ValueError):
    """A model folder or name cannot be loaded as asked."""


class UnsupportedModelError(ModelError):
    """A model folder is whole, but has a part that this package does not run."""


class UnknownPoolingError(ModelError):
    """A folder that does not say how its vectors are pooled: a raw encoder, or a checkpoint of another tool."""


class TrainingError(SimCSEKitError, ValueError):
    """A training run cannot start or go on as asked."""


class TrainingInterrupted(SimCSEKitError):
    """The user stopped a run; the text says how to go on."""


class SearchIndexError(SimCSEKitError, ValueError):
    """An index folder cannot be read, or does not fit the model or the call."""


class NoIndexError(SearchIndexError):
    """No index is in this place."""


class DamagedIndexError(SearchIndexError):
    """A file of an index is missing, or not what was written."""


class SlowFilterError(SearchIndexError):
    """A filter was stopped: it took longer than it may."""


class IndexChangedError(SearchIndexError):
    """An index was changed, removed or made with another model by somebody else since it was opened: open it again."""


class MissingExtraError(SimCSEKitError, ImportError):
    """An optional package is not installed; the text names the install command."""


def require_extra(extra: str, packages: Sequence[str], what: str) -> None:
    """A `MissingExtraError` that names the install command, where a package of an extra is not installed."""
    if not all(map(importlib.util.find_spec, packages)):
        raise MissingExtraError(f"{what} needs: pip install 'simcse-kit[{extra}]'")


class Notice(UserWarning):
    """Something was chosen, skipped or cut for the user. Filter or catch it like any warning."""


_said: set[str] = set()


def notices() -> int:
    """How many notices were said in this process, equal ones once."""
    return len(_said)


def say_once(message: str, *, key: str | None = None) -> None:
    """Warn with `Notice`, once per process for each ``key`` (None: for each text)."""
    if (key or message) in _said:
        return
    _said.add(key or message)
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("simcse_kit"):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, Notice, stacklevel=level)  # at the caller's line
