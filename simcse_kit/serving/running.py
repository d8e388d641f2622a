"""uvicorn around an application that is loaded and reloaded while the server runs."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import uvicorn

from simcse_kit.serving.connections import limited_connections
from simcse_kit.serving.logs import Requests
from simcse_kit.serving.reloading import Reloading
from simcse_kit.serving.settings import Limits

log = logging.getLogger("simcse_kit.serving")


def run_server(
    app: Reloading,
    bound: socket.socket,
    *,
    limits: Limits,
    trusted_proxies: Sequence[str],
    reload_on_hangup: bool,
    on_load: Callable[[], object],
) -> None:
    """Answer on a bound socket until SIGTERM or Ctrl-C. An error of the first load stops it and is raised.

    Args:
        app: the application.
        bound: the bound socket; closed at the end.
        limits: limits of connections and requests.
        trusted_proxies: proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted.
        reload_on_hangup: SIGHUP reloads.
        on_load: called after each load.
    """
    config = uvicorn.Config(
        Requests(app),
        http=limited_connections(limits),
        ws="none",
        log_config=None,  # the caller configures logging
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
        timeout_keep_alive=30,
        timeout_graceful_shutdown=round(limits.seconds) + 1,
    )
    server = _Server(config, app, on_load, reload_on_hangup=reload_on_hangup)
    try:
        server.run(sockets=[bound])
    finally:
        bound.close()
    if server.failure is not None:
        raise server.failure


class _Server(uvicorn.Server):
    """Listens first, then loads."""

    def __init__(
        self, config: uvicorn.Config, app: Reloading, on_load: Callable[[], object], *, reload_on_hangup: bool
    ) -> None:
        super().__init__(config)
        self.failure: Exception | None = None  # error of the first load
        self._app = app
        self._on_load = on_load
        self._reload_on_hangup = reload_on_hangup
        self._loads: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._begin(self._load())
        if self._reload_on_hangup and threading.current_thread() is threading.main_thread():
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._hangup)

    def _hangup(self) -> None:
        if len(self._loads) < 2:  # else a reload is already waiting; it will read the current state
            self._begin(self._load_again())

    def _begin(self, load: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(load)
        self._loads.add(task)
        task.add_done_callback(self._loads.discard)

    async def _load(self) -> None:
        try:
            await self._app.load()
            self._on_load()
        except Exception as error:
            self.failure = error
            self.should_exit = True

    async def _load_again(self) -> None:
        try:
            await self._app.load()
            self._on_load()
        except Exception as error:
            log.error("cannot reload; the server keeps what it has loaded before: %s", error)
