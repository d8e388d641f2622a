"""Log of requests: route, status, time and size; never a text, a query or a key."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

if TYPE_CHECKING:  # the command imports this file, perhaps without the extra
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = b"x-request-id"
ROUTE = "simcse_kit.route"  # key in the scope: a list whose last item is the route as described in the API
_SANE = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"})
_NAMES = ("simcse_kit", "uvicorn")  # loggers of the server

access = logging.getLogger("simcse_kit.access")
_request_id: ContextVar[str | None] = ContextVar("_request_id", default=None)


def new_id() -> str:
    """An id for a request without one."""
    return uuid4().hex


def write_access(
    method: str, route: str, status: int | None, *, began: float, bytes_in: int, bytes_out: int, request_id: str
) -> None:
    """One line. ``began`` is from ``time.perf_counter``; ``status`` is None if the client left before the answer."""
    milliseconds = round((time.perf_counter() - began) * 1000, 1)
    fields = {
        "request_id": request_id,
        "method": method,
        "route": route,
        "status": status,
        "milliseconds": milliseconds,
        "bytes_in": bytes_in,
        "bytes_out": bytes_out,
    }
    access.info(
        "%s %s %s %s ms, %s bytes in, %s bytes out, %s",
        *(method, route, status, milliseconds, bytes_in, bytes_out, request_id),
        extra={"fields": fields},
    )


class Requests:
    """Outermost ASGI middleware: gives each request an id, returns it with the answer, and writes a log line.

    The request's X-Request-ID is used if it has at most 64 letters, digits, dots, hyphens and underscores.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, bytes_in, bytes_out = time.perf_counter(), None, 0, 0
        given = dict(scope["headers"]).get(HEADER, b"")
        request_id = given.decode() if _SANE.fullmatch(given) else new_id()
        routes = ["other"]

        async def received() -> Message:
            nonlocal bytes_in
            message = await receive()
            bytes_in += len(message.get("body", b""))
            return message

        async def sent(message: Message) -> None:
            nonlocal status, bytes_out
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], (HEADER, request_id.encode())]}
            bytes_out += len(message.get("body", b""))
            await send(message)

        token = _request_id.set(request_id)
        try:
            await self.app({**scope, ROUTE: routes}, received, sent)
        finally:
            write_access(
                scope["method"] if scope["method"] in _METHODS else "other",
                routes[-1],
                status,
                began=began,
                bytes_in=bytes_in,
                bytes_out=bytes_out,
                request_id=request_id,
            )
            _request_id.reset(token)


class _Safe(logging.Formatter):
    """Text lines, without messages of exceptions, which may quote a request."""

    def formatException(self, ei: Any) -> str:
        _, error, _ = ei
        parts: list[str] = []
        while error is not None:  # the first cause comes first
            parts.insert(0, "".join([*traceback.format_tb(error.__traceback__), type(error).__name__]))
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\n".join(parts)


class _Json(_Safe):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        kind = "access" if record.name == access.name else "log"
        values = {"time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"), "kind": kind}
        fields = getattr(record, "fields", None)
        if fields is None:
            values |= {"level": record.levelname.lower(), "text": record.getMessage()}
            values |= {"request_id": request_id} if (request_id := _request_id.get()) else {}
            values |= {"trace": self.formatException(record.exc_info)} if record.exc_info else {}
        return json.dumps(values | (fields or {}), ensure_ascii=False)


def log_to_stderr(form: Literal["text", "json"], *, requests: bool) -> None:
    """Write the server's logs to standard error, in one format; ``requests``: also a line per request."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Safe("%(levelname)s: %(message)s"))
    for name in _NAMES:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
    logging.getLogger("simcse_kit.serving").setLevel(logging.INFO)
    access.setLevel(logging.INFO if requests else logging.WARNING)
