"""Answers the most frequent requests without FastAPI's routing, which takes longer than everything around it.

FastAPI keeps the routes too: it describes them, and it answers all unusual requests in the same words.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple, get_type_hints

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from simcse_kit.serving.bodies import json_of

_JSON = (b"content-type", b"application/json")


class _Endpoint(NamedTuple):
    answer: Callable[[Any], Awaitable[Response]]
    body: type[BaseModel]


class Direct:
    """ASGI middleware for POSTs of JSON to routes that take only a body and build their own response.

    Args:
        app: answers all other requests.
        routes: FastAPI's routes.
        json_tokens: limit of a body, see `bounded_route`.
        handlers: error handlers, by class of error.
    """

    def __init__(
        self, app: ASGIApp, *, routes: Iterable[Any], json_tokens: int, handlers: Mapping[Any, Callable[..., Any]]
    ) -> None:
        self.app = app
        self._endpoints = {route.path: made for route in routes if (made := _endpoint_of(route)) is not None}
        self._json_tokens = json_tokens
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        endpoint = self._endpoints.get(scope["path"]) if is_post else None
        if endpoint is None or _JSON not in scope["headers"]:
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await endpoint.answer(await self._body(request, endpoint.body))
        except Exception as error:
            handler = next((self._handlers[kind] for kind in type(error).__mro__ if kind in self._handlers), None)
            if handler is None:
                raise
            response = await handler(request, error)
        await response(scope, receive, send)

    async def _body(self, request: Request, kind: type[BaseModel]) -> BaseModel:
        try:
            if not await request.body():
                raise RequestValidationError([{"type": "missing", "loc": ("body",), "msg": "Field required"}])
            return kind.model_validate(await json_of(request, self._json_tokens), from_attributes=True)
        except ClientDisconnect as error:
            raise HTTPException(400, "the request is incomplete") from error
        except ValidationError as error:
            raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in error.errors()]) from None


def _endpoint_of(route: Any) -> _Endpoint | None:
    """The function that answers a route; None if FastAPI must do more than read a body."""
    if not isinstance(route, APIRoute) or route.methods != {"POST"}:
        return None
    hints = get_type_hints(route.endpoint)
    if hints.pop("return", None) is not Response or len(hints) != 1 or route.dependencies:
        return None
    (body,) = hints.values()
    return _Endpoint(route.endpoint, body) if issubclass(body, BaseModel) else None
