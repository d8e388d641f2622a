"""Results as a table of pandas, which is imported here alone, where it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from simcse_kit.errors import MissingExtraError


def to_dataframe(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> Any:
    """A ``pandas.DataFrame`` with columns of these names; a `MissingExtraError` where pandas is not installed."""
    try:
        import pandas
    except ImportError as error:
        raise MissingExtraError("a DataFrame needs: pip install pandas") from error
    return pandas.DataFrame(list(rows), columns=list(names))
