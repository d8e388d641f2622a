"""A server for tests: the command in a new process, or an application in a thread."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from time import monotonic, sleep
from typing import Any

import httpx
import psutil
import pytest
import uvicorn
from fastapi import FastAPI

from simcse_kit.serving import Started, serve

ROOT = Path(__file__).parents[2]


class Running:
    """A serving command, and its output."""

    def __init__(self, process: subprocess.Popen[str], url: str, said: list[str]) -> None:
        self.process = process
        self.url = url
        self.said = said  # lines of its standard error, so far
        self.line = said[-1]  # the line with its address

    def post(self, path: str, *, seconds: float = 60, **body: Any) -> httpx.Response:
        """Send JSON."""
        return httpx.post(self.url + path, json=body, timeout=seconds)

    def get(self, path: str, **more: Any) -> httpx.Response:
        """Read."""
        return httpx.get(self.url + path, timeout=60, **more)

    def connect(self) -> socket.socket:
        """A connection without data sent yet."""
        host, port = self.url.removeprefix("http://").rsplit(":", 1)
        return socket.create_connection((host, int(port)), timeout=60)

    def memory(self) -> float:
        """MiB that the process and its children hold."""
        root = psutil.Process(self.process.pid)
        return sum(one.memory_info().rss for one in (root, *root.children(recursive=True))) / 2**20

    def wait_for_line(self, text: str, number: int = 1) -> None:
        """Wait until it has printed the text ``number`` times."""
        wait_until(lambda: sum(text in line for line in self.said) >= number, f"{text!r} in {self.said}")


def _listen_to_hangup() -> None:
    """Where the tests run under nohup, a new process would ignore it."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@contextmanager
def running(
    *arguments: str, command: str = "serve", folder: Path | None = None, **environment: str
) -> Iterator[Running]:
    """``simcse-kit serve`` on a free port, once it answers; killed at the end where it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "simcse_kit", command, *arguments],
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "300"}
        | environment,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        preexec_fn=_listen_to_hangup,
    )
    assert process.stderr is not None
    said: list[str] = []
    try:
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"(http://\S+?)[ ,)]", line):
                break
        else:
            pytest.fail("".join(said))
        started = Running(process, found[1], said)
        threading.Thread(target=lambda: said.extend(iter(process.stderr.readline, "")), daemon=True).start()  # type: ignore[union-attr]
        yield started
    finally:
        process.kill()
        process.wait()


@contextmanager
def in_thread(*served: Any, **settings: Any) -> Iterator[Started]:
    """`serve` in a thread of this process, once everything is loaded; it ends afterwards."""
    servers: list[uvicorn.Server] = []
    loaded: Queue[Started] = Queue()

    def work() -> None:
        run = uvicorn.Server.run

        def noted(server: uvicorn.Server, sockets: list[socket.socket] | None = None) -> None:
            servers.append(server)
            run(server, sockets)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(uvicorn.Server, "run", noted)
            serve(*served, port=0, on_start=loaded.put, **settings)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield loaded.get(timeout=60)
    finally:
        servers[0].should_exit = True
        thread.join(60)


def only_loading(monkeypatch: pytest.MonkeyPatch) -> list[FastAPI]:
    """From now on a server loads, and ends without a request: the applications that were loaded."""
    loaded: list[FastAPI] = []

    def run(server: Any, sockets: list[socket.socket]) -> None:
        asyncio.run(server._load())
        if server.failure is None:
            loaded.append(server._app._running._app)

    monkeypatch.setattr("uvicorn.Server.run", run)
    return loaded


def wait_until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Wait for a condition; the error names the condition."""
    until = monotonic() + seconds
    while not condition():
        assert monotonic() < until, f"in vain: {what}"
        sleep(0.02)
