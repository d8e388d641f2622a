"""The bodies of requests: what is too much, or not text, is refused before it becomes objects."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from itertools import islice
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.exceptions import HTTPException

# A string that has no end reaches to the body's, so that no byte is looked at twice
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[{,]', re.DOTALL)


def has_more_tokens(body: bytes, most: int) -> bool:
    """Whether JSON holds more than ``most`` strings, opening brackets and commas; costs at most ``most`` steps.

    Examples:
        >>> has_more_tokens(b'["a, b", 1]', 3), has_more_tokens(b'["a, b", 1]', 2)
        (False, True)
    """
    at_most = sum(map(body.count, (b"[", b"{", b","))) + body.count(b'"')  # those within strings too
    return at_most > most and sum(1 for _ in islice(_TOKEN.finditer(body), most + 1)) > most


async def json_of(request: Request, json_tokens: int) -> Any:
    """The body's JSON, read strictly: in UTF-8, no NaN, no half of a surrogate pair, at most 200 levels deep.

    Raises:
        HTTPException: it is not that, or holds more than ``json_tokens`` strings, brackets and commas.
    """
    body = await request.body()
    if has_more_tokens(body, json_tokens):
        raise HTTPException(
            413, f"the body holds more than {json_tokens} strings, brackets and commas; send several requests"
        )
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        hint = "; half of a surrogate pair is not text" if "hex escape" in str(error) else ""
        raise HTTPException(422, f"the body is not JSON: {error}{hint}") from error


def bounded_route(json_tokens: int) -> type[APIRoute]:
    """A route that reads its body by `json_of`."""

    class BoundedRequest(Request):
        async def json(self) -> Any:
            return await json_of(self, json_tokens)

    class BoundedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def bounded(request: Request) -> Response:
                return await handle(BoundedRequest(request.scope, request.receive))

            return bounded

    return BoundedRoute
