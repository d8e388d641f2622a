"""Tables of other libraries: pandas, polars, Arrow, Hub data sets. This module imports none of them."""

from __future__ import annotations

import datetime
from typing import Any


def columns_of_table(value: Any) -> list[Any] | None:
    """Column names of a table; None for other objects, also for a single column."""
    if isinstance(value, str | list | tuple):
        return None
    if hasattr(value, "collect_schema"):  # polars tables; for a lazy one, names cost less than `columns`
        return list(value.collect_schema().names())
    names = getattr(value, "column_names", None)
    if names is None and hasattr(value, "dtypes"):  # also for a Series, which has no columns
        names = getattr(value, "columns", None)
    return None if names is None or callable(names) else list(names)


def plain_value(value: Any) -> Any:
    """A table cell as a Python value: NaN, NaT and NA become None, numpy scalars become Python numbers.

    >>> import numpy
    >>> plain_value(numpy.int64(3)), plain_value(float("nan")), plain_value("text")
    (3, None, 'text')
    """
    value = value.as_py() if hasattr(value, "as_py") else value
    if value is None or isinstance(value, str | list | tuple | dict):
        return value
    if type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value):
        return None
    return value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value


def json_value(value: Any) -> Any:
    """Like `plain_value`, with dates and times in ISO 8601.

    >>> json_value(datetime.date(2026, 1, 31))
    '2026-01-31'
    """
    value = plain_value(value)
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else value


def records_of_table(table: Any) -> list[dict[str, Any]]:
    """Rows of a table as JSON objects, without missing cells."""
    names = columns_of_table(table) or []
    columns = [[json_value(cell) for cell in table[name]] for name in names]
    keys = [str(name) for name in names]
    return [
        {key: cell for key, cell in zip(keys, cells, strict=True) if cell is not None}
        for cells in zip(*columns, strict=True)
    ]


def one_column(table: Any) -> str:
    """Error text for a table given instead of a column of text; it starts with "a"."""
    columns, kind = columns_of_table(table) or [], type(table).__name__
    try:
        with_text = [name for name in columns if _holds_text(table, name)]
    except TypeError:  # values are not loaded yet (polars' LazyFrame, Spark)
        return (
            f"a {kind}, which is a table; collect one of its columns into a list. Columns: "
            f"{', '.join(map(str, columns))}"
        )
    if not with_text:
        return f"a {kind} without a text column; columns: {', '.join(map(str, columns)) or 'none'}"
    what = "text column is" if len(with_text) == 1 else "text columns are"
    return (
        f"a {kind}, which is a table; pass one of its columns, such as table[{with_text[0]!r}]. Its {what} "
        f"{', '.join(map(str, with_text))}"
    )


def _holds_text(table: Any, name: Any) -> bool:
    """Whether the first non-missing value is a string."""
    for item in table[name]:
        if (value := plain_value(item)) is not None:
            return isinstance(value, str)
    return False
