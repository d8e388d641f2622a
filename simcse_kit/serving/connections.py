"""Connections: limits on their number, on size and time of headers, and on slow clients."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from simcse_kit.errors import say_once
from simcse_kit.serving.guard import error_answer
from simcse_kit.serving.logs import HEADER, new_id, write_access
from simcse_kit.serving.settings import Limits

_LINGER = 2.0  # seconds that a rejected client has to read the reason; what it still sends is dropped
_DESCRIPTORS = 256  # reserved for files and other sockets


def limited_connections(limits: Limits) -> type[HttpToolsProtocol]:
    """uvicorn's protocol with ``limits`` on headers and on the number of connections, which uvicorn lacks."""
    most = _room(limits.connections)
    open_: set[Connection] = set()
    waiting: dict[Connection, None] = {}  # waiting for a request; the longest waiting is first

    class Connection(HttpToolsProtocol):
        _in_headers = False  # part of a request has arrived, its headers are incomplete
        _header_bytes = 0
        _refused = False

        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, **named)
            self._headers_due = _Timer(self.loop, limits.header_seconds, self._give_up)
            self._reading_due = _Timer(self.loop, limits.seconds, lambda: self.transport.abort())

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(open_) >= most and not waiting:
                self._refuse(503, "too many open connections; try again in a second", "busy", linger=False)
                return
            if len(open_) >= most:
                next(iter(waiting))._give_up(linger=False)
            open_.add(self)
            waiting[self] = None
            self._headers_due.start()

        def connection_lost(self, exc: Exception | None) -> None:
            open_.discard(self)
            self._stop_waiting()
            self._reading_due.stop()
            super().connection_lost(exc)

        def _stop_waiting(self) -> None:
            waiting.pop(self, None)
            self._headers_due.stop()

        # Headers

        def data_received(self, data: bytes) -> None:
            if self._refused:
                return
            if self in waiting:
                self._headers_due.start()
            super().data_received(data)
            if self._in_headers and not self._refused:  # the parser holds an incomplete header
                self._header_bytes += len(data)
                if self._header_bytes > limits.header_bytes:
                    self.send_400_response("")

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._in_headers, self._header_bytes = True, 0
            self._headers_due.start()

        def on_headers_complete(self) -> None:
            self._header_bytes = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if self._header_bytes > limits.header_bytes:
                raise ValueError  # the parser stops and calls `send_400_response`
            self._in_headers = False
            self._stop_waiting()
            super().on_headers_complete()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.cycle.response_complete and not self.transport.is_closing():
                waiting[self] = None

        def _give_up(self, *, linger: bool = True) -> None:
            """Close a connection whose request has not arrived."""
            if self.cycle is not None and not self.cycle.response_complete:
                self.cycle.keep_alive = False  # the previous request is answered first
            elif self._in_headers:
                text = f"the request's headers took longer than {limits.header_seconds:g} s to arrive"
                self._refuse(408, text, "timeout", linger=linger)
            else:
                self._close()

        def _close(self) -> None:
            open_.discard(self)  # close now, to make room for the next one
            self._stop_waiting()
            self.transport.close()

        def send_400_response(self, msg: str) -> None:
            """Answer a request that cannot be parsed or is too large."""
            if self._header_bytes > limits.header_bytes:
                text = f"the request's headers exceed this server's limit of {limits.header_bytes} bytes"
                self._refuse(431, text, "too_large")
            else:
                self._refuse(400, "the request is not valid HTTP", "invalid_request_error")

        def _refuse(self, status: int, message: str, kind: str, *, linger: bool = True) -> None:
            self._stop_waiting()
            self._refused = True
            headers, body = error_answer(status, message, kind)
            request_id = new_id()
            headers.append((HEADER, request_id.encode()))
            write_access(
                "other",
                "other",
                status,
                began=time.perf_counter(),
                bytes_in=self._header_bytes,
                bytes_out=len(body),
                request_id=request_id,
            )
            lines = [name + b": " + value + b"\r\n" for name, value in headers]
            self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", body]))
            if linger:
                self.transport.write_eof()
                self.loop.call_later(_LINGER, self.transport.abort)
            else:
                self._close()

        # Answers

        def pause_writing(self) -> None:
            """The client reads more slowly than the server writes; it gets the time limit of a request for the rest."""
            super().pause_writing()
            self._reading_due.start()

        def resume_writing(self) -> None:
            super().resume_writing()
            self._reading_due.stop()

    return Connection


class _Timer:
    """A timer that calls a function once, unless it is stopped; starting it again has no effect."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, call: Callable[[], object]) -> None:
        self._start = partial(loop.call_later, seconds, call)
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._handle = self._handle or self._start()

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


def _room(connections: int) -> int:
    """How many of the requested ``connections`` the process can open; raises its limit of open files if needed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + _DESCRIPTORS
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return connections
    found = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (found, hard))
    if found < needed:
        say_once(
            f"this process may open {found} files, so the server accepts at most {found - _DESCRIPTORS} "
            f"connections instead of {connections}; to raise the limit: ulimit -n {needed}"
        )
    return max(1, found - _DESCRIPTORS)
