"""Tables of other libraries: pandas, polars, Arrow, data sets of the hub. None of them is imported here."""

from __future__ import annotations

import datetime
from typing import Any


def columns_of_table(value: Any) -> list[Any] | None:
    """The names of a table's columns; None for anything else, a column too."""
    if isinstance(value, str | list | tuple):
        return None
    if hasattr(value, "collect_schema"):  # polars' tables; of a lazy one, names alone cost less than `columns`
        return list(value.collect_schema().names())
    names = getattr(value, "column_names", None)
    if names is None and hasattr(value, "dtypes"):  # of a Series too, which has no columns
        names = getattr(value, "columns", None)
    return None if names is None or callable(names) else list(names)


def plain_value(value: Any) -> Any:
    """A cell of a table as Python has it: NaN, NaT and NA are None, numpy's scalars are Python's.

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
    """As `plain_value`; dates and times as ISO 8601 writes them.

    >>> json_value(datetime.date(2026, 1, 31))
    '2026-01-31'
    """
    value = plain_value(value)
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else value


def records_of_table(table: Any) -> list[dict[str, Any]]:
    """A table's rows as JSON objects, without the cells that are missing."""
    names = columns_of_table(table) or []
    columns = [[json_value(cell) for cell in table[name]] for name in names]
    keys = [str(name) for name in names]
    return [
        {key: cell for key, cell in zip(keys, cells, strict=True) if cell is not None}
        for cells in zip(*columns, strict=True)
    ]


def one_column(table: Any) -> str:
    """What an error says of a table that stands where a column of text should; it begins with "a"."""
    columns, kind = columns_of_table(table) or [], type(table).__name__
    try:
        with_text = [name for name in columns if _holds_text(table, name)]
    except TypeError:  # its values are not here yet (polars' LazyFrame, Spark)
        return f"a {kind}, a table; collect one of its columns into a list. It has {', '.join(map(str, columns))}"
    if not with_text:
        return f"a {kind} without a column of text; it has {', '.join(map(str, columns)) or 'none'}"
    what = "column of text is" if len(with_text) == 1 else "columns of text are"
    return (
        f"a {kind}, a table; give one of its columns, as table[{with_text[0]!r}]. "
        f"Its {what} {', '.join(map(str, with_text))}"
    )


def _holds_text(table: Any, name: Any) -> bool:
    """Whether the first value that is not missing is a string."""
    for item in table[name]:
        if (value := plain_value(item)) is not None:
            return isinstance(value, str)
    return False
