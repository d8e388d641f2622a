"""Access: who, from where, and for how long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from simcse_kit import SimCSE
from simcse_kit.serving import Limits, ServeError, check_access, create_app, read_api_keys

KEY = "s3cret-key"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_this_machine_needs_no_key(host: str) -> None:
    check_access(host, None, no_auth=False)


def test_beyond_this_machine_a_key_is_needed() -> None:
    with pytest.raises(ServeError, match=r"--api-key-file FILE or the variable SIMCSE_KIT_API_KEY, .* --no-auth"):
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
    """DNS rebinding: a page of evil.example, whose name now resolves to 127.0.0.1."""
    with ask() as client:
        assert client.get("/health", headers={"host": host}).status_code == 403
        assert client.get("/health", headers={"host": "localhost:8000"}).status_code == 200
        assert client.get("/health", headers={"host": "[::1]:8000"}).status_code == 200
    with ask(host="0.0.0.0") as client:
        assert client.get("/health", headers={"host": host}).status_code == 200


def test_behind_a_proxy_its_name_is_allowed(ask: Callable[..., Any]) -> None:
    """nginx sends its upstream's name as Host, or with `proxy_set_header Host $host` its own; Origin is its own."""
    name = "search.example.org"
    with ask(allowed_hosts=["Search.Example.org"]) as client:
        for host in ("127.0.0.1:8000", name, f"{name}:8443"):
            headers = {"host": host, "origin": f"https://{name}"}
            assert client.post("/embed", json={"inputs": "a"}, headers=headers).is_success
            headers["origin"] = f"https://evil.{name}"
            assert client.post("/embed", json={"inputs": "a"}, headers=headers).status_code == 403
        refused = client.get("/health", headers={"host": "evil.example"})
        assert refused.status_code == 403
        assert "--allowed-host" in refused.json()["error"]["message"]
    with ask(host="0.0.0.0", allowed_hosts=[name]) as client:  # where names are given, they are all there are
        assert client.get("/health", headers={"host": "evil.example"}).status_code == 403
        assert client.get("/health", headers={"host": name}).is_success


@pytest.mark.parametrize("prefix", ["", "/tickets"])
def test_under_a_path_of_a_proxy_that_removes_it_or_not(ask: Callable[..., Any], prefix: str) -> None:
    with ask(root_path="/tickets", api_key=KEY) as client:
        assert client.get(f"{prefix}/health").is_success
        assert client.post(f"{prefix}/embed", json={"inputs": "a"}).status_code == 401
        headers = {"authorization": f"Bearer {KEY}"}
        assert client.post(f"{prefix}/embed", json={"inputs": "a"}, headers=headers).is_success
        assert client.get(f"{prefix}/openapi.json").json()["servers"] == [{"url": "/tickets"}]
        assert '"/tickets/openapi.json"' in client.get(f"{prefix}/docs").text.replace("'", '"')
        assert client.get("/ticketsandmore").status_code == 401
        assert 'path="/embed"' in client.get(f"{prefix}/metrics", headers=headers).text


@pytest.mark.parametrize("path", ["search", "/search/", "/"])
def test_a_root_path_is_one(ask: Callable[..., Any], path: str) -> None:
    with pytest.raises(ServeError, match="starts with a slash and does not end with one"):
        ask(root_path=path)


def test_any_of_several_keys_will_do(ask: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"# of the shop\n{KEY}\n\n  other-key  \n", encoding="utf-8")
    keys = read_api_keys(tmp_path / "keys")
    assert keys == [KEY, "other-key"]
    with ask(api_key=keys) as client:
        for key, status in ((KEY, 200), ("other-key", 200), ("# of the shop", 401), ("", 401)):
            assert client.get("/info", headers={"authorization": f"Bearer {key}"}).status_code == status


@pytest.mark.parametrize("content", [None, "", "# nothing\n", b"\xff\xfe"])
def test_a_file_without_keys_opens_no_server(tmp_path: Path, content: str | bytes | None) -> None:
    if content is not None:
        (tmp_path / "keys").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ServeError, match=r"keys does not exist|cannot read the API keys|holds no API key"):
        read_api_keys(tmp_path / "keys")


def test_a_key_opens_what_may_be_read_only(ask: Callable[..., Any]) -> None:
    """`POST /` is text-embeddings-inference's; that the page is open does not open it."""
    with ask(api_key=KEY) as client:
        for path in ("/", "/health", "/docs", "/openapi.json"):
            assert client.post(path, json={"inputs": "a"}).status_code == 401
        for path in ("/health", "/docs", "/openapi.json"):
            assert client.head(path).status_code == 200
        assert client.head("/info").status_code == 401


def test_head_is_get_without_its_body(ask: Callable[..., Any]) -> None:
    with ask() as client:
        for path in ("/health", "/info", "/docs", "/v1/models", "/metrics", "/nothing", "/search"):
            got, headed = client.get(path), client.head(path)
            assert headed.status_code == got.status_code
            assert headed.content == b""
            assert headed.headers["content-type"] == got.headers["content-type"]
        assert 'method="HEAD"' in client.get("/metrics").text


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
    encode = SimCSE.embed_here
    with ask(limits=Limits(seconds=0.3)) as client:
        monkeypatch.setattr(SimCSE, "embed_here", lambda *args: (held.wait(5), encode(*args))[1])
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
    encode = SimCSE.embed_here

    def slow(*args: Any) -> Any:
        started.set()
        held.wait(60)
        return encode(*args)

    with ask(limits=Limits(queue=4, sentences=4)) as client:
        monkeypatch.setattr(SimCSE, "embed_here", slow)
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

    with ask() as client:
        monkeypatch.setattr(SimCSE, "embed_here", broken)
        answer = client.post("/embed", json={"inputs": "a"})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["error"]["type"] == "server_error"
