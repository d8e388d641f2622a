"""Request bodies: bodies that are too large or not text are rejected before they become objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from simcse_kit import SentenceIndex
from simcse_kit.serving import Limits, create_app
from simcse_kit.serving.bodies import has_more_tokens

ROUTES = [
    ("/v1/embeddings", {"model": "tiny"}, "input"),
    ("/embed", {}, "inputs"),
    ("/", {}, "inputs"),
    ("/similarity", {}, "sentences"),
    ("/search", {}, "queries"),
    ("/add", {}, "sentences"),
    ("/add", {"sentences": ["a"]}, "ids"),
]


@pytest.fixture
def client(index: SentenceIndex) -> Iterator[TestClient]:
    app = create_app({"things": index}, {"tiny": index.model}, limits=Limits(json_tokens=3000), writable=True)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as made:
        yield made


def send(client: TestClient, path: str, body: bytes) -> tuple[int, str]:
    answer = client.post(path, content=body, headers={"content-type": "application/json"})
    return answer.status_code, answer.json()["error"]["message"]


def _tokens(value: Any) -> int:
    """Strings, opening brackets and commas of a value's JSON."""
    if isinstance(value, str):
        return 1
    if isinstance(value, list):
        return 1 + max(0, len(value) - 1) + sum(map(_tokens, value))
    if isinstance(value, dict):
        return 1 + max(0, len(value) - 1) + len(value) + sum(map(_tokens, value.values()))
    return 0


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(alphabet='ab,"\\[{\n\u00e9\U0001f600'),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='a,"\\'), inner, max_size=4),
        max_leaves=20,
    )
)
def test_tokens_are_counted_outside_of_strings(value: Any) -> None:
    body, tokens = json.dumps(value).encode(), _tokens(value)
    assert not has_more_tokens(body, tokens)
    assert tokens == 0 or has_more_tokens(body, tokens - 1)


@pytest.mark.parametrize(("path", "more", "field"), ROUTES)
def test_of_many_wrong_items_the_first_is_named(
    client: TestClient, path: str, more: dict[str, Any], field: str
) -> None:
    items = ["a", *[[]] * 1000]
    status, message = send(client, path, json.dumps({**more, field: items}).encode())
    assert status == 422
    assert ".1" in message
    assert ".2" not in message
    assert len(message) < 400


@pytest.mark.parametrize(("path", "more", "field"), ROUTES)
def test_too_many_values_are_refused(client: TestClient, path: str, more: dict[str, Any], field: str) -> None:
    status, message = send(client, path, json.dumps({**more, field: [1] * 4000}).encode())
    assert (status, message) == (
        413,
        "the body has more than 3000 strings, brackets and commas; send several requests",
    )


def test_a_text_full_of_commas_and_quotes_is_one_text(client: TestClient) -> None:
    body = {"inputs": 'a,["{' * 2000, "truncate": True}
    assert client.post("/embed", json=body).status_code == 200


@pytest.mark.parametrize(("path", "more", "field"), ROUTES)
@pytest.mark.parametrize("half", ["\\ud800", "\\udc00", "\\ud800a", "\\udc00\\ud800"])
def test_half_of_a_surrogate_pair_is_not_text(
    client: TestClient, path: str, more: dict[str, Any], field: str, half: str
) -> None:
    for body in ({**more, field: ["HALF"]}, {**more, "model": "HALF", field: ["a"]}, {"HALF": 1}):
        status, message = send(client, path, json.dumps(body).encode().replace(b"HALF", half.encode()))
        assert status == 422
        assert "half of a surrogate pair is not text" in message or "unicode" in message


@pytest.mark.parametrize(
    "body", [b'{"queries": "\xed\xa0\x80"}', b'{"queries": "\xff"}', '{"queries": "a"}'.encode("utf-16")]
)
def test_a_body_is_in_utf8(client: TestClient, body: bytes) -> None:
    status, message = send(client, "/search", body)
    assert status == 422
    assert message.startswith("the body is not valid JSON: ")


def test_many_unknown_fields_are_one_error(client: TestClient) -> None:
    status, message = send(client, "/search", json.dumps({f"field {n}": n for n in range(900)}).encode())
    assert status == 422
    assert (
        message == "the body: the request has 900 fields; allowed are k, threshold, filter, index, map, queries, mode"
    )
