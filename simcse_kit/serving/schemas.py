"""Schemas of requests and answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from simcse_kit.search.modes import SearchMode

Text = Annotated[str, StringConstraints(strict=True)]
TextList = Annotated[list[Text], Field(min_length=1, fail_fast=True)]  # a list reports only its first wrong item
IdField = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63 - 1)] | Text
Cosine = Annotated[float, Field(strict=True, ge=-1, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=1)]
Point = Annotated[list[float], Field(min_length=2, max_length=2)]


class _Request(BaseModel):
    """A misspelt field is an error, not an ignored setting."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _has_few_fields(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) > 2 * len(cls.model_fields):  # else each extra field is an error
            raise ValueError(f"the request has {len(value)} fields; allowed are {', '.join(cls.model_fields)}")
        return value


class ErrorBody(BaseModel):
    """What went wrong and what to do."""

    message: str
    type: str
    code: str | None = None


class Error(BaseModel):
    """Every error, in OpenAI's format."""

    error: ErrorBody


class EmbeddingsRequest(BaseModel):
    """OpenAI's request for embeddings; other fields are ignored."""

    input: Text | TextList = Field(
        description="A text or several. Token ids are not accepted, because they belong to another model's vocabulary."
    )
    model: Text = Field(description="A name from GET /v1/models.")
    encoding_format: Literal["float", "base64"] | None = Field(None, description="Null means float.")
    dimensions: Count | None = Field(None, description="Keep only this many numbers from the start of each vector.")

    @field_validator("input", mode="before")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        if isinstance(value, list) and value and isinstance(value[0], int | list):
            raise ValueError(
                "token ids belong to another model's vocabulary; send texts instead (LangChain: "
                "OpenAIEmbeddings(..., check_embedding_ctx_length=False))"
            )
        return value


class Embedding(BaseModel):
    """One vector: numbers, or their little-endian float32 in base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """Token counts."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(BaseModel):
    """OpenAI's answer."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class ModelCard(BaseModel):
    """A served model."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "simcse_kit"


class ModelCards(BaseModel):
    """OpenAI's list of models."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class EmbedRequest(_Request):
    """Request of text-embeddings-inference."""

    inputs: Text | TextList
    normalize: Annotated[bool, Field(strict=True)] | None = Field(None, description="Null means true.")
    truncate: Annotated[bool, Field(strict=True)] | None = Field(
        None, description="Cut texts that exceed the model's limit; if false, they are an error."
    )
    truncation_direction: Literal["right", "Right"] | None = Field(
        None, description="Where to cut texts: at their end."
    )
    prompt_name: Text | None = Field(None, description="One of the model's prompts, put before each text.")
    dimensions: Count | None = None
    model: Text | None = Field(None, description="A name from GET /v1/models; default: the first.")


class SimilarityRequest(_Request):
    """Cosines of all pairs of ``sentences``, or of each of them with each of ``others``."""

    sentences: TextList
    others: TextList | None = None
    model: Text | None = Field(None, description="A name from GET /v1/models; default: the first.")
    index: Text | None = Field(None, description="Use the model of this index.")


class Similarity(BaseModel):
    """One row per sentence."""

    model: str
    scores: list[list[float]]
    truncated: int = Field(description="Texts that exceeded the model's limit and were cut.")


class _Search(_Request):
    k: Count = 10
    threshold: Cosine | None = Field(None, description="Only hits with at least this cosine.")
    filter: dict[str, Any] | None = Field(
        None, description='Conditions on the metadata: {"lang": "en", "year": {"$gte": 2020}}.'
    )
    index: Text | None = Field(None, description="A name from GET /info; default: the first.")
    map: Literal["pca", "umap"] | None = Field(None, description="Return the positions of the hits on this map.")


class SearchRequest(_Search):
    """Queries."""

    queries: Text | Annotated[list[Text], Field(fail_fast=True)]
    mode: SearchMode = Field(
        "dense", description="By meaning, by words, or by both. GET /info lists the modes of each index."
    )


class SimilarRequest(_Search):
    """Rows similar to the row with this id."""

    id: IdField


class HitBody(BaseModel):
    """A sentence of the result."""

    id: int | str
    text: str
    score: float = Field(description="Cosine; in mode keyword BM25, in mode hybrid a fused score.")
    metadata: dict[str, Any] | None
    dense_rank: int | None = Field(None, description="Rank by meaning, from 1; only in modes keyword and hybrid.")
    keyword_rank: int | None = Field(None, description="Rank by words, from 1; only in modes keyword and hybrid.")
    point: Point | None = None


class Found(BaseModel):
    """Hits of each query, best first."""

    index: str
    model: str
    milliseconds: float
    hits: list[list[HitBody]]
    points: list[Point | None]
    truncated: int = Field(description="Queries that exceeded the model's limit and were cut.")


class AddRequest(_Request):
    """Sentences to add to an index."""

    sentences: TextList
    ids: Annotated[list[IdField], Field(fail_fast=True)] | None = None
    metadata: Annotated[list[dict[str, Any] | None], Field(fail_fast=True)] | None = None
    index: Text | None = None


class Added(BaseModel):
    """Ids of the added sentences, and the new number of sentences."""

    index: str
    ids: list[int | str]
    count: int
    truncated: int = Field(
        description="Sentences that exceed the model's limit; the rest of their text cannot be found."
    )


class DocumentBody(_Request):
    """A text with its id; in an index of passages a whole document."""

    id: IdField
    text: Text
    metadata: dict[str, Any] | None = None


class DocumentsRequest(_Request):
    """Documents to add, or to replace those with the same ids."""

    documents: Annotated[list[DocumentBody], Field(min_length=1, fail_fast=True)]


class StoredDocuments(BaseModel):
    """Counts of added and replaced documents; unchanged documents are not encoded again."""

    index: str
    added: int
    changed: int
    unchanged: int
    count: int = Field(description="Sentences (or passages) in the index.")
    truncated: int = Field(
        description="Sentences that exceed the model's limit; the rest of their text cannot be found."
    )


class DeletedDocument(BaseModel):
    """A document was deleted; in an index of passages, with all its passages."""

    index: str
    id: int | str
    count: int = Field(description="Sentences (or passages) in the index.")


class ReloadedIndex(BaseModel):
    """The reloaded index."""

    index: str
    model: str
    count: int
    commit: int


class IndexCard(BaseModel):
    """A served index."""

    name: str
    model: str
    pooling: str
    dimension: int
    count: int
    kind: str
    recall: float | None
    modes: list[SearchMode] = Field(description="Ways to search it.")
    can_add: bool
    maps: list[str]


class Limit(BaseModel):
    """Limits of one request, and of all together: `Limits`."""

    body_bytes: int
    json_tokens: int
    header_bytes: int
    header_seconds: float
    seconds: float
    connections: int
    sentences: int
    characters: int
    k: int
    hits: int
    cosines: int
    answer_bytes: int
    queue: int
    additions: int


class PageBody(BaseModel):
    """Settings of the page: `PageSettings`."""

    title: str
    link: str | None = Field(description="Link of a hit's id, with {id} for the percent-encoded id.")
    queries: list[str] = Field(description="Examples.")


class Info(BaseModel):
    """Served indexes and models, with limits."""

    name: str
    version: str
    models: list[str]
    indexes: list[IndexCard]
    limits: Limit
    can_judge: bool
    page: PageBody


FieldValue = bool | int | float | str


class FacetValue(BaseModel):
    """A value of a field, and the number of counted rows with it."""

    value: FieldValue
    count: int


class FacetBody(BaseModel):
    """A field with few values, to filter by."""

    field: str
    values: list[FacetValue] = Field(description="Most frequent first.")
    others: int = Field(description="Rows with a value that is not listed.")
    without: int = Field(description="Rows without the field.")


class FacetsBody(BaseModel):
    """Fields of an index, counted on a random sample of at most 5,000 rows."""

    fields: list[FacetBody]
    counted: int = Field(description="Rows counted.")
    count: int = Field(description="Rows of the index.")


class FieldCodes(BaseModel):
    """The value of a field for each point of a map."""

    field: str
    values: list[FieldValue]
    codes: list[int | None] = Field(description="Position in values, from 0; null: another value, or none.")


class MapBody(BaseModel):
    """Points of rows of an index, from -1 to 1 along the wider axis."""

    method: str
    points: list[Point]
    ids: list[int | str]
    texts: list[str]
    shown: int
    count: int
    explained: float | None = Field(description="Share of the variance that the two axes of PCA show.")
    fields: list[FieldCodes] = Field(description="The fields of /facets, as colours of the points.")


class JudgeHit(BaseModel):
    """A hit of one or both of the two systems; it does not say which."""

    text: str
    relevant: bool


class JudgeBody(BaseModel):
    """The open question, and the verdict so far in words."""

    id: str | None = Field(description="Id of the question; null if there are no more questions.")
    query: str
    number: int
    hits: list[JudgeHit]
    verdict: list[str]
    decided: bool


class JudgeRequest(_Request):
    """The answer to a question."""

    id: Text | None = Field(description="Id of the question; null for undo when no question is open.")
    step: Literal["mark", "next", "skip", "undo"] = Field(
        description="next: hits without a mark are not relevant; undo: back to the previous question."
    )
    place: Annotated[int, Field(strict=True, ge=0)] | None = Field(
        None, description="With mark: number of the hit, from 0."
    )
    relevant: Annotated[bool, Field(strict=True)] = True


class JudgeQuery(_Request):
    """Your own query, to be asked next."""

    query: Text


class Computing(BaseModel):
    """Ask again in a second."""

    status: Literal["computing"] = "computing"


class HealthBody(BaseModel):
    """The server and everything it serves work."""

    status: Literal["ok"] = "ok"
