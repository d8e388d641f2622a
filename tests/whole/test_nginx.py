"""nginx with the configuration of ``examples/deploy`` before a real server."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from simcse_kit import SentenceIndex, SimCSE
from simcse_kit.serving.settings import Limits
from support.deploy import DEPLOY
from support.server import Running, running, wait_until

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
SITE = {"Host": "search.example.org"}

pytestmark = [pytest.mark.slow, pytest.mark.skipif(NGINX is None, reason="needs nginx (apt install nginx-light)")]


def _ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def ports() -> tuple[int, int]:
    """nginx's and the server's."""
    first, second = _ports(2)
    return first, second


@pytest.fixture(scope="module")
def nginx(ports: tuple[int, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """nginx's address."""
    folder = tmp_path_factory.mktemp("nginx")
    snippet = (DEPLOY / "nginx.conf").read_text()
    snippet = snippet.replace("listen 80;", f"listen 127.0.0.1:{ports[0]};")
    (folder / "snippet.conf").write_text(snippet.replace("127.0.0.1:8000", f"127.0.0.1:{ports[1]}"))
    paths = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; worker_processes 1; pid {folder}/pid; error_log stderr;\n"
        f"events {{}}\nhttp {{ access_log off; {paths} include {folder}/snippet.conf; }}\n"
    )
    command = [str(NGINX), "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    process = subprocess.Popen(command)
    url = f"http://127.0.0.1:{ports[0]}"
    try:
        wait_until(lambda: _status(url + "/") is not None, "nginx listens")
        yield url
    finally:
        process.terminate()
        process.wait()


def _status(url: str) -> int | None:
    try:
        return httpx.get(url, headers=SITE, timeout=10).status_code
    except httpx.HTTPError:
        return None


@pytest.fixture(scope="module")
def served(
    nginx: str,
    ports: tuple[int, int],
    model: SimCSE,
    sentences: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Running, list[int | None]]]:
    """The server behind nginx, and nginx' answers from before the server's start until it was ready."""
    index = tmp_path_factory.mktemp("served") / "tickets"
    SentenceIndex.build(model, sentences).save(index)
    found: list[int | None] = [_status(f"{nginx}/tickets/health")]

    def ask() -> None:
        until = time.monotonic() + 120
        while found[-1] != 200 and time.monotonic() < until:
            found.append(_status(f"{nginx}/tickets/health"))
            time.sleep(0.05)

    asking = threading.Thread(target=ask)
    asking.start()
    arguments = [str(index), "--config", str(DEPLOY / "serve.toml"), "--port", str(ports[1])]
    with running(*arguments) as server:
        asking.join()
        yield server, found


def test_a_slow_start_is_502_then_503_then_200(served: tuple[Running, list[int | None]]) -> None:
    found = served[1]
    assert (found[0], found[-1]) == (502, 200)
    assert 503 in found
    assert found == sorted(found, key=[502, 503, 200].index)


def test_a_search_goes_through(nginx: str, served: object, sentences: list[str]) -> None:
    answer = httpx.post(f"{nginx}/tickets/search", json={"queries": sentences[3], "k": 1}, headers=SITE, timeout=60)
    assert answer.status_code == 200
    assert answer.json()["hits"][0][0]["text"] == sentences[3]


def test_the_page_works_under_its_path(nginx: str, served: object) -> None:
    page = httpx.get(f"{nginx}/tickets", headers=SITE, follow_redirects=False)
    assert (page.status_code, page.headers["location"].endswith("/tickets/")) == (308, True)
    page = httpx.get(f"{nginx}/tickets/", headers=SITE)
    assert "<title>" in page.text
    assert not re.findall(r"""(?:fetch|src|href)[(=]\s*["'`]/""", page.text)  # what it asks for is below it
    origin = {**SITE, "Origin": "http://search.example.org"}
    assert httpx.get(f"{nginx}/tickets/info", headers=origin).status_code == 200
    assert "/tickets/docs/swagger-ui-bundle.js" in httpx.get(f"{nginx}/tickets/docs", headers=SITE).text
    assert httpx.get(f"{nginx}/tickets/info", headers={"Host": "elsewhere.example"}).status_code == 403


def test_a_body_over_the_limit_is_413_and_one_below_is_read(nginx: str, served: object) -> None:
    def post(size: int) -> int:
        body = json.dumps({"inputs": "a"})
        return httpx.post(
            f"{nginx}/tickets/embed",
            content=body + " " * (size - len(body)),
            headers={**SITE, "content-type": "application/json"},
            timeout=60,
        ).status_code

    most = Limits().body_bytes
    assert [post(most), post(most + 1)] == [200, 413]


@pytest.mark.parametrize("given", ["mine-1", None, "not sane"])
def test_both_logs_and_the_answer_have_one_id(
    given: str | None, nginx: str, served: tuple[Running, list[int | None]]
) -> None:
    more = {} if given is None else {"X-Request-ID": given}
    found = httpx.get(f"{nginx}/tickets/info", headers={**SITE, **more}).headers.get_list("x-request-id")
    assert len(found) == 1
    assert found == [given] if given == "mine-1" else re.fullmatch("[0-9a-f]{32}", found[0])
    served[0].wait_for_line(f'"request_id": "{found[0]}"')
    line = json.loads(next(line for line in served[0].said if found[0] in line))
    assert (line["method"], line["route"], line["status"]) == ("GET", "/info", 200)


def test_connections_are_kept(nginx: str, served: tuple[Running, list[int | None]]) -> None:
    for _ in range(20):
        assert _status(f"{nginx}/tickets/health") == 200
    connections = psutil.Process(served[0].process.pid).net_connections()
    assert 1 <= sum(one.status == psutil.CONN_ESTABLISHED for one in connections) < 10
    assert sum(one.status == psutil.CONN_CLOSE_WAIT for one in connections) == 0
