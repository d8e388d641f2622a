"""An application that loads while the server already answers, and is replaced without losing a request."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, TypeVar

from starlette.types import ASGIApp, Receive, Scope, Send

from simcse_kit.serving.guard import OPEN, send_error
from simcse_kit.serving.logs import ROUTE

if TYPE_CHECKING:
    from fastapi import FastAPI

T = TypeVar("T")


class Reloading:
    """ASGI application around another one, which `load` makes; until then every answer is 503.

    Args:
        make: loads the application; called in a thread.
        seconds: time in which requests to a replaced application must end.
    """

    def __init__(self, make: Callable[[], FastAPI], seconds: float) -> None:
        self._make = make
        self._seconds = seconds
        self._running: _Running | None = None
        self._lock = asyncio.Lock()  # one load at a time

    async def load(self) -> None:
        """Load, and switch to the loaded application. If loading fails, the previous one stays in use."""
        async with self._lock:
            loaded = _Running(await _in_thread(self._make))
            await loaded.start()
            before, self._running = self._running, loaded
        if before is not None:
            await before.stop(self._seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._running is not None:
            await self._running(scope, receive, send)
        elif scope["type"] == "http":
            scope.get(ROUTE, []).append(scope["path"] if scope["path"] in OPEN else "other")
            await send_error(send, 503, "the server is loading; try again in a second", "loading")

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._running is not None:
            await self._running.stop(0)
        await send({"type": "lifespan.shutdown.complete"})


class _Running:
    """An application between its start and its stop."""

    def __init__(self, app: FastAPI) -> None:
        self._app: ASGIApp = app
        self._life = app.router.lifespan_context(app)
        self._open = AsyncExitStack()
        self._requests = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self) -> None:
        await self._open.enter_async_context(self._life)

    async def stop(self, seconds: float) -> None:
        """Stop it after its requests have ended, or after some time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        await self._open.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._requests += 1
        self._idle.clear()
        try:
            await self._app(scope, receive, send)
        finally:
            self._requests -= 1
            if not self._requests:
                self._idle.set()


async def _in_thread(function: Callable[[], T]) -> T:
    """Run a function in a thread that does not delay the end of the process."""
    outcome: Future[T] = Future()

    def work() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, name="load", daemon=True).start()
    return await asyncio.wrap_future(outcome)
