"""What is answered without FastAPI's routing is answered as by FastAPI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from simcse_kit import SentenceIndex
from simcse_kit.serving import Limits, create_app

PLAIN, WITH_CHARSET = "application/json", "application/json; charset=utf-8"  # the second is left to FastAPI


@pytest.fixture
def client(index: SentenceIndex) -> Iterator[TestClient]:
    limits = Limits(json_tokens=40, sentences=4, body_bytes=2000)
    app = create_app({"things": index}, {"tiny": index.model}, limits=limits)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as made:
        yield made


def answer_of(client: TestClient, path: str, body: bytes, kind: str) -> tuple[int, Any, dict[str, str]]:
    answer = client.post(path, content=body, headers={"content-type": kind})
    found = answer.json()
    if isinstance(found, dict):
        found.pop("milliseconds", None)
    headers = {name: value for name, value in answer.headers.items() if name != "content-length"}  # of milliseconds
    return answer.status_code, found, headers


BODIES: list[Any] = [
    {"model": "tiny", "input": "a cat"},
    {"model": "tiny", "input": ["a cat", "a dog"], "encoding_format": "base64", "user": "ignored"},
    {"model": "tiny", "input": [[1, 2]]},
    {"model": "tiny", "input": ""},
    {"model": "none", "input": "a"},
    {"model": "tiny", "input": "a", "dimensions": 0},
    {"model": "tiny"},
    {"inputs": "a cat", "normalize": None},
    {"inputs": ["a", 1, 2]},
    {"inputs": "a", "unknown": 1},
    {"inputs": "a", "normalize": "yes"},
    {"sentences": ["a", "b"], "others": ["c"]},
    {"queries": ["a cat"], "k": 2},
    {"queries": "a", "k": 0, "threshold": 2},
    {"id": 3, "k": 2},
    {},
    [],
    None,
    "text",
    5,
    ["x"] * 100,
]
RAW = [b"", b" ", b"{", b"\xff", b'"\\ud800"', b"NaN", b"x" * 4000]


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embed", "/", "/similarity", "/search", "/similar"])
def test_the_answer_is_fastapis(path: str, client: TestClient) -> None:
    for body in [*(json.dumps(body).encode() for body in BODIES), *RAW]:
        one, other = (answer_of(client, path, body, kind) for kind in (PLAIN, WITH_CHARSET))
        assert one == other, body


def test_fastapi_is_asked_only_for_what_is_unusual(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    handle = APIRoute.handle

    def seeing(route: APIRoute, *given: Any) -> Any:
        seen.append(route.path)
        return handle(route, *given)

    monkeypatch.setattr(APIRoute, "handle", seeing)
    body = json.dumps({"inputs": "a cat"}).encode()
    assert answer_of(client, "/embed", body, PLAIN)[0] == 200
    assert seen == []
    assert answer_of(client, "/embed", body, WITH_CHARSET)[0] == 200
    assert client.get("/embed").status_code == 405
    assert seen[0] == "/embed"
