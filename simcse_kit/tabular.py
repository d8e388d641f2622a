"""Results in a notebook: a short `repr`, an HTML table, a pandas DataFrame."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from simcse_kit.wording import counted

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 20  # rows of an HTML table; the number of further rows is shown below it
_CHARACTERS = 300  # characters in a cell


T = TypeVar("T")


class Tabular:
    """A result that is a table. `_records` gives its rows at full precision, all with the same columns."""

    _columns: ClassVar[tuple[str, ...]] = ()  # for a table without rows

    def _records(self) -> Iterable[Mapping[str, Any]]:
        raise NotImplementedError

    def _caption(self) -> str:
        """The line above the HTML table."""
        return ""

    def to_dataframe(self) -> pd.DataFrame:
        """The rows as a pandas DataFrame, at full precision."""
        import pandas as pd

        records = list(self._records())
        return pd.DataFrame(records) if records else pd.DataFrame(columns=list(self._columns))

    def _repr_html_(self) -> str:
        """The HTML that a notebook shows."""
        records = iter(self._records())
        shown = list(islice(records, _ROWS))
        return html_table(shown, self._caption(), left_out=sum(1 for _ in records))


class TabularList(list[T], Tabular):
    """A list of named tuples that a notebook shows as a table."""

    def _records(self) -> Iterable[Mapping[str, Any]]:
        return (row._asdict() for row in self)  # type: ignore[attr-defined]


def rounded(value: float, digits: int = 2, *, signed: bool = False) -> str:
    """A score as text; a dash if it is not defined.

    >>> rounded(78.869), rounded(-0.001), rounded(-0.001, signed=True), rounded(float("nan"))
    ('78.87', '0.00', '+0.00', '–')
    """
    if not math.isfinite(value):
        return "–"
    value = round(value, digits) + 0.0  # no -0.0
    return f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"


def html_table(records: Iterable[Mapping[str, Any]], caption: str = "", *, left_out: int = 0) -> str:
    """Rows as an HTML table, with all text escaped.

    >>> html_table([{"score": "avg", "value": 78.873}])
    '<table><thead><tr><th>score</th><th>value</th></tr></thead><tbody><tr><td>avg</td><td>78.87</td></tr></tbody></table>'
    """
    rows = list(records)
    above = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    if not rows:
        return f"<p>{html.escape(caption)}: no rows</p>" if caption else "<p>no rows</p>"
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row.values())}</tr>" for row in rows)
    below = (
        f"<tfoot><tr><td colspan={len(rows[0])}>{counted(left_out, 'more row')}</td></tr></tfoot>" if left_out else ""
    )
    return f"<table>{above}<thead><tr>{head}</tr></thead><tbody>{body}</tbody>{below}</table>"


def _cell(value: Any) -> str:
    """
    >>> _cell(0.12345), _cell(1234567), _cell(float("nan")), _cell(None), _cell("a < b")
    ('0.1235', '1,234,567', '–', '', 'a &lt; b')
    """
    if value is None:
        return ""
    if isinstance(value, float):
        if not math.isfinite(value):
            return "–"
        return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = str(value)
    return html.escape(text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 1] + "…")
