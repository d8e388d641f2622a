"""Request bodies: rejects what is too large or not text before it is parsed into objects."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from itertools import islice
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.exceptions import HTTPException

# An unterminated string extends to the end of the body, so that each byte is read only once
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[{,]', re.DOTALL)


def has_more_tokens(body: bytes, most: int) -> bool:
    """Whether JSON holds more than ``most`` strings, opening brackets and commas; takes at most ``most`` steps.

    Examples:
        >>> has_more_tokens(b'["a, b", 1]', 3), has_more_tokens(b'["a, b", 1]', 2)
        (False, True)
    """
    at_most = sum(map(body.count, (b"[", b"{", b","))) + body.count(b'"')  # including those inside strings
    return at_most > most and sum(1 for _ in islice(_TOKEN.finditer(body), most + 1)) > most


async def json_of(request: Request, json_tokens: int) -> Any:
    """Parse the body's JSON strictly: UTF-8, no NaN, no half surrogate pairs, at most 200 levels deep.

    Raises:
        HTTPException: the body is not such JSON, or holds more than ``json_tokens`` strings, brackets and commas.
    """
    body = await request.body()
    if has_more_tokens(body, json_tokens):
        raise HTTPException(
            413, f"the body has more than {json_tokens} strings, brackets and commas; send several requests"
        )
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        hint = "; half of a surrogate pair is not text" if "hex escape" in str(error) else ""
        raise HTTPException(422, f"the body is not valid JSON: {error}{hint}") from error


def bounded_route(json_tokens: int) -> type[APIRoute]:
    """A route whose body is parsed by `json_of`."""

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
