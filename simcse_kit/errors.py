"""Errors that a user can act on, and notices that are shown once."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Sequence


class SimCSEKitError(Exception):
    """Base of all errors that this package raises on purpose. The text says what to do."""


class DataError(SimCSEKitError, ValueError):
    """A file or row cannot be used. The text names the file, the line and the value found."""


class MissingColumnError(DataError):
    """A named column is missing, or occurs more than once."""

    def __init__(self, text: str, column: str) -> None:
        super().__init__(text)
        self.column = column  # as it was named

    def __reduce__(self) -> tuple[type[MissingColumnError], tuple[str, str]]:
        return type(self), (str(self), self.column)


class ModelError(SimCSEKitError, ValueError):
    """A model folder or name cannot be loaded as requested."""


class UnsupportedModelError(ModelError):
    """A model folder is complete, but has a module that this package does not support."""


class UnknownPoolingError(ModelError):
    """A model folder does not say how vectors are pooled: a raw encoder, or a checkpoint of another tool."""


class TrainingError(SimCSEKitError, ValueError):
    """A training run cannot start or continue as requested."""


class TrainingInterrupted(SimCSEKitError):
    """The user stopped a run. The text says how to continue."""


class SearchIndexError(SimCSEKitError, ValueError):
    """An index cannot be read, or does not fit the model or the call."""


class NoIndexError(SearchIndexError):
    """There is no index at this address."""


class DamagedIndexError(SearchIndexError):
    """A file of an index is missing or has changed since it was written."""


class SlowFilterError(SearchIndexError):
    """A filter exceeded its time limit."""


class IndexChangedError(SearchIndexError):
    """Another process changed, removed or rebuilt the index since it was opened. Open it again."""


class MissingExtraError(SimCSEKitError, ImportError):
    """An optional package is not installed. The text gives the install command."""


def require_extra(extra: str, packages: Sequence[str], what: str) -> None:
    """Raise a `MissingExtraError` with the install command if a package of an extra is not installed."""
    if not all(map(importlib.util.find_spec, packages)):
        raise MissingExtraError(f"{what} needs: pip install 'simcse-kit[{extra}]'")


class Notice(UserWarning):
    """A choice, a skipped row or a cut text that the user should know about. Filter or catch it like any warning."""


_said: set[str] = set()


def notices() -> int:
    """Number of different notices shown in this process."""
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
