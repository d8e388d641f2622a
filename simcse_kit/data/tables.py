"""Rows of Parquet files, Hugging Face data sets, Python sequences, and tables in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

from simcse_kit.data.formats import Rows
from simcse_kit.data.frames import columns_of_table, plain_value
from simcse_kit.data.rows import BadRow, Row, shown
from simcse_kit.errors import DataError

BATCH = 1000  # rows per decoding step

IsWanted = Callable[[str], bool]
"""Whether a column can be selected. Others appear by name but are not decoded: they may hold vectors or images."""


def memory_rows(items: Iterable[object]) -> Rows:
    """A string is a row of one cell; a tuple or list is a row."""
    for number, item in enumerate(items, start=1):
        if isinstance(item, str):
            yield Row(number, (item,))
        elif isinstance(item, tuple | list):
            yield Row(number, tuple(item))
        else:
            yield BadRow(number, f"expected a string or a tuple of strings, found {shown(item)}")


def table_rows(table: Any, is_wanted: IsWanted) -> Rows:
    """Rows of a pandas, polars or Arrow table; a missing cell is None.

    Raises:
        DataError: its values are not in memory (polars' LazyFrame, Spark).
    """
    names = columns_of_table(table) or []
    said = tuple(map(str, names))
    chosen = set(_chosen(said, is_wanted))
    try:
        columns = {str(name): [plain_value(cell) for cell in table[name]] for name in names if str(name) in chosen}
    except TypeError as error:
        raise DataError(f"a {type(table).__name__} is lazy: collect it first ({error})") from error
    yield from _keyed_rows(columns, said, 0, len(next(iter(columns.values()), [])))


def parquet_rows(stream: BinaryIO, source: str, is_wanted: IsWanted, row_groups: range | None = None) -> Rows:
    """Stream a Parquet file, or some of its row groups. Raises `DataError` if it is not Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(stream)
        names = tuple(table.schema_arrow.names)
        groups = range(table.num_row_groups) if row_groups is None else row_groups
        line = sum(table.metadata.row_group(group).num_rows for group in range(groups.start))
        batches = table.iter_batches(batch_size=BATCH, row_groups=list(groups), columns=_chosen(names, is_wanted))
        for batch in batches:
            columns = {name: _values(batch.column(name)) for name in batch.schema.names}
            yield from _keyed_rows(columns, names, line, batch.num_rows)
            line += batch.num_rows
    except pa.ArrowException as error:
        raise DataError(f"cannot read {source} as Parquet: {_first_line(error)}") from error


def hub_rows(source: str, is_wanted: IsWanted) -> Rows:
    """Rows of `hf:NAME[#config][:split]`: a data set on the Hugging Face Hub or a local folder.

    The split is `train` by default. A nested field is named with a dot: `labels.label`.
    """
    from datasets import load_dataset

    place, _, split = source.removeprefix("hf:").partition(":")
    name, _, config = place.partition("#")
    split = split or "train"
    try:
        dataset = load_dataset(name, config or None, split=split)
    except Exception as error:  # `datasets` passes on any error of its many back ends
        raise DataError(
            f"{source}: cannot load data set {name!r}, split {split!r} ({type(error).__name__}: "
            f"{_first_line(error)}); check name, configuration and split (hf:NAME#CONFIG:SPLIT), and that the "
            "Hub is reachable, or that the data set is a local folder or cached"
        ) from error
    flat = dataset.flatten()
    if any(is_wanted(column) for column in set(flat.column_names) - set(dataset.column_names)):
        dataset = flat
    names = tuple(dataset.column_names)
    line = 0
    for batch in dataset.select_columns(_chosen(names, is_wanted)).iter(batch_size=BATCH):
        size = len(next(iter(batch.values())))
        yield from _keyed_rows(batch, names, line, size)
        line += size


def _keyed_rows(columns: dict[str, list[Any]], names: tuple[str, ...], before: int, size: int) -> Rows:
    not_decoded: list[Any] = [None] * size
    in_order = [columns.get(name, not_decoded) for name in names]
    for number, cells in enumerate(zip(*in_order, strict=True), start=before + 1):
        yield Row(number, cells, names)


def _chosen(names: Iterable[str], is_wanted: IsWanted) -> list[str]:
    return [name for name in names if is_wanted(name)] or list(names)


def _values(column: Any) -> list[Any]:
    """A pyarrow array as a list. Text that is not UTF-8 comes as bytes, which no reader accepts as a sentence."""
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        return [_value(cell) for cell in column]


def _value(cell: Any) -> object:
    try:
        return cell.as_py()
    except UnicodeDecodeError:
        return cell.as_buffer().to_pybytes()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no message").splitlines()[0]
