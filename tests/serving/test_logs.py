"""Requests have an id and a log line; no line contains a text, a query or a key."""

from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from simcse_kit import SentenceIndex
from simcse_kit.serving import create_app
from simcse_kit.serving.logs import Requests, access, log_to_stderr
from simcse_kit.serving.reloading import Reloading
from support.server import in_thread

KEY = "very-secret-key"
SECRETS = (KEY, "confidential query", "confidential text", "confidential-id")


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What standard error has got since it was asked last; the loggers are afterwards as they were."""
    loggers = [logging.getLogger(name) for name in ("simcse_kit", "uvicorn", access.name)]
    before = [(one.handlers, one.propagate, one.level) for one in loggers]
    yield lambda: capsys.readouterr().err
    for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def client_of(index: SentenceIndex, **settings: Any) -> TestClient:
    app = create_app({"things": index}, host="testserver", **settings)
    return TestClient(Requests(app), raise_server_exceptions=False)


@pytest.mark.parametrize("given", ["abc", "0123456789abcdef" * 4, "a.b-c_D"])
def test_a_sane_id_comes_back(given: str, index: SentenceIndex) -> None:
    with client_of(index) as client:
        assert client.get("/health", headers={"X-Request-ID": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", [None, "", "a" * 65, "a b", 'a"b', "a\tb", "é".encode()])
def test_another_is_replaced(given: Any, index: SentenceIndex) -> None:
    with client_of(index) as client:
        answers = [client.get("/health", headers={} if given is None else {"X-Request-ID": given}) for _ in range(2)]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)
    assert ids[0] != ids[1]


def test_errors_have_it_too(index: SentenceIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any, **more: Any) -> Any:
        raise RuntimeError("broken")

    with client_of(index, api_key=KEY) as client:
        key = {"Authorization": f"Bearer {KEY}", "X-Request-ID": "mine"}
        monkeypatch.setattr("simcse_kit.serving.state.ServerState.hits", fail)
        asked = {
            401: client.post("/search", json={"queries": "x"}, headers={"X-Request-ID": "mine"}),
            404: client.get("/nothing", headers=key),
            422: client.post("/search", json={"wrong": 1}, headers=key),
            500: client.post("/search", json={"queries": "x"}, headers=key),
        }
    assert {status: answer.status_code for status, answer in asked.items()} == {one: one for one in asked}
    assert {answer.headers["x-request-id"] for answer in asked.values()} == {"mine"}


def test_a_server_that_loads_answers_with_it(written: Callable[[], str]) -> None:
    log_to_stderr("json", requests=True)
    client = TestClient(Requests(Reloading(lambda: None, 1)))  # type: ignore[arg-type,return-value]
    answer = client.get("/health", headers={"X-Request-ID": "mine"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (503, "mine")
    client.get("/documents/confidential-id")
    assert [json.loads(line)["route"] for line in written().splitlines()] == ["/health", "other"]


def test_what_is_no_http_is_answered_and_written_down_too(index: SentenceIndex, written: Callable[[], str]) -> None:
    log_to_stderr("json", requests=True)
    with in_thread({"things": index}) as started:
        host, port = started.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(b"confidential text\r\n\r\n")
            answer = connection.makefile("rb").read().decode()
    said = written()
    (refused,) = [line for line in map(json.loads, said.splitlines()) if line.get("status") == 400]
    assert f"x-request-id: {refused['request_id']}" in answer
    assert "confidential" not in said


def test_a_line_says_who_asked_what_for_how_long(index: SentenceIndex, written: Callable[[], str]) -> None:
    log_to_stderr("json", requests=True)
    with client_of(index) as client:
        answer = client.post("/search", json={"queries": "x", "k": 2}, headers={"X-Request-ID": "one"})
        client.get("/health?secret=1", headers={"X-Request-ID": "two"})
        client.head("/health", headers={"X-Request-ID": "three"})
    first, second, third = (json.loads(line) for line in written().splitlines())
    sent = answer.request.read()
    assert 0 < first.pop("milliseconds") < 60_000
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "kind": "access",
        "request_id": "one",
        "method": "POST",
        "route": "/search",
        "status": 200,
        "bytes_in": len(sent),
        "bytes_out": len(answer.content),
    }
    assert (second["request_id"], second["route"], second["bytes_in"]) == ("two", "/health", 0)
    assert (third["method"], third["bytes_out"]) == ("HEAD", 0)


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_line_holds_a_text_a_query_or_a_key(
    form: Any, index: SentenceIndex, written: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log_to_stderr(form, requests=True)
    logging.getLogger("simcse_kit").setLevel(logging.DEBUG)
    with client_of(index, api_key=KEY, writable=True) as client:
        key = {"Authorization": f"Bearer {KEY}"}
        query, text = {"queries": "confidential query"}, {"sentences": ["confidential text"]}
        wrong = {"Authorization": f"Bearer {KEY}x", "X-Request-ID": f"{KEY} "}
        found = [
            client.post("/search", json=query, headers=key),
            client.post("/search", json={**query, "filter": {"confidential query": 1}}, headers=key),
            client.post("/add", json=text, headers=key),
            client.post("/embed", json={"inputs": "confidential text"}, headers=wrong),
            client.post("/similar", json={"id": "confidential-id"}, headers=key),
            client.get("/documents/confidential-id", headers=key),
            client.get("/search?q=confidential%20query", headers=key),
            client.post("/search", content=b'{"queries": "confidential query', headers=key),
        ]

        def fail(self: Any, k: int, queries: int = 1) -> int:
            raise RuntimeError(SECRETS[1])

        monkeypatch.setattr("simcse_kit.serving.state.ServerState.hits", fail)
        found.append(client.post("/search", json=query, headers=key))
    assert {200, 401, 404, 422, 500} <= {answer.status_code for answer in found}
    said = written()
    assert said.count("/search") >= 4
    assert "RuntimeError" in said  # with a traceback
    assert "in fail" in said
    assert [secret for secret in SECRETS if secret in said] == []


def test_without_being_asked_no_request_is_written_down(index: SentenceIndex, written: Callable[[], str]) -> None:
    log_to_stderr("text", requests=False)
    with client_of(index) as client:
        client.get("/health")
    assert written() == ""
