"""A server with clients that send too much, too slowly, no text, or that do not read: it answers the others."""

from __future__ import annotations

import json
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from support.server import Running, running, wait_until

pytestmark = pytest.mark.slow

SLOW_CLIENTS = 2000
PARTIAL = b"POST /embed HTTP/1.1\r\nHost: localhost\r\nX-Slow: "


@pytest.fixture(scope="module")
def server(model_folder: Path) -> Iterator[Running]:
    with running(str(model_folder), "--port", "0") as started:
        yield started


@contextmanager
def many_descriptors() -> Iterator[None]:
    """As many as the sockets of the test allow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = SLOW_CLIENTS + 500
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"needs {needed} open files; at most {hard} are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def answer_of(connection: socket.socket) -> bytes:
    """What the server sent before it closed the connection."""
    said = b""
    try:
        while part := connection.recv(4096):
            said += part
    except ConnectionResetError:
        pass
    return said


def test_clients_that_send_headers_slowly_are_let_go(server: Running) -> None:
    """More than the limit of connections; the others are always answered, and in the end all are closed."""
    with many_descriptors():
        clients: list[socket.socket] = []
        for _ in range(SLOW_CLIENTS):
            clients.append(server.connect())
            clients[-1].sendall(PARTIAL)  # a client that has sent nothing gets no answer
        began, worst = time.monotonic(), 0.0
        while time.monotonic() < began + 12:  # they have 10 s
            for client in clients[::50]:
                with suppress(OSError):
                    client.send(b"x")
            asked = time.monotonic()
            assert server.post("/embed", inputs="a").is_success
            worst = max(worst, time.monotonic() - asked)
            time.sleep(0.2)
        assert worst < 5
        answers = [answer_of(client) for client in clients]
        for client in clients:
            client.close()
    assert sum(answer.startswith(b"HTTP/1.1 408 ") for answer in answers) > SLOW_CLIENTS * 0.9
    assert server.get("/health").is_success


def test_an_idle_connection_ends_too(server: Running) -> None:
    """A client that sends nothing, and one that sends no valid request after an answer."""
    with server.connect() as silent, server.connect() as dripping:
        dripping.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in dripping.recv(4096)
        began = time.monotonic()
        silent.settimeout(20)
        assert answer_of(silent) == b""
        dripping.settimeout(0.5)
        ended = False
        while not ended and time.monotonic() < began + 40:
            try:
                dripping.sendall(b"\r\n")
                ended = dripping.recv(4096) == b""
            except TimeoutError:
                pass
            except OSError:
                ended = True
        assert ended


@pytest.mark.parametrize("pieces", [1, 40])
@pytest.mark.parametrize("header", [b"X-Long: " + b"x" * 100_000, b"\r\n".join(b"X-%d: y" % n for n in range(20_000))])
def test_large_headers_are_refused(server: Running, header: bytes, pieces: int) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\n"
    with server.connect() as client:
        step = len(request) // pieces + 1
        try:
            for at in range(0, len(request), step):
                client.sendall(request[at : at + step])
        except OSError:
            pass  # rejected before its end
        answer = answer_of(client)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"limit of 65536 bytes" in answer
    assert b"x-content-type-options: nosniff" in answer
    assert server.get("/health", headers={"x-long": "x" * 60_000}).is_success


def test_what_is_not_http_is_refused_in_the_form_of_all_errors(server: Running) -> None:
    with server.connect() as client:
        client.sendall(b"\x16\x03\x01 this is TLS\r\n\r\n")
        head, _, body = answer_of(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"]["message"] == "the request is not valid HTTP"


@pytest.mark.parametrize(
    ("path", "head", "item", "tail"),
    [
        ("/search", b'{"queries": [', b"1", b"]}"),
        ("/embed", b'{"inputs": [', b"{}", b"]}"),
        ("/add", b'{"sentences": ["a"], "ids": [', b"null", b"]}"),
        ("/add", b'{"sentences": ["a"], "metadata": [', b"[]", b"]}"),
        ("/v1/embeddings", b'{"model": "m", "input": [', b'{"":[]}', b"]}"),
        ("/similarity", b'{"sentences": ["a"], ', b'"":1', b"}"),
    ],
)
def test_a_body_of_wrong_items_costs_little(server: Running, path: str, head: bytes, item: bytes, tail: bytes) -> None:
    """8 MB of them took 68 s and 5.5 GB."""
    count = (8 * 10**6 - len(head) - len(tail)) // (len(item) + 1)
    body = head + (item + b",") * (count - 1) + item + tail
    before = server.memory()
    began = time.monotonic()
    answer = httpx.post(server.url + path, content=body, headers={"content-type": "application/json"}, timeout=60)
    assert answer.status_code in (413, 422)
    assert len(answer.content) < 1000
    assert time.monotonic() - began < 10
    assert server.memory() - before < 200


@pytest.mark.parametrize("half", ["\\ud800", "\\udfff", "\\ud83d \\ude00"])
@pytest.mark.parametrize("path", ["/v1/embeddings", "/embed", "/", "/search", "/similar", "/similarity", "/add"])
def test_half_of_a_surrogate_pair_is_the_clients_error(server: Running, path: str, half: str) -> None:
    field = {"/v1/embeddings": "input", "/search": "queries", "/similar": "id"}.get(path, "inputs")
    for body in (f'{{"{field}": "{half}"}}', f'{{"{half}": "a"}}', f'{{"filter": {{"a": "{half}"}}}}'):
        answer = httpx.post(server.url + path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 422
        assert answer.json()["error"]["message"]


def test_a_client_that_does_not_read_is_cut_off(model_folder: Path) -> None:
    """Answers that exceed the system's buffer are dropped after the time limit of a request."""
    with running(str(model_folder), "--port", "0", "--timeout", "2") as server, server.connect() as client:
        client.sendall(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
        assert _connections(server) == 1
        wait_until(lambda: not _connections(server), "the connection is closed", 20)
        assert server.get("/health").is_success


def _connections(server: Running) -> int:
    """Accepted connections that are still open."""
    open_ = psutil.Process(server.process.pid).net_connections(kind="tcp")
    return sum(one.status == psutil.CONN_ESTABLISHED for one in open_)


def test_many_at_once_are_answered_or_told_to_wait(server: Running) -> None:
    statuses: list[int] = []

    def ask(number: int) -> None:
        statuses.append(server.post("/embed", inputs=[f"a {number}"] * 300, truncate=True).status_code)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert set(statuses) <= {200, 429}
    assert 200 in statuses
