"""The core of all readers: opens any source as a stream of rows; errors name file and line."""

from __future__ import annotations

import difflib
import gzip
import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar, cast

from simcse_kit.data.delimiters import check_lines, check_tabs, find_delimiter
from simcse_kit.data.formats import TEXT_FORMATS, Rows, csv_rows, numbered_lines, starts_with_tabs, tab_rows, text_rows
from simcse_kit.data.frames import columns_of_table
from simcse_kit.data.rows import BadRow, Row, RowProblem, is_blank, shown
from simcse_kit.data.tables import IsWanted, hub_rows, memory_rows, parquet_rows, table_rows
from simcse_kit.errors import DataError, say_once
from simcse_kit.wording import counted

T = TypeVar("T")

SUFFIXES = (*TEXT_FORMATS, ".parquet")
MEMORY = "<memory>"  # name of a source given as a sequence


class Layout(NamedTuple):
    """The cells that a reader wants from each row."""

    positions: tuple[int, ...]
    width: int  # number of cells in a row without names
    names: tuple[str, ...] | None = None  # names of the wanted cells, if each row names its cells
    has_header: bool = False  # the first row is a header
    more_allowed: bool = False  # allow additional cells, which are ignored
    absent: frozenset[str] = frozenset()  # names that the first row lacks and that later rows must not have

    def pick(self, row: Row) -> tuple[object, ...]:
        """The wanted cells; raises `RowProblem` if the row lacks them."""
        if self.names is not None:
            return self._pick_named(row, self.names)
        found = len(row.cells)
        if row.names is not None:
            raise RowProblem(f"expected a string, found an object: {shown(row.cells)}")
        if found < self.width or (found > self.width and not self.more_allowed):
            raise RowProblem(f"expected {_columns(self.width)}, found {found}: {shown(row.cells)}")
        return tuple([row.cells[position] for position in self.positions])

    def _pick_named(self, row: Row, wanted: tuple[str, ...]) -> tuple[object, ...]:
        if row.names is None:
            raise RowProblem(f"expected an object with {', '.join(wanted)}, found {shown(row.cells)}")
        missing = [name for name in wanted if name not in row.names]
        if missing:
            raise RowProblem(f"no {', '.join(missing)} among {shown(row.names)}")
        if not self.absent.isdisjoint(row.names):
            extra = ", ".join(sorted(self.absent.intersection(row.names)))
            raise RowProblem(f"expected {_columns(len(wanted))} as in the first row, found {extra} too")
        return tuple([row.cells[row.names.index(name)] for name in wanted])


class Reading:
    """An open source: its rows, and counts of the rows left out so far."""

    def __init__(
        self, source: str, rows: Rows, *, unit: str, may_have_header: bool, skip_bad_rows: bool, keep_blank: bool
    ) -> None:
        self.source = source
        self.may_have_header = may_have_header
        self.empty = 0
        self.skipped: list[BadRow] = []
        self._unit = unit
        self._skip_bad_rows = skip_bad_rows
        self._keep_blank = keep_blank
        self._before: list[Row] = []  # blank rows before the head, if they are kept
        self._rows = rows
        self._head: Row | None = None

    def error(self, line: int, reason: str) -> DataError:
        """The error for a fault in one row."""
        return DataError(f"{self.source}, {self._unit} {line}: {reason}")

    def nothing_left(self, what: str) -> DataError:
        """The error for a source without any usable row."""
        return DataError(
            f"{self.source} holds no {what}; left out {self.empty} empty and {len(self.skipped)} skipped rows"
        )

    def head(self, what: str, *, is_header: bool = False) -> Row:
        """The first row that is not blank; it shows the layout and is still read as a row later.

        A bad header row cannot be skipped: the names would be lost.
        """
        if self._head is not None:
            return self._head
        for row in self._rows:
            if isinstance(row, BadRow):
                if is_header and self.may_have_header:
                    raise self.error(row.line, row.reason)
                self._reject(row)
            elif row.names is None and _is_blank(row.cells):
                self._before += [row] * self._keep_blank
                self.empty += not self._keep_blank
            else:
                self._head = row
                return row
        raise self.nothing_left(what)

    def each(self, layout: Layout, convert: Callable[[tuple[object, ...]], T | None]) -> Iterator[T]:
        """Stream the wanted cells of every row, converted.

        `convert` returns None for an empty row, which is dropped and counted, and raises `RowProblem` for a bad row.
        """
        for row in self._data_rows(layout.has_header):
            if isinstance(row, BadRow):
                self._reject(row)
                continue
            blank = row.names is None and _is_blank(row.cells)
            if blank and not self._keep_blank:
                self.empty += 1
                continue
            try:
                item = convert(("",) * len(layout.positions) if blank else layout.pick(row))
            except RowProblem as problem:
                self._reject(BadRow(row.line, str(problem)))
                continue
            if item is None:
                self.empty += 1
            else:
                yield item

    def collect(self, layout: Layout, convert: Callable[[tuple[object, ...]], T | None]) -> list[T]:
        """All rows of `each` as a list."""
        return list(self.each(layout, convert))

    def _data_rows(self, has_header: bool) -> Rows:
        yield from self._before
        if self._head is not None and not has_header:
            yield self._head
        if self._head is None or not has_header:
            yield from self._rows
            return
        for row in self._rows:
            if isinstance(row, Row) and row.cells == self._head.cells:
                say_once(
                    f"{self.source}, {self._unit} {row.line}: left out a repeated header, as in joined files",
                    key=f"header again: {self.source}",
                )
                continue
            yield row

    def _reject(self, row: BadRow) -> None:
        if not self._skip_bad_rows:
            raise self.error(row.line, row.reason)
        self.skipped.append(row)


@contextmanager
def open_rows(
    source: str | Path | Iterable[object],
    *,
    is_wanted: IsWanted,
    skip_bad_rows: bool = False,
    keep_blank: bool = False,
    tabs_for_cells: int = 0,
    row_groups: range | None = None,
) -> Iterator[Reading]:
    """Open a file, `hf:NAME[:split]`, a Python sequence or a table. Raises `DataError` if that is not possible.

    With `keep_blank`, a blank row becomes a row of empty cells; without it, blank rows are dropped and counted.

    With `tabs_for_cells`, `.txt` is read as tab-separated cells, and also a `.csv` file whose first line has at least
    that many: STS data sets have such names. ``row_groups``: read only these of a Parquet file.
    """
    options = {"skip_bad_rows": skip_bad_rows, "keep_blank": keep_blank}
    if not isinstance(source, str | Path):
        rows = memory_rows(source) if columns_of_table(source) is None else table_rows(source, is_wanted)
        yield Reading(MEMORY, rows, unit="row", may_have_header=False, **options)
        return
    name = str(source)
    if name.startswith("hf:"):
        rows = hub_rows(name, is_wanted)
        yield Reading(name, rows, unit="row", may_have_header=False, **options)
        return
    path = _existing(name)
    suffix = _suffix(path, name)
    try:
        with _opened(path) as stream:
            if suffix == ".parquet":
                whole = io.BytesIO(stream.read()) if _is_gzip(path) else stream  # Parquet files are read from the end
                rows = parquet_rows(whole, name, is_wanted, row_groups)
                yield Reading(name, rows, unit="row", may_have_header=False, **options)
                return
            lines = numbered_lines(stream, name)
            parse = TEXT_FORMATS[suffix]
            if tabs_for_cells and suffix in (".txt", ".csv"):
                tabbed, lines = starts_with_tabs(lines, tabs_for_cells)
                parse = tab_rows if tabbed or suffix == ".txt" else parse
            if parse is csv_rows:
                delimiter, lines = find_delimiter(lines, name)
                parse = tab_rows if delimiter == "\t" else partial(csv_rows, delimiter=delimiter)
            elif suffix == ".tsv":
                lines = check_tabs(lines, name)
            elif parse is text_rows:
                lines = check_lines(lines, name)
            may_have_header = suffix in (".csv", ".tsv") or parse is tab_rows
            yield Reading(name, parse(lines), unit="line", may_have_header=may_have_header, **options)
    except EOFError as error:
        raise DataError(f"{name}: the gzip file is truncated; copy or download it again") from error
    except (OSError, zlib.error) as error:
        raise DataError(f"cannot read {name}: {error}") from error


def check_file(source: str | Path) -> None:
    """A `DataError` if a file is missing or of an unknown kind. ``hf:NAME`` is not checked here."""
    name = str(source)
    if not name.startswith("hf:"):
        _suffix(_existing(name), name)


def _existing(name: str) -> Path:
    path = Path(name).expanduser()
    if path.is_dir():
        raise DataError(f"{name} is a folder; name a file in it, or use hf:{name} to load it with `datasets`")
    if path.exists():
        return path
    if not path.parent.is_dir():
        raise DataError(f"{name} does not exist, and neither does the folder {path.parent}")
    similar = difflib.get_close_matches(path.name, [entry.name for entry in path.parent.iterdir()], n=1)
    hint = f"did you mean {similar[0]}?" if similar else "write a Hugging Face Hub data set as hf:NAME"
    raise DataError(f"{name} does not exist; {hint}")


def _is_gzip(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def _suffix(path: Path, name: str) -> str:
    suffix = (path.with_suffix("") if _is_gzip(path) else path).suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{name}: the suffix must be one of {', '.join(SUFFIXES)}, or one of these and .gz")
    return suffix


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if _is_gzip(path) else path.open("rb")


def _columns(count: int) -> str:
    return counted(count, "column")


def _is_blank(cells: Sequence[object]) -> bool:
    """Whether the cell holds no visible character. A null is not blank; it is a fault in the data."""
    return all(isinstance(cell, str) and is_blank(cell) for cell in cells)
