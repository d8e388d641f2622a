"""Errors as answers: one format, clear text, no traces."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
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
_TYPE = re.compile(r"str|int|float|bool|(list|dict)\[.*\]|(constrained|function|nullable)-.*")  # in pydantic's places
_WORDS = {
    404: "unknown path; GET /docs lists all paths",
    405: "this path does not accept this method; GET /docs lists all methods",
}
_OF_FIELDS = {  # pydantic's names of errors
    "extra_forbidden": "there is no such field; GET /docs lists the fields of each request",
    "model_attributes_type": "expected a JSON object, sent with the header content-type: application/json",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Error, "description": text}
    for status, text in {
        400: "The body cannot be parsed.",
        401: "The API key is missing or wrong.",
        403: "Not allowed.",
        404: "Nothing has this name.",
        408: "The request took too long to arrive.",
        413: "Larger than the server's limit, or longer than the model's.",
        422: "A value of the request is invalid; the message says which.",
        429: "Too many requests are waiting; the header Retry-After says when to retry.",
        431: "The headers exceed the server's limit.",
        500: "An error of the server; its log says more.",
        503: "The request took too long, or the server cannot answer now.",
        507: "The server's disk is full; nothing was added.",
    }.items()
}


class ApiError(Exception):
    """An error that becomes an answer."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code


class IndexFault(Exception):
    """The index cannot answer, and the request is not at fault."""


def _answer(status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None) -> Response:
    body = error_body(message, _TYPES.get(status, "invalid_request_error"), code)
    return Response(body, status, headers, media_type="application/json")


def add_handlers(app: FastAPI, without_paths: Callable[[str], str]) -> None:
    """Answer every error of the routes in one format; ``without_paths`` hides the server's folders in a text."""

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
        return _answer(429, "too many requests are waiting; try again in a second", headers={"Retry-After": "1"})

    @app.exception_handler(ModelFault)
    async def model(request: Request, error: ModelFault) -> Response:
        return _answer(500, str(error))

    @app.exception_handler(RequestValidationError)
    async def validation(request: Request, error: RequestValidationError) -> Response:
        return _answer(422, in_words(error.errors()))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        return _answer(error.status_code, _WORDS.get(error.status_code, str(error.detail)), headers=headers)


def in_words(errors: Sequence[Any]) -> str:
    """At most five of pydantic's errors in a line: the field as it is in the request, and what is wrong.

    A field that takes a text or a list has an error for each; only that of the kind that came is said.
    """
    texts: dict[str, list[str]] = {}
    for error in errors:
        place = _place(error)
        if not any(_place(other)[: len(place)] == place and _is_nearer(other, error) for other in errors):
            where = ".".join(map(str, place))
            texts.setdefault(f"{where}: " if where else "the body: ", []).append(_text(error))
    shown = list(texts.items())[:5]
    return "; ".join(where + " or ".join(dict.fromkeys(found)) for where, found in shown)


def _place(error: Any) -> tuple[Any, ...]:
    """Where the error is in the body, without pydantic's names of types."""
    parts = [part for part in error["loc"] if part != "body"]
    given = error["type"] == "extra_forbidden"
    return tuple(part for part in parts if given or isinstance(part, int) or not _TYPE.fullmatch(part))


def _is_nearer(other: Any, error: Any) -> bool:
    """Whether the other one is about the kind of value that came, or a part of it."""
    if len(_place(other)) > len(_place(error)):
        return True
    return error["type"].endswith("_type") and not other["type"].endswith("_type")


def _text(error: Any) -> str:
    if error["type"] == "too_short":
        field, least = _place(error)[-1], error["ctx"]["min_length"]
        return f"give at least {'one' if least == 1 else least} {'document' if field == 'documents' else 'text'}"
    text = _OF_FIELDS.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
