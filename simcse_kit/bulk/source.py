"""A corpus as a stream of shards: rows of text with an id each, read again alike after an interruption."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from simcse_kit.data.columns import by_given_names, folded, layout_of_text, wanted_names
from simcse_kit.data.reading import Layout, Reading, open_rows
from simcse_kit.data.rows import BadRow, RowProblem, shown, text_of
from simcse_kit.data.text import SENTENCES
from simcse_kit.errors import DataError

_BLOCK = 1 << 20  # bytes

Id = str | int


class Shard(NamedTuple):
    """M consecutive rows."""

    texts: list[str]  # blank ones are ""
    ids: list[Id]  # of the column named, else the rows' numbers from 0
    digest: str  # sha256 over these rows and all before them


@dataclass
class Source:
    """The rows of files, one after the other.

    Args:
        files: as `files_of` finds them.
        columns: the one column of the text; None finds it, see `read_sentences`.
        id_column: strings or integers, in place of the rows' numbers.
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

    def __post_init__(self) -> None:
        self.skipped: list[tuple[str, BadRow]] = []

    def shards(self, size: int) -> Iterator[Shard]:
        """All rows, ``size`` at a time; a `DataError` names file and line of a row that cannot be used."""
        digest = hashlib.sha256()
        rows = chain.from_iterable(self._rows(file) for file in self.files)
        number, kind = self.first, None
        while batch := list(islice(rows, size)):
            ids: list[Id] = []
            for own, text in batch:
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
            yield Shard([text for _, text in batch], ids, digest.hexdigest())

    def _rows(self, file: str) -> Iterator[tuple[Id | None, str]]:
        if file.endswith(".parquet") and count_rows([file]) == 0:  # shards of a distributed job often are
            return
        names = None if self.columns is None else [*self.columns, *([] if self.id_column is None else [self.id_column])]
        wanted = wanted_names(names)
        if names is None and self.id_column is not None:
            known = wanted
            wanted = lambda name: known(name) or folded([name]) == folded([self.id_column])  # noqa: E731
        with open_rows(
            file, is_wanted=wanted, skip_bad_rows=self.skip_bad_rows, keep_blank=True, row_groups=self.row_groups
        ) as reading:
            layout = self._layout(reading)
            yield from reading.each(layout, _row if self.id_column is None else _row_with_id)
            self.skipped += [(file, row) for row in reading.skipped]

    def _layout(self, reading: Reading) -> Layout:
        text = layout_of_text(reading, SENTENCES, self.columns, self.header)
        if self.id_column is None:
            return text
        own = by_given_names(reading, [self.id_column], SENTENCES.what)
        names = None if text.names is None or own.names is None else text.names + own.names
        return text._replace(positions=text.positions + own.positions, names=names)


def _row(cells: tuple[object, ...]) -> tuple[Id | None, str]:
    return None, text_of(cells[0])


def _row_with_id(cells: tuple[object, ...]) -> tuple[Id | None, str]:
    text, identity = cells
    if not isinstance(identity, str | int) or isinstance(identity, bool) or identity == "":
        raise RowProblem(f"expected an id, a string or an integer, found {shown(identity)}")
    return identity, text_of(text)


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
