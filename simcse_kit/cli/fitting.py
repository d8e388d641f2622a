"""Tables that fit a terminal; where the output is no terminal, a row stays a line."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table

WIDEST = 100  # columns of a table on a terminal
_GAP = 2  # columns between two cells
_WORD = 36  # words up to this length stay whole if all columns fit


class FittedTable(Table):
    """A table without lines whose text wraps where a terminal is too narrow; numbers stay whole.

    The console's width decides: one that is wider than ``WIDEST`` belongs to a file or a pipe.
    """

    def __init__(self, *, title: str | None = None, show_header: bool = True) -> None:
        super().__init__(
            title=title,
            title_justify="left",
            title_style="bold",
            box=None,
            show_header=show_header,
            pad_edge=False,
            padding=(0, _GAP, 0, 0),
        )

    def fits(self, console: Console) -> bool:
        """Whether every word of the heads and cells stays whole."""
        wide = console.options.update(width=10**6)
        words = (
            max(Measurement.get(console, wide, cell).minimum for cell in (column.header, *column.cells))
            for column in self.columns
        )
        return console.width > WIDEST or sum(words) + _GAP * (len(self.columns) - 1) <= console.width

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines of the table."""
        if options.max_width <= WIDEST:
            options = options.update(no_wrap=False, overflow="fold")
            self._fit(console, options)
        yield from super().__rich_console__(console, options)

    def _fit(self, console: Console, options: ConsoleOptions) -> None:
        """Set the width of each column."""
        natural, floors = list[int](), list[tuple[int, ...]]()
        for column in self.columns:
            cells = [Measurement.get(console, options.update(width=10**6), cell) for cell in column.cells]
            head = Measurement.get(console, options.update(width=10**6), column.header if self.show_header else "")
            widest = max([head.maximum, *(cell.maximum for cell in cells)])
            natural.append(widest)
            if column.no_wrap or column.justify == "right":  # names of facts, numbers; their heads may wrap
                inside = max([1, *(cell.maximum for cell in cells)])
                floors.append((max(inside, head.minimum), inside, inside))
            else:
                word = min(_WORD, max([1, *(cell.minimum for cell in cells)]))
                floors.append(tuple(min(widest, least) for least in (max(word, 16), 8, 1)))
        widths = narrowed(natural, floors, options.max_width - _GAP * (len(natural) - 1))
        for column, width in zip(self.columns, widths, strict=True):
            column.width = width


def narrowed(widths: Sequence[int], floors: Sequence[Sequence[int]], total: int) -> list[int]:
    """Widths whose sum is at most ``total``: the widest give first, each down to its floors, one after the other.

    >>> narrowed([4, 60, 40], [(4, 4), (16, 8), (16, 8)], 64)
    [4, 30, 30]
    """
    found = list(widths)
    for floor in zip(*floors, strict=True):
        while sum(found) > total and any(map(int.__gt__, found, floor)):
            widest = max((i for i, least in enumerate(floor) if found[i] > least), key=found.__getitem__)
            found[widest] -= 1
    return found
