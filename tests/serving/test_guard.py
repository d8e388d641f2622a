"""Who may ask, from where, for how long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from simcse_kit import SimCSE
from simcse_kit.serving import Limits, ServeError, check_access, create_app

KEY = "s3cret-key"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_this_machine_needs_no_key(host: str) -> None:
    check_access(host, None, no_auth=False)


def test_beyond_this_machine_a_key_is_needed() -> None:
    with pytest.raises(ServeError, match=r"--api-key KEY .* or --no-auth"):
        check_access("0.0.0.0", None, no_auth=False)
    check_access("0.0.0.0", KEY, no_auth=False)
    check_access("0.0.0.0", None, no_auth=True)


@pytest.mark.parametrize("key", ["", "two words", "k\u00e9y", "line\n"])
def test_keys_that_no_header_carries(key: str) -> None:
    with pytest.raises(ServeError, match="printable ASCII"):
        check_access("127.0.0.1", key, no_auth=False)


@pytest.fixture
def ask(model: SimCSE) -> Callable[..., Any]:
    def make(**given: Any) -> TestClient:
        return TestClient(create_app(models={"tiny": model}, **given), base_url="http://localhost")

    return make


@pytest.mark.parametrize(
    "header", [None, "", KEY, f"Basic {KEY}", "Bearer", "Bearer wrong", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}"]
)
def test_without_the_key_nothing_is_told(ask: Callable[..., Any], header: str | None) -> None:
    with ask(api_key=KEY) as client:
        headers = {} if header is None else {"authorization": header}
        for path in ("/v1/embeddings", "/embed", "/search", "/similarity", "/similar", "/add"):
            answer = client.post(path, json={"inputs": "a"}, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert KEY not in answer.text
        for path in ("/info", "/metrics", "/map", "/v1/models", "/nothing"):
            assert client.get(path, headers=headers).status_code == 401
        for path in ("/health", "/docs", "/openapi.json"):
            assert client.get(path, headers=headers).status_code == 200


def test_with_the_key_all_is(ask: Callable[..., Any]) -> None:
    with ask(api_key=KEY) as client:
        for scheme in ("Bearer", "bearer"):
            assert client.post("/embed", json={"inputs": "a"}, headers={"authorization": f"{scheme} {KEY}"}).is_success


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", "10.0.0.1"])
def test_a_foreign_name_of_this_machine_is_not_answered(ask: Callable[..., Any], host: str) -> None:
    """DNS rebinding: a page of evil.example whose name has become 127.0.0.1."""
    with ask() as client:
        assert client.get("/health", headers={"host": host}).status_code == 403
        assert client.get("/health", headers={"host": "localhost:8000"}).status_code == 200
        assert client.get("/health", headers={"host": "[::1]:8000"}).status_code == 200
    with ask(host="0.0.0.0") as client:
        assert client.get("/health", headers={"host": host}).status_code == 200


def test_another_sites_page_may_not_ask(ask: Callable[..., Any]) -> None:
    with ask() as client:
        for origin in ("https://evil.example", "null", "http://localhost:1"):
            answer = client.post("/embed", json={"inputs": "a"}, headers={"origin": origin})
            assert answer.status_code == 403
        assert client.post("/embed", json={"inputs": "a"}, headers={"origin": "http://localhost"}).is_success
        plain = client.post("/embed", content=b'{"inputs": "a"}', headers={"content-type": "text/plain"})
        assert plain.status_code == 422  # what a form of another site could send


def test_every_answer_bears_the_headers(ask: Callable[..., Any]) -> None:
    with ask() as client:
        for path in ("/health", "/nothing", "/docs", "/metrics"):
            headers = client.get(path).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["content-security-policy"].startswith("default-src 'none'")
            assert "server" not in headers


def test_what_takes_too_long_ends(ask: Callable[..., Any], model: SimCSE, monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    encode = SimCSE.encode
    monkeypatch.setattr(SimCSE, "encode", lambda *args, **named: (held.wait(5), encode(*args, **named))[1])
    with ask(limits=Limits(seconds=0.3)) as client:
        answer = client.post("/embed", json={"inputs": "a"})
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert "took longer than 0.3 s" in answer.json()["error"]["message"]
        held.set()
        assert client.post("/embed", json={"inputs": "a"}).is_success


def test_a_full_queue_says_when_to_come_back(
    ask: Callable[..., Any], model: SimCSE, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, held = threading.Event(), threading.Event()
    encode = SimCSE.encode

    def slow(*args: Any, **named: Any) -> Any:
        started.set()
        held.wait(60)
        return encode(*args, **named)

    monkeypatch.setattr(SimCSE, "encode", slow)
    with ask(limits=Limits(queue=4, sentences=4)) as client:
        statuses: list[int] = []

        def one() -> None:
            statuses.append(client.post("/embed", json={"inputs": ["a", "b"]}).status_code)

        threads = [threading.Thread(target=one) for _ in range(8)]
        threads[0].start()
        assert started.wait(60)
        for thread in threads[1:]:
            thread.start()
        refused = 5  # one is with the model, two of the seven others fill the queue
        for _ in range(600):
            if len(statuses) == refused:
                break
            time.sleep(0.1)
        answer = client.post("/embed", json={"inputs": ["a", "b"]})
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "1"
        held.set()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [200] * 3 + [429] * refused
        assert client.post("/embed", json={"inputs": "a"}).is_success


def test_an_error_of_ours_tells_nothing(ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **named: Any) -> Any:
        raise RuntimeError("the secret of /home/somebody")

    monkeypatch.setattr(SimCSE, "encode", broken)
    with ask() as client:
        answer = client.post("/embed", json={"inputs": "a"})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["error"]["type"] == "server_error"
