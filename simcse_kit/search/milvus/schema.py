"""Schema of a collection in Milvus: fields, index, and recorded state."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields
from typing import Any

import numpy as np

from simcse_kit.errors import SearchIndexError
from simcse_kit.parts import is_named
from simcse_kit.search.keywords import K1, B
from simcse_kit.search.kinds import KINDS, MilvusIndex
from simcse_kit.search.milvus.filters import MOST_TERMS, TERM_BYTES, terms
from simcse_kit.search.rows import Id, IndexRow
from simcse_kit.search.store import KeywordEntry, Searched
from simcse_kit.search.words import split_words

PROPERTY = "simcse_kit"  # property of the collection: `State` as JSON
FORMAT_VERSION = 1
TEXT_BYTES = 65_535  # Milvus's limit for a VARCHAR, and for JSON
TEXT_FIELDS = ["id", "number", "text", "metadata"]
FIELDS = [*TEXT_FIELDS, "terms", "checksum", "vector"]
WORDS, BM25 = "words", "bm25"  # fields of a hybrid index: words of the text, and what Milvus makes of them


AUTO = MilvusIndex("AUTOINDEX", {}, None, (), 2, True)  # chosen by Milvus


def milvus_index(kind: str, *, lite: bool = False) -> MilvusIndex:
    """Milvus's index type for a kind. Raises an error if Milvus, or Milvus Lite, does not support it."""
    there: dict[str, MilvusIndex] = {"auto": AUTO} | {one.name: one.milvus for one in KINDS if one.milvus is not None}
    found = there.get(kind)
    if is_named(kind):
        raise SearchIndexError(
            f"kind {kind} is custom code, but Milvus builds and searches its own indexes: keep this index in a "
            f"folder, or use one of {', '.join(there)}"
        )
    if found is None:
        raise SearchIndexError(f"kind must be one of {', '.join(there)} for an index in Milvus; got {kind!r}")
    if lite and not found.lite:
        names = ", ".join(name for name, one in there.items() if one.lite)
        raise SearchIndexError(f"Milvus Lite does not support kind {kind}, only a Milvus server does; use {names}")
    return found


@dataclass(frozen=True, kw_only=True)
class State:
    """State of a collection, stored in its property; it changes with every save."""

    state: str  # ready; saving: a save has started; building: a build has started
    generation: int  # saves so far
    dimension: int
    kind: str
    target_recall: float
    id_type: str  # int or str
    next_id: int
    next_number: int
    model: dict[str, Any]
    build: str | None = None  # fingerprint of a build in progress
    searched: dict[str, Any] | None = None  # `Searched`, if the kind was tuned
    fields: dict[str, str] | None = None  # types of the metadata fields; None: written before they were recorded
    keywords: dict[str, Any] | None = None  # `KeywordEntry`, of a hybrid index
    source: dict[str, Any] | None = None  # how files become rows; None: unknown
    commit: str = ""  # random id of the save; "": written before there were ids

    def to_json(self) -> str:
        """JSON text for the property."""
        return json.dumps({"format_version": FORMAT_VERSION, **asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, where: str, text: Any) -> State:
        """Parse the property; ``where`` names the collection in errors."""
        try:
            values = json.loads(text)
            version = int(values.pop("format_version"))
            if version != FORMAT_VERSION:
                newer = version > FORMAT_VERSION
                raise SearchIndexError(
                    f"{where} was written by {'a newer' if newer else 'an older'} simcse_kit (format {version}, this "
                    f"one reads {FORMAT_VERSION}); {'update simcse_kit' if newer else 'build the index again'}"
                )
            values = {"fields": None, "keywords": None, "source": None, "commit": ""} | values
            return cls(**{field.name: values[field.name] for field in dataclass_fields(cls)})
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, SearchIndexError):
                raise
            raise SearchIndexError(f"the property {PROPERTY} of {where} is damaged: {error!r}") from error

    @property
    def keyword_entry(self) -> KeywordEntry | None:
        """Keyword settings of the rows."""
        return None if self.keywords is None else KeywordEntry(**self.keywords)

    @property
    def measured(self) -> Searched | None:
        """How well its kind searches."""
        return None if self.searched is None else Searched(**self.searched)


def schema_of(client: Any, state: State, *, lite: bool) -> Any:
    """The fields of a collection."""
    from pymilvus import DataType, Function, FunctionType

    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    if state.id_type == "str":
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=TEXT_BYTES)
    else:
        schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("number", DataType.INT64)  # the order of adding
    schema.add_field("text", DataType.VARCHAR, max_length=TEXT_BYTES)
    schema.add_field("metadata", DataType.JSON, nullable=True)
    schema.add_field(
        "terms", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=MOST_TERMS, max_length=TERM_BYTES
    )
    schema.add_field("checksum", DataType.INT64)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=state.dimension)
    if state.keywords is not None:  # our words, separated by spaces; Milvus Lite lacks whitespace, but splits there
        analyzer = {"tokenizer": "standard" if lite else "whitespace"}
        words = {"max_length": TEXT_BYTES, "enable_analyzer": True, "analyzer_params": analyzer}
        schema.add_field(WORDS, DataType.VARCHAR, **words)
        schema.add_field(BM25, DataType.SPARSE_FLOAT_VECTOR)
        schema.add_function(Function(BM25, FunctionType.BM25, [WORDS], [BM25]))
    return schema


def index_of(client: Any, index: MilvusIndex, state: State, *, lite: bool) -> Any:
    """The indexes. Vectors have length 1, so the inner product is the cosine; zero vectors have one too."""
    params = {**index.params, **(index.params_of(state.dimension) if index.params_of is not None else {})}
    made = client.prepare_index_params()
    made.add_index("vector", index_type=index.index_type, metric_type="IP", params=params)
    if state.keywords is not None:
        made.add_index(
            BM25, index_type="SPARSE_INVERTED_INDEX", metric_type="BM25", params={"bm25_k1": K1, "bm25_b": B}
        )
    if not lite:
        made.add_index("number", index_type="INVERTED")
        made.add_index("terms", index_type="INVERTED")
    return made


def check_fits(ids: list[Id], texts: list[str], metadata: list[str | None], *, words: bool) -> None:
    """Raise an error that names an id, a text, its words or a metadata object that Milvus cannot store."""
    for number, (id_, text, written) in enumerate(zip(ids, texts, metadata, strict=True)):
        if isinstance(id_, str) and (size := len(id_.encode())) > TEXT_BYTES:
            raise SearchIndexError(f"the id of text number {number} has {size:,} bytes, Milvus allows {TEXT_BYTES:,}")
        if (size := len(text.encode())) > TEXT_BYTES:
            raise SearchIndexError(
                f"text number {number} has {size:,} bytes, Milvus allows {TEXT_BYTES:,}; split long texts into "
                "passages (--passages)"
            )
        if words and (size := len(written_words(text).encode())) > TEXT_BYTES:
            raise SearchIndexError(
                f"the words of text number {number} take {size:,} bytes, Milvus allows {TEXT_BYTES:,}; split "
                "long texts into passages (--passages)"
            )
        if written is not None:
            _check_metadata(number, written)


def _check_metadata(number: int, written: str) -> None:
    if (size := len(written.encode())) > TEXT_BYTES:
        raise SearchIndexError(f"metadata number {number} has {size:,} bytes as JSON, Milvus allows {TEXT_BYTES:,}")

    def checked(digits: str) -> int:
        if not -(2**63) <= int(digits) < 2**64:
            raise SearchIndexError(
                f"metadata number {number}: Milvus has no integers of more than 64 bits; got {digits}"
            )
        return int(digits)

    if (count := len(terms(json.loads(written, parse_int=checked)))) > MOST_TERMS:
        raise SearchIndexError(
            f"metadata number {number} needs {count:,} filter terms, Milvus allows {MOST_TERMS:,}: use fewer keys"
        )


def written_words(text: str) -> str:
    """The words of a text in Milvus's form."""
    return " ".join(split_words(text, letters=True))


def record_of(row: IndexRow, number: int, vector: Any) -> dict[str, Any]:
    """A row in Milvus's form."""
    return {
        "id": row.id,
        "number": number,
        "text": row.text,
        "metadata": row.metadata,
        "terms": terms(row.metadata),
        "checksum": _checksum(row, vector),
        "vector": vector,
    }


def row_of(record: Mapping[str, Any]) -> IndexRow:
    """A row from Milvus's form."""
    return IndexRow(record["id"], record["text"], record["metadata"])


def is_as_written(record: Mapping[str, Any]) -> bool:
    """Whether a complete row matches its checksum, and its terms match its metadata."""
    vector = np.asarray(record["vector"], dtype=np.float32)
    return record["checksum"] == _checksum(row_of(record), vector) and list(record["terms"]) == terms(
        json.loads(json.dumps(record["metadata"]))
    )


def _checksum(row: IndexRow, vector: Any) -> int:
    about = json.dumps([row.id, row.text, row.metadata], sort_keys=True)
    return zlib.crc32(about.encode(), zlib.crc32(np.ascontiguousarray(vector, dtype="<f4").tobytes()))
