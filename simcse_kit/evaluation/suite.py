"""The base class of evaluation suites, and `evaluate`, which runs one by name.

Importing this module and the parts in `simcse_kit.evaluation.suites` loads no numpy: the command's help reads them.
"""

from __future__ import annotations

import difflib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from simcse_kit.errors import DataError, SimCSEKitError
from simcse_kit.parts import Family, check_settings, is_named

if TYPE_CHECKING:
    from simcse_kit.evaluation.results import SuiteResult
    from simcse_kit.types import EncodeFn, ScoredPairs, Vectors

SIMILARITY = "sentence-similarity"


@dataclass(frozen=True, kw_only=True)
class Suite(ABC):
    """An evaluation with its data and scores. Fields of a subclass, made by `simcse_kit.parts.setting`, are its
    options.

    Your own suite needs only `run`, which returns a `SuiteResult`. ``SuiteResult(scores={"accuracy": 81.5})`` is
    enough. With ``outcomes``, the values of single items, the scores also have intervals and differences. `evaluate`
    adds the suite's name, and the data, the seconds and the number of sentences if they are missing. Pass the class or
    an instance to `evaluate`, or name it ``module:attribute``.
    """

    name: ClassVar[str] = ""  # users' name for it; your own is named module:attribute
    help: ClassVar[str] = ""  # one line
    source: ClassVar[str] = ""  # paper and year
    unit: ClassVar[str] = "× 100"  # names of its scores
    data: ClassVar[str] = "its data"  # the data it needs, in words
    order: ClassVar[int] = 100  # position in lists
    takes_scored_pairs: ClassVar[bool] = False  # accepts `ScoredPairs`, not only a path
    beside: ClassVar[tuple[str, ...]] = ()  # suites on whose data a report also runs this one
    task: ClassVar[str] = SIMILARITY  # the hub's name for its task, for the model card
    digits: ClassVar[int] = 2  # unit of a displayed score
    higher_is_better: ClassVar[bool] = True  # unit of all its scores
    large: ClassVar[bool] = False  # its corpora are too large to keep vectors in memory
    can_download: ClassVar[bool] = False  # whether `download` fetches its data

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):
                object.__setattr__(self, field.name, tuple(value))
        check_settings(self, DataError)

    @abstractmethod
    def run(self, encode: EncodeFn, data: Any, *, show_progress_bar: bool = False) -> SuiteResult:
        """Measure ``encode``, from N texts to (N, D), on ``data``; the bar shows slow work after encoding.

        Returns:
            at least ``SuiteResult(scores=...)``.
        """

    def download(self, folder: str | Path) -> Path:
        """Download the data to a folder, if ``can_download``; returns their path."""
        raise SimCSEKitError(f"the data of the suite {name_of(self)} cannot be downloaded; it needs {self.data}")


SUITES: Family[type[Suite]] = Family("suite", "simcse_kit.evaluation.suites", SimCSEKitError, Suite)
"""All suites, by name."""


def suite_of(suite: str | Suite | type[Suite], **settings: Any) -> Suite:
    """A suite with its settings, from a name, a class or an instance.

    Raises:
        SimCSEKitError: unknown suite, a setting that it does not have, or a value that is not allowed.
    """
    part = SUITES.get(suite) if isinstance(suite, str) else suite
    known = [field.name for field in fields(part)]
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(name, [*known, "show_progress_bar"], n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            has = f"has the options {', '.join(known)}" if known else "has no options"
            raise SimCSEKitError(f"the suite {name_of(suite)} {has}; got {name!r}{hint}")
    return part(**settings) if isinstance(part, type) else replace(part, **settings)


def name_of(suite: str | Suite | type[Suite]) -> str:
    """Recorded name of a suite: its name, or ``module:attribute`` for a user's own."""
    if isinstance(suite, str):
        return suite if is_named(suite) else SUITES.canonical(suite)
    return SUITES.path_of(suite if isinstance(suite, type) else type(suite))


def task_of(name: str) -> str:
    """The hub's name for the task of a suite. Names may come from a file, so nothing is imported."""
    return SUITES.get(name).task if name in SUITES else SIMILARITY


def evaluate(
    encode: EncodeFn,
    suite: str | Suite | type[Suite],
    data: str | Path | ScoredPairs,
    *,
    show_progress_bar: bool = False,
    **options: Any,
) -> SuiteResult:
    """Run one of `SUITES`, or your own suite.

    Args:
        encode: N texts to (N, D).
        suite: a name in `SUITES`, ``module:attribute`` for your own suite, or a `Suite`.
        data: the data that the suite needs, see `Suite.data`.
        show_progress_bar: a bar over slow work after encoding.
        options: settings of the suite.

    Raises:
        SimCSEKitError: unknown suite or option (the text gives the nearest), or data of the wrong kind.
        DataError: the data cannot be used, or an option is out of bounds.
    """
    from simcse_kit.types import ScoredPairs

    chosen = suite_of(suite, **options)
    name = name_of(suite)
    if isinstance(data, ScoredPairs) and not chosen.takes_scored_pairs:
        taking = next(part.name for part in SUITES if part.takes_scored_pairs)
        raise SimCSEKitError(f'suite {name!r} needs a folder; for scored pairs use suite "{taking}"')
    encoder, began = _Counting(encode), time.perf_counter()
    result = chosen.run(encoder, data, show_progress_bar=show_progress_bar)
    _check_result(result, name)
    return replace(
        result,
        suite=name,
        seconds=time.perf_counter() - began if math.isnan(result.seconds) else result.seconds,
        sentences=result.sentences or encoder.sentences,
        data=result.data or (data.source if isinstance(data, ScoredPairs) else str(data)),
    )


class _Counting:
    """An encoder that counts the sentences."""

    def __init__(self, encode: EncodeFn) -> None:
        self._encode = encode
        self.sentences = 0

    def __call__(self, texts: Sequence[str]) -> Vectors:
        self.sentences += len(texts)
        return self._encode(texts)


def _check_result(result: object, name: str) -> None:
    """Check what a suite of the user's own has returned."""
    from simcse_kit.evaluation.results import SuiteResult

    if not isinstance(result, SuiteResult):
        raise SimCSEKitError(
            f"run of suite {name} must return a SuiteResult, such as SuiteResult(scores={{'accuracy': 81.5}}); "
            f"got {type(result).__name__}"
        )
    if not result.scores:
        raise SimCSEKitError(f"run of suite {name} returned no scores")
