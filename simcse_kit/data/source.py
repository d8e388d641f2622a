"""A corpus as a stream of shards: rows of text with ids, in the same order on every reading."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from simcse_kit.data.bounds import bounded_json
from simcse_kit.data.columns import by_given_names, folded, layout_of_text, wanted_names
from simcse_kit.data.kinds import as_kind, breaks, decided_kinds, kind_of, value_in_json, value_in_text
from simcse_kit.data.reading import Layout, Reading, open_rows
from simcse_kit.data.rows import BadRow, RowProblem, shown
from simcse_kit.data.text import SENTENCES, text_of
from simcse_kit.errors import DataError
from simcse_kit.types import Id

_BLOCK = 1 << 20  # bytes


class Shard(NamedTuple):
    """M consecutive rows."""

    texts: list[str]  # blank rows are ""
    ids: list[Id]  # from the id column, else row numbers from 0
    digest: str  # sha256 over these and all earlier rows
    metadata: list[dict[str, Any]]  # non-empty cells of the metadata columns


@dataclass
class Source:
    """Rows of several files, in order.

    Args:
        files: as returned by `files_of`.
        columns: the text column; None finds it, see `read_sentences`.
        id_column: column of string or integer ids; None: row numbers.
        metadata_columns: columns to store as metadata; empty cells are left out.
        kinds: types of these columns, see `with_kinds`; without a type, a cell of a text file that looks like a number
            is one.
        known: types of these columns in an existing index; cells must match them.
        header: whether the first row of `.csv` and `.tsv` files holds names; None detects it.
        skip_bad_rows: skip rows that cannot be read, and list them in ``skipped``.
        first: number of the first row.
        row_groups: read only these, from a single Parquet file.
    """

    files: Sequence[str]
    columns: Sequence[str] | None = None
    id_column: str | None = None
    header: bool | None = None
    skip_bad_rows: bool = False
    first: int = 0
    row_groups: range | None = None
    metadata_columns: Sequence[str] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.skipped: list[tuple[str, BadRow]] = []

    def shards(self, size: int) -> Iterator[Shard]:
        """All rows, in shards of ``size``. A `DataError` gives file and line of a row that cannot be used."""
        digest = hashlib.sha256()
        rows = chain.from_iterable(self._rows(file) for file in self.files)
        number, kind = self.first, None
        while batch := list(islice(rows, size)):
            ids: list[Id] = []
            for own, text, _ in batch:
                identity = number if own is None else own
                kind = kind or type(identity)
                if type(identity) is not kind:
                    raise DataError(
                        f"column {self.id_column}: ids must be all strings or all integers; row {number + 1} "
                        f"has {shown(identity)}, which is not the type of the rows before"
                    )
                content = text.encode()
                digest.update(b"%r %d:%b" % (identity, len(content), content))  # the length separates rows
                ids.append(identity)
                number += 1
            yield Shard([text for _, text, _ in batch], ids, digest.hexdigest(), [metadata for *_, metadata in batch])

    def with_kinds(self, known: Mapping[str, str], on_row: Callable[[], object] = lambda: None) -> Source:
        """The same rows, with a type for each metadata column, decided from all rows with a text.

        ``known``: types of an existing index. ``on_row`` is called for each row read.
        """

        def rows() -> Iterator[dict[str, Any]]:
            whole = replace(self, known=known)
            for file in whole.files:
                for _, text, metadata in whole._rows(file):
                    on_row()
                    if text:
                        yield metadata

        return replace(self, known=known, kinds=decided_kinds(self.metadata_columns, rows(), known))

    @property
    def _more(self) -> list[str]:
        """Columns besides the text column."""
        return [*([] if self.id_column is None else [self.id_column]), *self.metadata_columns]

    def _rows(self, file: str) -> Iterator[_Found]:
        if file.endswith(".parquet") and count_rows([file]) == 0:  # shards of a distributed job are often empty
            return
        more = self._more
        wanted = wanted_names(None if self.columns is None else [*self.columns, *more])
        if self.columns is None and more:
            known, others = wanted, set(folded(more))
            wanted = lambda name: known(name) or folded([name])[0] in others  # noqa: E731
        with open_rows(
            file, is_wanted=wanted, skip_bad_rows=self.skip_bad_rows, keep_blank=True, row_groups=self.row_groups
        ) as reading:
            layout = self._layout(reading)
            value_of = value_in_text if layout.names is None else value_in_json
            yield from reading.each(layout, lambda cells: self._found(cells, value_of))
            self.skipped += [(file, row) for row in reading.skipped]

    def _layout(self, reading: Reading) -> Layout:
        text = layout_of_text(reading, SENTENCES, self.columns, self.header)
        if not self._more:
            return text
        own = by_given_names(reading, self._more, SENTENCES.what)
        names = None if text.names is None or own.names is None else text.names + own.names
        return text._replace(positions=text.positions + own.positions, names=names)

    def _found(self, cells: tuple[object, ...], value_of: Callable[[Any], Any]) -> _Found:
        text, *rest = cells
        identity = None if self.id_column is None else _id_of(rest.pop(0))
        try:
            metadata = dict(self._values(rest, value_of))
            bounded_json(metadata)
        except (ValueError, RecursionError) as error:
            raise RowProblem(str(error)) from error
        return identity, text_of(text), metadata

    def _values(self, cells: Sequence[object], value_of: Callable[[Any], Any]) -> Iterator[tuple[str, Any]]:
        for name, cell in zip(self.metadata_columns, cells, strict=True):
            value = None if cell is None else value_of(cell)
            if value is None:
                continue
            known = self.known.get(name, "null")
            if known != "text" and breaks(known, kind_of(value)):
                raise RowProblem(
                    f"column {name} has type {known} in this index, found {shown(value)}; change the value, or "
                    "give the column another name"
                )
            yield name, as_kind(cell, value, self.kinds.get(name))


_Found = tuple[Id | None, str, dict[str, Any]]


def _id_of(cell: object) -> Id:
    if not isinstance(cell, str | int) or isinstance(cell, bool) or cell == "":
        raise RowProblem(f"expected an id, a string or an integer, found {shown(cell)}")
    return cell


def count_rows(files: Sequence[str]) -> int | None:
    """Estimated number of rows, for a progress bar; None if only reading the files shows it."""
    total = 0
    for name in files:
        path = Path(name).expanduser()
        if name.startswith("hf:") or path.suffix == ".gz":
            return None
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            try:
                total += pq.ParquetFile(path).metadata.num_rows
            except Exception as error:  # errors are raised when the file is read
                raise DataError(f"cannot read {name} as Parquet: {error}") from error
        else:
            with path.open("rb") as file:
                rows, last = 0, b"\n"
                while block := file.read(_BLOCK):
                    rows, last = rows + block.count(b"\n"), block
                rows += not last.endswith(b"\n")
            total += max(0, rows - 1) if path.suffix in (".csv", ".tsv") else rows  # without the header
    return total
