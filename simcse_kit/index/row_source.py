"""How files become the rows of an index, which remembers it: an add or update need not say it again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from simcse_kit.errors import MissingColumnError, SearchIndexError
from simcse_kit.search import BaseCollection

_OF_PASSAGES = {"document", "passage", "passages"}  # fields of the metadata of passages


@dataclass(frozen=True, kw_only=True)
class RowSource:
    """Columns of the text, the id and the metadata, and whether texts are cut; as `build_index` takes them."""

    columns: tuple[str, ...] | None = None  # None: found by `read_sentences`
    id_column: str | None = None  # None: rows are numbered
    metadata_columns: tuple[str, ...] = ()
    passages: bool = False
    language: str = "en"

    @classmethod
    def of(cls, collection: BaseCollection) -> RowSource:
        """What an index remembers; of an older version, what its fields show."""
        kept = collection.source
        if kept is None:
            return cls(passages=(collection.fields or {}).keys() >= _OF_PASSAGES)
        try:
            columns = None if kept["columns"] is None else tuple(kept["columns"])
            return cls(**{**kept, "columns": columns, "metadata_columns": tuple(kept["metadata_columns"])})
        except (KeyError, TypeError) as error:
            raise SearchIndexError(
                f"{collection.folder}: what is kept about the columns cannot be read: {error!r}"
            ) from error

    def kept(self) -> dict[str, Any]:
        """As an index keeps it."""
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
    """What is given, and for each that is None what the index remembers.

    Raises:
        SearchIndexError: ids of another column, or passages beside whole texts.
    """
    known = RowSource.of(collection)
    if len(collection) and collection.source is not None:
        if id_column not in (None, known.id_column):
            what = "numbers its rows" if known.id_column is None else f"has the ids of the column {known.id_column}"
            raise SearchIndexError(
                f"this index {what}, and ids of the column {id_column} would be mixed with them; leave --id-column "
                "out, or build a new index"
            )
        if passages not in (None, known.passages):
            what, other = ("passages", "whole texts") if known.passages else ("whole texts", "passages")
            raise SearchIndexError(
                f"this index holds {what}, and {other} would be mixed with them; leave --passages and --no-passages "
                "out, or build a new index"
            )
    return RowSource(
        columns=known.columns if columns is None else tuple(columns),
        id_column=known.id_column if id_column is None else id_column,
        metadata_columns=known.metadata_columns if metadata_columns is None else tuple(metadata_columns),
        passages=known.passages if passages is None else passages,
        language=known.language if language is None else language,
    )


@contextmanager
def columns_remembered(source: RowSource, metadata_columns: Sequence[str] | None) -> Iterator[None]:
    """Add to an error about a column that the index remembers it, and how to do without."""
    try:
        yield
    except MissingColumnError as error:
        if metadata_columns is not None or not source.metadata_columns:
            raise
        raise MissingColumnError(
            f"{error}. The index remembers --metadata-columns {','.join(source.metadata_columns)}; name others, or "
            '"" for none'
        ) from error
