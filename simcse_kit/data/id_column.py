"""The columns of a file by name, and the one with the ids of its rows."""

from __future__ import annotations

from pathlib import Path

from simcse_kit.data.columns import ID_NAMES, by_given_names, folded, wanted_names
from simcse_kit.data.reading import open_rows
from simcse_kit.errors import SimCSEKitError


def column_names(source: str | Path, header: bool | None = None) -> list[str]:
    """Names of the columns, from the first row; an empty list for lines of text, or if the file cannot be read."""
    try:
        with open_rows(source, is_wanted=lambda _: True, skip_bad_rows=True) as reading:
            head = reading.head("rows")
            if head.names is None and (header is False or not reading.may_have_header):
                return []
            return [str(name).strip() for name in head.names or head.cells]
    except (SimCSEKitError, OSError):
        return []


def find_id_column(source: str | Path, header: bool | None = None) -> str | None:
    """The column with a name of `ID_NAMES` whose values can be ids: strings or integers, each once; None: no such."""
    names = column_names(source, header)
    found = [names[folded(names).index(name)] for name in ID_NAMES if folded(names).count(name) == 1]
    return next((name for name in found if _are_ids(source, name)), None)


def _are_ids(source: str | Path, name: str) -> bool:
    try:
        with open_rows(source, is_wanted=wanted_names([name]), skip_bad_rows=True) as reading:
            ids = reading.collect(by_given_names(reading, [name], "rows"), lambda cells: cells)
    except (SimCSEKitError, OSError):
        return False
    values = [value for (value,) in ids]
    kinds = {type(value) for value in values}
    return len(kinds) == 1 and kinds <= {str, int} and "" not in values and len({*values}) == len(values)
