"""Checks of every request: origin, API key, size and time; and headers of every answer."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult, urlsplit

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from simcse_kit.serving.logs import ROUTE
from simcse_kit.serving.settings import LOOPBACK, Limits

if TYPE_CHECKING:
    from simcse_kit.serving.metrics import Metrics

# Paths that can be read without a key
OPEN = frozenset({"/", "/health", "/docs", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/openapi.json"})
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"x-frame-options", b"DENY"),
)
_NO_CONTENT = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")

_METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS")  # paths counted under their own names
TOO_LARGE = "the request's body exceeds this server's limit of {} bytes; send several requests"

log = logging.getLogger("simcse_kit.serving")


def error_body(message: str, kind: str, code: str | None = None) -> bytes:
    """An error in the common format."""
    return json.dumps({"error": {"message": message, "type": kind, "code": code}}).encode()


class ErrorAnswer(NamedTuple):
    """An answer outside the routes."""

    headers: list[tuple[bytes, bytes]]
    body: bytes


def error_answer(status: int, message: str, kind: str) -> ErrorAnswer:
    """Headers and body of an error."""
    body = error_body(message, kind)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status in (408, 503):
        headers.append((b"retry-after", b"1"))
    if status in (400, 401, 403, 408, 413, 431):
        headers.append((b"connection", b"close"))  # what was not read must not become the next request
    return ErrorAnswer([*headers, *_HEADERS, _NO_CONTENT], body)


class Guard:
    """ASGI middleware around the whole application.

    Args:
        app: the application.
        api_keys: every request needs one of them, except requests that read a path in `OPEN`; empty: no key is needed.
        host: address of the server; on the loopback, requests must use one of its own names, so that another site's
            name that resolves to it (DNS rebinding) gets no answer.
        allowed_hosts: more names, such as that of a proxy's site: requests may use them, and come from their pages.
            With any of them the Host header is checked on every address.
        root_path: path of the server behind a proxy, which may remove it from paths or keep it.
        limits: limits of a request's size, and of the time from its first byte to its answer.
        paths: known paths of the application; others are counted together.
        metrics: counters of requests.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        api_keys: Sequence[str],
        host: str,
        allowed_hosts: Sequence[str],
        root_path: str,
        limits: Limits,
        paths: Iterable[str],
        metrics: Metrics,
    ) -> None:
        self.app = app
        self._keys = [key.encode() for key in api_keys]
        self._allowed = frozenset(name.lower() for name in allowed_hosts)
        self._names = {*LOOPBACK, host, *self._allowed} if host in LOOPBACK or self._allowed else None
        self._root = root_path
        self._limits = limits
        self._paths = frozenset(paths)
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        root = scope.get("root_path") or self._root
        path = scope["path"]
        if root and path not in self._paths and (path + "/").startswith(root + "/"):  # the proxy kept it in the path
            path = path[len(root) :] or "/"
        head = scope["method"] == "HEAD"  # like GET, without a body
        method = "GET" if head else scope["method"]
        inner = {**scope, "method": method, "root_path": root, "path": root + path}
        started, status, size = time.perf_counter(), 0, 0
        whole = False  # the request has arrived

        async def received() -> Message:
            nonlocal whole, size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._limits.body_bytes:
                raise HTTPException(413, TOO_LARGE.format(self._limits.body_bytes), headers={"Connection": "close"})
            whole = whole or not message.get("more_body", False)
            return message

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                names = {name for name, _ in message["headers"]}
                more = [*_HEADERS, *([] if b"content-security-policy" in names else [_NO_CONTENT])]
                message["headers"] = [*message["headers"], *(pair for pair in more if pair[0] not in names)]
            elif head:
                message = {**message, "body": b""}
            await send(message)

        try:
            refused = self._refusal(scope, method, path)
            if refused is not None:
                await send_error(sent, *refused)
                return
            async with asyncio.timeout(self._limits.seconds):
                await self.app(inner, received, sent)
        except TimeoutError:
            if not status:
                text = f"took longer than {self._limits.seconds:g} s"
                if whole:
                    changes = path == "/add" or path.startswith("/documents")
                    hint = "; the change may still be committed" if changes else ""
                    await send_error(sent, 503, f"the answer {text}; request less, or try again{hint}", "timeout")
                else:
                    await send_error(sent, 408, f"the request {text} to come in", "timeout")
        except Exception:
            log.exception("%s failed", self._route(inner, path))
            if not status:
                await send_error(sent, 500, "internal error; see the server's log", "server_error")
        finally:
            route = self._route(inner, path)
            scope.get(ROUTE, []).append(route)
            asked = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(route, asked, status).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)

    def _route(self, scope: Scope, path: str) -> str:
        """The path as described in the API, without values from the client."""
        route = getattr(scope.get("route"), "path_format", path)
        return route if route in self._paths else "other"

    def _refusal(self, scope: Scope, method: str, path: str) -> tuple[int, str, str] | None:
        headers = dict(scope["headers"])
        addressed = headers.get(b"host", b"").decode("latin-1")
        if self._names is not None and _split(f"//{addressed}").hostname not in self._names:
            names = ", ".join(sorted(self._names))
            return 403, f"this server answers only to {names}; to add a name: --allowed-host NAME", "forbidden"
        if b"origin" in headers:
            origin = _split(headers[b"origin"].decode("latin-1"))
            if not (addressed and origin.netloc == addressed) and origin.hostname not in self._allowed:
                text = "pages of other sites may not use this server; to allow a site: --allowed-host NAME"
                return 403, text, "forbidden"
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > self._limits.body_bytes:
            return 413, TOO_LARGE.format(self._limits.body_bytes), "too_large"
        if not self._keys or (method == "GET" and path in OPEN):
            return None
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        known = [hmac.compare_digest(given.strip(), key) for key in self._keys]  # constant time: reveals nothing
        if scheme.lower() != b"bearer" or not any(known):
            return 401, "an API key is needed: Authorization: Bearer KEY", "unauthorized"
        return None


def _split(url: str) -> SplitResult:
    """The parts of a URL; empty if it cannot be parsed."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


async def send_error(send: Send, status: int, message: str, kind: str) -> None:
    """Answer with an error."""
    headers, body = error_answer(status, message, kind)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
