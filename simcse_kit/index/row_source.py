"""How files become the rows of an index. The index records this, so that add and update need not repeat it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from simcse_kit.errors import MissingColumnError, SearchIndexError
from simcse_kit.search import BaseCollection

_OF_PASSAGES = {"document", "passage", "passages"}  # metadata fields of passages


@dataclass(frozen=True, kw_only=True)
class RowSource:
    """Columns of text, id and metadata, and whether texts are split; as in `build_index`."""

    columns: tuple[str, ...] | None = None  # None: found by `read_sentences`
    id_column: str | None = None  # None: rows are numbered
    metadata_columns: tuple[str, ...] = ()
    passages: bool = False
    language: str = "en"

    @classmethod
    def of(cls, collection: BaseCollection) -> RowSource:
        """The record of an index; for an older version, inferred from its fields."""
        kept = collection.source
        if kept is None:
            return cls(passages=(collection.fields or {}).keys() >= _OF_PASSAGES)
        try:
            columns = None if kept["columns"] is None else tuple(kept["columns"])
            return cls(**{**kept, "columns": columns, "metadata_columns": tuple(kept["metadata_columns"])})
        except (KeyError, TypeError) as error:
            raise SearchIndexError(f"{collection.folder}: cannot read its record of columns: {error!r}") from error

    def kept(self) -> dict[str, Any]:
        """The form stored in an index."""
        columns = None if self.columns is None else list(self.columns)
        return asdict(self) | {"columns": columns, "metadata_columns": list(self.metadata_columns)}


def settled_source(
    collection: BaseCollection,
    columns: Sequence[str] | None,
    id_column: str | None,
    metadata_columns: Sequence[str] | None,
    passages: bool | None,
    language: str | None,
) -> RowSource:
    """The given values; for each that is None, the value recorded in the index.

    Raises:
        SearchIndexError: ids of another column, or passages mixed with whole texts.
    """
    known = RowSource.of(collection)
    if len(collection) and collection.source is not None:
        if id_column not in (None, known.id_column):
            what = "has numbered rows" if known.id_column is None else f"has ids from the column {known.id_column}"
            raise SearchIndexError(
                f"this index {what}; ids from the column {id_column} would be mixed with them; use no "
                "--id-column, or build a new index"
            )
        if passages not in (None, known.passages):
            what, other = ("passages", "whole texts") if known.passages else ("whole texts", "passages")
            raise SearchIndexError(
                f"this index holds {what}; {other} would be mixed with them; use neither --passages nor "
                "--no-passages, or build a new index"
            )
    return RowSource(
        columns=known.columns if columns is None else tuple(columns),
        id_column=known.id_column if id_column is None else id_column,
        metadata_columns=known.metadata_columns if metadata_columns is None else tuple(metadata_columns),
        passages=known.passages if passages is None else passages,
        language=known.language if language is None else language,
    )


def check_ids(collection: BaseCollection, id_column: str | None, what: str) -> None:
    """Raise an error if files cannot be compared with an index by id; ``what`` compares them."""
    known = RowSource.of(collection)
    if len(collection) and collection.source is not None and known.id_column is None:
        raise SearchIndexError(
            "this index has numbered rows, so a file cannot be compared with it; build it again with --id-column "
            f"{id_column or 'NAME'}"
        )
    if known.id_column is None and id_column is None:
        raise SearchIndexError(f"{what} needs ids; name their column with --id-column")


@contextmanager
def columns_remembered(
    source: RowSource,
    columns: Sequence[str] | None,
    id_column: str | None,
    metadata_columns: Sequence[str] | None,
) -> Iterator[None]:
    """Add to an error about a column what the index records, and what to do. The columns are those that were given."""
    try:
        yield
    except MissingColumnError as error:
        if id_column is None and error.column == source.id_column:
            hint = f"The index takes its ids from the column {error.column}; give the file's ids this name"
        elif columns is None and error.column in (source.columns or ()):
            hint = f"The index takes its texts from the column {error.column}; name another with --columns"
        elif metadata_columns is None and error.column in source.metadata_columns:
            hint = (
                f'The index records --metadata-columns {",".join(source.metadata_columns)}; name others, or "" for none'
            )
        else:
            raise
        raise MissingColumnError(f"{error}. {hint}", error.column) from error
