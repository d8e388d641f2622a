"""What requests and answers hold."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from simcse_kit.search.modes import SearchMode

Text = Annotated[str, StringConstraints(strict=True)]
TextList = Annotated[list[Text], Field(min_length=1, fail_fast=True)]  # a list names its first wrong item only
IdField = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63 - 1)] | Text
Cosine = Annotated[float, Field(strict=True, ge=-1, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=1)]
Point = Annotated[list[float], Field(min_length=2, max_length=2)]


class _Request(BaseModel):
    """A misspelt field is an error, not a setting that is ignored."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _has_few_fields(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) > 2 * len(cls.model_fields):  # each unknown one would be an error
            raise ValueError(f"it has {len(value)} fields; this request knows {', '.join(cls.model_fields)}")
        return value


class ErrorBody(BaseModel):
    """What went wrong and what to do."""

    message: str
    type: str
    code: str | None = None


class Error(BaseModel):
    """Every error, in the form of OpenAI's."""

    error: ErrorBody


class EmbeddingsRequest(BaseModel):
    """OpenAI's request for embeddings; what it has beyond these is ignored."""

    input: Text | TextList = Field(
        description="A text or several; token ids are refused, because they belong to another model's vocabulary."
    )
    model: Text = Field(description="A name that GET /v1/models gives.")
    encoding_format: Literal["float", "base64"] | None = Field(None, description="Null is float.")
    dimensions: Count | None = Field(None, description="Keep only this many of the first numbers of each vector.")

    @field_validator("input", mode="before")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        if isinstance(value, list) and value and isinstance(value[0], int | list):
            raise ValueError(
                "token ids belong to another model's vocabulary; send texts (LangChain: "
                "OpenAIEmbeddings(..., check_embedding_ctx_length=False))"
            )
        return value


class Embedding(BaseModel):
    """One vector: numbers, or their little-endian float32 in base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(BaseModel):
    """OpenAI's answer."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class ModelCard(BaseModel):
    """A model that is served."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "simcse_kit"


class ModelCards(BaseModel):
    """OpenAI's list of models."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class EmbedRequest(_Request):
    """text-embeddings-inference's request."""

    inputs: Text | TextList
    normalize: Annotated[bool, Field(strict=True)] | None = Field(None, description="Null is true.")
    truncate: Annotated[bool, Field(strict=True)] | None = Field(
        None, description="Cut texts that are longer than the model reads; otherwise they are an error."
    )
    truncation_direction: Literal["right", "Right"] | None = Field(
        None, description="Where texts are cut: at their end."
    )
    prompt_name: Text | None = Field(None, description="One of the model's prompts, put before each text.")
    dimensions: Count | None = None
    model: Text | None = Field(None, description="A name that GET /v1/models gives; the first where there is none.")


class SimilarityRequest(_Request):
    """Cosines of all pairs of ``sentences``, or of each of them with each of ``others``."""

    sentences: TextList
    others: TextList | None = None
    model: Text | None = Field(None, description="A name that GET /v1/models gives; the first where there is none.")
    index: Text | None = Field(None, description="The model of this index.")


class Similarity(BaseModel):
    """A row for each sentence."""

    model: str
    scores: list[list[float]]
    truncated: int = Field(description="Texts that are longer than the model reads, and were cut.")


class _Search(_Request):
    k: Count = 10
    threshold: Cosine | None = Field(None, description="Only hits with at least this cosine.")
    filter: dict[str, Any] | None = Field(
        None, description='Conditions on the metadata: {"lang": "en", "year": {"$gte": 2020}}.'
    )
    index: Text | None = Field(None, description="A name that GET /info gives; the first where there is none.")
    map: Literal["pca", "umap"] | None = Field(None, description="Say where the hits lie on this map.")


class SearchRequest(_Search):
    """What to look for."""

    queries: Text | Annotated[list[Text], Field(fail_fast=True)]
    mode: SearchMode = Field("dense", description="By meaning, by words, or by both; GET /info lists an index's modes.")


class SimilarRequest(_Search):
    """More like the row with this id."""

    id: IdField


class HitBody(BaseModel):
    """A sentence that was found."""

    id: int | str
    text: str
    score: float = Field(description="The cosine; in mode keyword BM25, in mode hybrid how far it stands out.")
    metadata: dict[str, Any] | None
    dense_rank: int | None = Field(None, description="Place by meaning, from 1; in mode keyword and hybrid only.")
    keyword_rank: int | None = Field(None, description="Place by words, from 1; in mode keyword and hybrid only.")
    point: Point | None = None


class Found(BaseModel):
    """Hits of each query, best first."""

    index: str
    model: str
    milliseconds: float
    hits: list[list[HitBody]]
    points: list[Point | None]
    truncated: int = Field(description="Queries that are longer than the model reads, and were cut.")


class AddRequest(_Request):
    """Sentences to add to an index."""

    sentences: TextList
    ids: Annotated[list[IdField], Field(fail_fast=True)] | None = None
    metadata: Annotated[list[dict[str, Any] | None], Field(fail_fast=True)] | None = None
    index: Text | None = None


class Added(BaseModel):
    """The ids of what was added, and how many sentences there are now."""

    index: str
    ids: list[int | str]
    count: int
    truncated: int = Field(description="Sentences that are longer than the model reads; what is beyond is not found.")


class DocumentBody(_Request):
    """A text with its id; of an index of passages a whole document."""

    id: IdField
    text: Text
    metadata: dict[str, Any] | None = None


class DocumentsRequest(_Request):
    """Documents to put in the place of those with their ids, or to add."""

    documents: Annotated[list[DocumentBody], Field(min_length=1, fail_fast=True)]


class StoredDocuments(BaseModel):
    """What was added and replaced; documents that are there already are not encoded again."""

    index: str
    added: int
    changed: int
    unchanged: int
    count: int = Field(description="Sentences in the index, or passages.")
    truncated: int = Field(description="Sentences that are longer than the model reads; what is beyond is not found.")


class DeletedDocument(BaseModel):
    """A document was deleted, of an index of passages with all of them."""

    index: str
    id: int | str
    count: int = Field(description="Sentences in the index, or passages.")


class ReloadedIndex(BaseModel):
    """The index as it was read now."""

    index: str
    model: str
    count: int
    commit: int


class IndexCard(BaseModel):
    """An index that is served."""

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
    """What one request, and all together, may ask for: `Limits`."""

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
    """What the page shows around its indexes: `PageSettings`."""

    title: str
    link: str | None = Field(description="Address that a hit's id leads to, with {id} for the id, percent-encoded.")
    queries: list[str] = Field(description="Examples.")


class Info(BaseModel):
    """What is served."""

    name: str
    version: str
    models: list[str]
    indexes: list[IndexCard]
    limits: Limit
    can_judge: bool
    page: PageBody


FieldValue = bool | int | float | str


class FacetValue(BaseModel):
    """A value of a field, and how many of the counted rows have it."""

    value: FieldValue
    count: int


class FacetBody(BaseModel):
    """A field with few values, to filter by."""

    field: str
    values: list[FacetValue] = Field(description="The most frequent first.")
    others: int = Field(description="Rows with a value that is not listed.")
    without: int = Field(description="Rows without the field.")


class FacetsBody(BaseModel):
    """Fields of an index, counted on at most 5,000 rows, drawn at random."""

    fields: list[FacetBody]
    counted: int = Field(description="Rows that were counted.")
    count: int = Field(description="Rows of the index.")


class FieldCodes(BaseModel):
    """A field's value for each point of a map."""

    field: str
    values: list[FieldValue]
    codes: list[int | None] = Field(description="Place in values, from 0; null: another value, or none.")


class MapBody(BaseModel):
    """Points of rows of an index, from -1 to 1 along the wider axis."""

    method: str
    points: list[Point]
    ids: list[int | str]
    texts: list[str]
    shown: int
    count: int
    explained: float | None = Field(description="Share of the variance that PCA's two axes show.")
    fields: list[FieldCodes] = Field(description="The fields of /facets, to colour the points by.")


class JudgeHit(BaseModel):
    """A hit of one of the two systems, or of both; it does not say which."""

    text: str
    relevant: bool


class JudgeBody(BaseModel):
    """The open question as it stands, and what was judged so far, in words."""

    id: str | None = Field(description="Of the question; null where there is no more.")
    query: str
    number: int
    hits: list[JudgeHit]
    verdict: list[str]
    decided: bool


class JudgeRequest(_Request):
    """What is said to a question."""

    id: Text | None = Field(description="Of the question that was seen; null with undo, where none is open.")
    step: Literal["mark", "next", "skip", "undo"] = Field(
        description="next: hits without a mark are not relevant; undo: back to the question before."
    )
    place: Annotated[int, Field(strict=True, ge=0)] | None = Field(None, description="With mark: of the hit, from 0.")
    relevant: Annotated[bool, Field(strict=True)] = True


class JudgeQuery(_Request):
    """A query of one's own, to be asked next."""

    query: Text


class Computing(BaseModel):
    """Ask again in a second."""

    status: Literal["computing"] = "computing"


class HealthBody(BaseModel):
    """The server answers, and what it serves works."""

    status: Literal["ok"] = "ok"
