"""What every request passes first: who asks, from where, how long it may take; and what every answer bears."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from simcse_kit.serving.metrics import Metrics
from simcse_kit.serving.settings import LOOPBACK, Limits

OPEN = frozenset({"/", "/health", "/docs", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/openapi.json"})
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"x-frame-options", b"DENY"),
)
_NO_CONTENT = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")

TOO_LARGE = "the request's body is larger than the {} bytes that this server reads; send several"

log = logging.getLogger("simcse_kit.serving")


def error_body(message: str, kind: str, code: str | None = None) -> bytes:
    """An error as every answer has it."""
    return json.dumps({"error": {"message": message, "type": kind, "code": code}}).encode()


class Guard:
    """ASGI middleware around the whole application.

    Args:
        app: the application.
        api_key: the key that requests must bear, but for the page, its description and /health; None: no key.
        host: where the server is bound; on the loopback, requests must be addressed to it by one of its own names, so
            that no other site's name that leads here (DNS rebinding) is answered.
        limits: of a request's size, and of the time from its first byte to its answer.
        paths: that the application knows; others are counted together.
        metrics: where requests are counted.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        api_key: str | None,
        host: str,
        limits: Limits,
        paths: Iterable[str],
        metrics: Metrics,
    ) -> None:
        self.app = app
        self._key = None if api_key is None else api_key.encode()
        self._names = frozenset((*LOOPBACK, host)) if host in LOOPBACK else None
        self._limits = limits
        self._paths = frozenset(paths)
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status, size = time.perf_counter(), 0, 0
        whole = False  # the request has come in

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
            await send(message)

        try:
            refused = self._refusal(scope)
            if refused is not None:
                await _answer(sent, *refused)
                return
            async with asyncio.timeout(self._limits.seconds):
                await self.app(scope, received, sent)
        except TimeoutError:
            if not status:
                text = f"took longer than {self._limits.seconds:g} s"
                if whole:
                    await _answer(sent, 503, f"the answer {text}; ask for less, or again", "timeout")
                else:
                    await _answer(sent, 408, f"the request {text} to come in", "timeout")
        except Exception:
            log.exception("%s %s", scope["method"], scope["path"])
            if not status:
                await _answer(sent, 500, "internal error; the server's log says more", "server_error")
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            method = scope["method"] if scope["method"] in ("GET", "POST", "HEAD", "OPTIONS") else "other"
            self._metrics.requests.labels(path, method, status).inc()
            self._metrics.seconds.labels(path).observe(time.perf_counter() - started)

    def _refusal(self, scope: Scope) -> tuple[int, str, str] | None:
        headers = dict(scope["headers"])
        addressed = headers.get(b"host", b"").decode("latin-1")
        if self._names is not None and _split(f"//{addressed}").hostname not in self._names:
            return 403, f"this server answers to {', '.join(sorted(self._names))} only", "forbidden"
        origin = headers.get(b"origin")
        if origin is not None and (not addressed or _split(origin.decode("latin-1")).netloc != addressed):
            return 403, "another site's page may not ask this server", "forbidden"
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > self._limits.body_bytes:
            return 413, TOO_LARGE.format(self._limits.body_bytes), "too_large"
        if self._key is None or scope["path"] in OPEN:
            return None
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._key):
            return 401, "an API key is needed: Authorization: Bearer KEY", "unauthorized"
        return None


def _split(url: str) -> SplitResult:
    """The parts of a URL; none of one that cannot be read."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


async def _answer(send: Send, status: int, message: str, kind: str) -> None:
    body = error_body(message, kind)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status in (408, 503):
        headers.append((b"retry-after", b"1"))
    if status in (401, 403, 408, 413):
        headers.append((b"connection", b"close"))  # the body that was not read is not the next request
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
