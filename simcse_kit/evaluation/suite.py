"""What an evaluation suite is, and `evaluate`, which runs one by its name.

Importing this module and the parts in `simcse_kit.evaluation.suites` loads no numpy: the command's help reads them.
"""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from simcse_kit.errors import DataError, SimCSEKitError
from simcse_kit.parts import Family, check_settings, is_named

if TYPE_CHECKING:
    from simcse_kit.evaluation.results import SuiteResult
    from simcse_kit.types import EncodeFn, ScoredPairs

SIMILARITY = "sentence-similarity"


@dataclass(frozen=True, kw_only=True)
class Suite(ABC):
    """An evaluation with its data and scores; a subclass's fields, made by `simcse_kit.parts.setting`, are its options.

    A suite of your own needs `run` alone. Give its class or an instance to `evaluate`, or name it ``module:attribute``.
    """

    name: ClassVar[str] = ""  # as users give it; one of your own goes by module:attribute
    help: ClassVar[str] = ""  # one line
    source: ClassVar[str] = ""  # paper and year
    unit: ClassVar[str] = "× 100"  # of its scores
    data: ClassVar[str] = "its data"  # what it takes, in words
    order: ClassVar[int] = 100  # its place in lists
    takes_scored_pairs: ClassVar[bool] = False  # also as `ScoredPairs`, not only as a path
    beside: ClassVar[tuple[str, ...]] = ()  # suites on whose data a report measures this one too
    task: ClassVar[str] = SIMILARITY  # the hub's name for what it measures, for the model card
    digits: ClassVar[int] = 2  # of a score that is shown
    higher_is_better: ClassVar[bool] = True  # of all its scores
    large: ClassVar[bool] = False  # its corpora are too large to keep their vectors in memory
    can_download: ClassVar[bool] = False  # whether `download` fetches its data

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):
                object.__setattr__(self, field.name, tuple(value))
        check_settings(self, DataError)

    @abstractmethod
    def run(self, encode: EncodeFn, data: Any, *, show_progress_bar: bool = False) -> SuiteResult:
        """Measure ``encode``, from N texts to (N, D), on ``data``; the bar is over what takes long after encoding."""

    def download(self, folder: str | Path) -> Path:
        """Fetch the data into a folder, where ``can_download``; returns where they are."""
        raise SimCSEKitError(f"the data of the suite {name_of(self)} cannot be downloaded; it takes {self.data}")


SUITES: Family[type[Suite]] = Family("suite", "simcse_kit.evaluation.suites", SimCSEKitError, Suite)
"""All suites, by name."""


def suite_of(suite: str | Suite | type[Suite], **settings: Any) -> Suite:
    """A suite with its settings, from a name, a class or an instance.

    Raises:
        SimCSEKitError: no such suite, a setting that it does not have, or a value that is not allowed.
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
    """How a suite is recorded: by its name, or by ``module:attribute`` where it is a user's own."""
    if isinstance(suite, str):
        return suite if is_named(suite) else SUITES.canonical(suite)
    return SUITES.path_of(suite if isinstance(suite, type) else type(suite))


def task_of(name: str) -> str:
    """The hub's name for what a suite measures. The name may come from a file, so it imports nothing."""
    return SUITES.get(name).task if name in SUITES else SIMILARITY


def evaluate(
    encode: EncodeFn,
    suite: str | Suite | type[Suite],
    data: str | Path | ScoredPairs,
    *,
    show_progress_bar: bool = False,
    **options: Any,
) -> SuiteResult:
    """Run one of `SUITES`, or a suite of your own.

    Args:
        encode: N texts to (N, D).
        suite: a name of `SUITES`, ``module:attribute`` for a suite of your own, or a `Suite`.
        data: what the suite takes, see `Suite.data`.
        show_progress_bar: a bar over what takes long after encoding.
        options: settings of the suite.

    Raises:
        SimCSEKitError: no such suite or option (the text names the nearest), or data of another kind.
        DataError: the data cannot be used, or an option is out of its bounds.
    """
    from simcse_kit.types import ScoredPairs

    chosen = suite_of(suite, **options)
    name = name_of(suite)
    if isinstance(data, ScoredPairs) and not chosen.takes_scored_pairs:
        taking = next(part.name for part in SUITES if part.takes_scored_pairs)
        raise SimCSEKitError(f'suite {name!r} needs a folder; scored pairs go with suite "{taking}"')
    result = chosen.run(encode, data, show_progress_bar=show_progress_bar)
    return result if result.suite == name else replace(result, suite=name)
