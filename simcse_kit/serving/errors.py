"""Errors as answers: one form, clear words, no traces."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from simcse_kit.errors import SearchIndexError
from simcse_kit.files import DiskFullError
from simcse_kit.serving.batching import Busy
from simcse_kit.serving.engines import ModelFault
from simcse_kit.serving.guard import error_body
from simcse_kit.serving.schemas import Error

log = logging.getLogger("simcse_kit.serving")

_TYPES = {
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    429: "busy",
    500: "server_error",
    503: "unavailable",
    507: "disk_full",
}
_WORDS = {
    404: "there is no such path; GET /docs lists what there is",
    405: "this path does not take that method; GET /docs lists what there is",
}
_OF_FIELDS = {  # pydantic's names of errors
    "extra_forbidden": "there is no such field; GET /docs lists the fields of each request",
    "model_attributes_type": "expected a JSON object, sent with the header content-type: application/json",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Error, "description": text}
    for status, text in {
        400: "The body cannot be read.",
        401: "No API key, or a wrong one.",
        403: "Not allowed.",
        404: "There is nothing of that name.",
        408: "The request took too long to come in.",
        413: "Larger than the server reads, or longer than the model.",
        422: "Something in the request is not as it has to be; the message says what.",
        429: "Too much waits already; the header Retry-After says when to try again.",
        431: "The headers are larger than the server reads.",
        500: "The server's fault; its log says more.",
        503: "It took too long, or the server cannot answer now.",
        507: "The server's disk is full; nothing was added.",
    }.items()
}


class ApiError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code


class IndexFault(Exception):
    """The index cannot answer, and it is not the request's fault."""


def _answer(status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None) -> Response:
    body = error_body(message, _TYPES.get(status, "invalid_request_error"), code)
    return Response(body, status, headers, media_type="application/json")


def add_handlers(app: FastAPI, without_paths: Callable[[str], str]) -> None:
    """Answer every error of the routes in one form; ``without_paths`` takes the server's folders out of a text."""

    @app.exception_handler(ApiError)
    async def api(request: Request, error: ApiError) -> Response:
        headers = {"Retry-After": "1"} if error.status == 503 else None
        return _answer(error.status, error.message, error.code, headers)

    @app.exception_handler(SearchIndexError)
    async def index(request: Request, error: SearchIndexError) -> Response:
        return _answer(422, without_paths(str(error)))

    @app.exception_handler(IndexFault)
    async def fault(request: Request, error: IndexFault) -> Response:
        log.error("%s: %s", request.method, error)
        return _answer(500, without_paths(str(error)))

    @app.exception_handler(DiskFullError)
    async def full(request: Request, error: DiskFullError) -> Response:
        return _answer(507, "the server's disk is full; nothing was added")

    @app.exception_handler(Busy)
    async def busy(request: Request, error: Busy) -> Response:
        return _answer(429, "too much waits already; try again in a second", headers={"Retry-After": "1"})

    @app.exception_handler(ModelFault)
    async def model(request: Request, error: ModelFault) -> Response:
        return _answer(500, str(error))

    @app.exception_handler(RequestValidationError)
    async def validation(request: Request, error: RequestValidationError) -> Response:
        return _answer(422, "; ".join(dict.fromkeys(map(_in_words, error.errors()[:5]))))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        return _answer(error.status_code, _WORDS.get(error.status_code, str(error.detail)), headers=headers)


def _in_words(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"] if part != "body")
    text = _OF_FIELDS.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")
    text = text[:1].lower() + text[1:]
    return f"{where}: {text}" if where else f"the body: {text}"
