"""Routes for vectors and cosines: OpenAI's, text-embeddings-inference's, and our own."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from fastapi import APIRouter, Response
from pydantic_core import to_json

from simcse_kit.serving.bodies import bounded_route
from simcse_kit.serving.engines import EmbeddedTexts, ModelEngine, normalized_copy
from simcse_kit.serving.errors import RESPONSES, ApiError
from simcse_kit.serving.schemas import (
    EmbeddingsRequest,
    EmbeddingsResponse,
    EmbedRequest,
    ModelCard,
    ModelCards,
    Similarity,
    SimilarityRequest,
)
from simcse_kit.serving.state import ServerState


def embedding_routes(served: ServerState) -> APIRouter:
    """The routes, for the served models."""
    router = APIRouter(responses=RESPONSES, route_class=bounded_route(served.limits.json_tokens))

    @router.get("/v1/models", tags=["OpenAI"])
    async def models() -> ModelCards:
        """Names of the served models."""
        return ModelCards(data=[ModelCard(id=name) for name in served.models])

    @router.get("/v1/models/{name:path}", tags=["OpenAI"])
    async def one_model(name: str) -> ModelCard:
        """One of the served models."""
        served.model(name)
        return ModelCard(id=name)

    @router.post("/v1/embeddings", response_model=EmbeddingsResponse, tags=["OpenAI"])
    async def embeddings(request: EmbeddingsRequest) -> Response:
        """Unit vectors of texts, in OpenAI's format. A text longer than the model's limit is an error."""
        engine = served.model(request.model)
        texts = served.texts(request.input, "input")
        width = served.width(engine, request.dimensions)
        embedded = await engine.embed(texts)
        _refuse_long(embedded, engine, 422, "input")
        vectors = normalized_copy(embedded.vectors[:, :width])
        tokens = sum(embedded.tokens)
        as_base64 = request.encoding_format == "base64"
        return _json(
            {
                "object": "list",
                "data": [
                    {
                        "object": "embedding",
                        "index": index,
                        "embedding": base64.b64encode(vector.astype("<f4").tobytes()).decode()
                        if as_base64
                        else vector.tolist(),
                    }
                    for index, vector in enumerate(vectors)
                ],
                "model": engine.name,
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            }
        )

    @router.post("/", response_model=list[list[float]], include_in_schema=False)
    @router.post("/embed", response_model=list[list[float]], tags=["text-embeddings-inference"])
    async def embed(request: EmbedRequest) -> Response:
        """Vectors of texts, in the format of text-embeddings-inference. ``POST /`` is the same."""
        engine = served.model(request.model)
        texts = served.texts(request.inputs, "inputs")
        if request.prompt_name is not None and request.prompt_name not in engine.model.prompts:
            known = ", ".join(engine.model.prompts) or "none"
            raise ApiError(422, f"prompt_name: {engine.name} has the prompts {known}; got {request.prompt_name!r}")
        width = served.width(engine, request.dimensions)
        embedded = await engine.embed(texts, prompt_name=request.prompt_name)
        if not request.truncate:
            _refuse_long(embedded, engine, 413, "inputs", ', or send "truncate": true')
        vectors = embedded.vectors[:, :width]
        return _json((vectors if request.normalize is False else normalized_copy(vectors)).tolist())

    @router.post("/similarity", response_model=Similarity, tags=["similarity"])
    async def similarity(request: SimilarityRequest) -> Response:
        """Cosines between texts, one row for each of ``sentences``."""
        engine = served.model(request.model) if request.index is None else served.index(request.index).model
        first = served.texts(request.sentences, "sentences")
        second = [] if request.others is None else served.texts(request.others, "others")
        served.check_cosines(len(first), len(second or first))
        embedded = await engine.embed([*first, *second])
        rows = embedded.unit[: len(first)]
        columns = embedded.unit[len(first) :] if second else rows
        scores = (rows @ columns.T).clip(-1, 1).tolist()
        return _json({"model": engine.name, "scores": scores, "truncated": len(embedded.truncated)})

    return router


def _refuse_long(embedded: EmbeddedTexts, engine: ModelEngine, status: int, what: str, hint: str = "") -> None:
    if embedded.truncated:
        number = embedded.truncated[0]
        raise ApiError(
            status,
            f"{what}: text number {number} has {embedded.tokens[number]} tokens; {engine.name} reads at most "
            f"{engine.model.max_seq_length}. Shorten it{hint}",
            "context_length_exceeded",
        )


def _json(body: dict[str, object] | Sequence[Sequence[float]]) -> Response:
    return Response(to_json(body), media_type="application/json")
