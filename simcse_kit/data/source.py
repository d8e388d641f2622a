"""A corpus as a stream of shards: rows of text with an id each, read again alike after an interruption."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from simcse_kit.data.columns import by_given_names, folded, layout_of_text, wanted_names
from simcse_kit.data.reading import Layout, Reading, open_rows
from simcse_kit.data.rows import BadRow, RowProblem, shown
from simcse_kit.data.text import SENTENCES, text_of
from simcse_kit.errors import DataError
from simcse_kit.types import Id

_BLOCK = 1 << 20  # bytes


class Shard(NamedTuple):
    """M consecutive rows."""

    texts: list[str]  # blank ones are ""
    ids: list[Id]  # of the column named, else the rows' numbers from 0
    digest: str  # sha256 over these rows and all before them
    metadata: list[dict[str, Any]]  # of the columns named, those that are not empty


@dataclass
class Source:
    """The rows of files, one after the other.

    Args:
        files: as `files_of` finds them.
        columns: the one column of the text; None finds it, see `read_sentences`.
        id_column: strings or integers, in place of the rows' numbers.
        metadata_columns: further ones; a number in a text file is a number, and an empty cell is left out.
        header: whether the first row of `.csv` and `.tsv` files holds names; None finds out.
        skip_bad_rows: leave rows out that cannot be read, and list them in ``skipped``.
        first: number of the first row.
        row_groups: read these alone, of a single Parquet file.
    """

    files: Sequence[str]
    columns: Sequence[str] | None = None
    id_column: str | None = None
    header: bool | None = None
    skip_bad_rows: bool = False
    first: int = 0
    row_groups: range | None = None
    metadata_columns: Sequence[str] = ()

    def __post_init__(self) -> None:
        self.skipped: list[tuple[str, BadRow]] = []

    def shards(self, size: int) -> Iterator[Shard]:
        """All rows, ``size`` at a time; a `DataError` names file and line of a row that cannot be used."""
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
                        f"column {self.id_column}: ids are strings or integers, not both; row {number + 1} has "
                        f"{shown(identity)}, those before are of the other kind"
                    )
                content = text.encode()
                digest.update(b"%r %d:%b" % (identity, len(content), content))  # the length keeps rows apart
                ids.append(identity)
                number += 1
            yield Shard([text for _, text, _ in batch], ids, digest.hexdigest(), [metadata for *_, metadata in batch])

    @property
    def _more(self) -> list[str]:
        """Columns beside the text's."""
        return [*([] if self.id_column is None else [self.id_column]), *self.metadata_columns]

    def _rows(self, file: str) -> Iterator[_Found]:
        if file.endswith(".parquet") and count_rows([file]) == 0:  # shards of a distributed job often are
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
            yield from reading.each(layout, self._found)
            self.skipped += [(file, row) for row in reading.skipped]

    def _layout(self, reading: Reading) -> Layout:
        text = layout_of_text(reading, SENTENCES, self.columns, self.header)
        if not self._more:
            return text
        own = by_given_names(reading, self._more, SENTENCES.what)
        names = None if text.names is None or own.names is None else text.names + own.names
        return text._replace(positions=text.positions + own.positions, names=names)

    def _found(self, cells: tuple[object, ...]) -> _Found:
        text, *rest = cells
        identity = None if self.id_column is None else _id_of(rest.pop(0))
        return identity, text_of(text), dict(_values(self.metadata_columns, rest))


_Found = tuple[Id | None, str, dict[str, Any]]


def _id_of(cell: object) -> Id:
    if not isinstance(cell, str | int) or isinstance(cell, bool) or cell == "":
        raise RowProblem(f"expected an id, a string or an integer, found {shown(cell)}")
    return cell


def _values(names: Sequence[str], cells: Sequence[object]) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(names, cells, strict=True):
        if isinstance(cell, str):
            if cell := cell.strip():
                yield name, _number(cell)
        elif cell is not None:
            try:
                json.dumps(cell, allow_nan=False)
            except (TypeError, ValueError):
                cell = str(cell)  # a date, a decimal
            yield name, cell


def _number(text: str) -> str | int | float:
    """What a cell of a text file says: 7 and 2.5 are numbers, 007 and 1e999 are texts.

    >>> [_number(text) for text in ("7", "2.5", "007", "v2")]
    [7, 2.5, '007', 'v2']
    """
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if str(number) == text and text not in ("inf", "nan", "-inf"):
            return number
    return text


def count_rows(files: Sequence[str]) -> int | None:
    """About how many rows the files hold, for a progress bar; None where only reading them tells."""
    total = 0
    for name in files:
        path = Path(name).expanduser()
        if name.startswith("hf:") or path.suffix == ".gz":
            return None
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            try:
                total += pq.ParquetFile(path).metadata.num_rows
            except Exception as error:  # whatever is wrong with it is said when it is read
                raise DataError(f"{name}: cannot be read as Parquet: {error}") from error
        else:
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    total += block.count(b"\n")
    return total
