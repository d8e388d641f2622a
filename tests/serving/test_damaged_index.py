"""An index that cannot answer: clients get the reason, the log gives the place."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from simcse_kit import SentenceIndex, SimCSE
from simcse_kit.search import content
from simcse_kit.serving import create_app


@pytest.fixture
def client(index: SentenceIndex, model: SimCSE) -> Iterator[TestClient]:
    app = create_app({"things": index}, writable=True)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as made:
        yield made


def damage(index: SentenceIndex, name: str) -> Path:
    """Change a byte of a file, and open the index again."""
    assert index.folder is not None
    (path,) = index.folder.glob(name)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(bytes(raw))
    return path


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/search", {"queries": "A cat.", "k": 3}),
        ("/similar", {"id": 3}),
        ("/add", {"sentences": ["new"]}),
    ],
)
def test_clients_do_not_see_the_folder(
    path: str, body: dict[str, object], client: TestClient, index: SentenceIndex, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = damage(index, "vectors-*" if path != "/add" else "manifest.json")
    if path == "/add":
        damaged.write_text("{")
        damaged.touch()
    with caplog.at_level(logging.ERROR, "simcse_kit.serving"):
        answer = client.post(path, json=body)
    assert answer.status_code == 500, answer.text
    message = answer.json()["error"]["message"]
    assert f"things/{damaged.name} is" in message
    assert str(damaged.parent.parent) not in answer.text
    assert any(str(damaged) in record.getMessage() for record in caplog.records)


def test_a_filter_that_takes_too_long_is_the_requests_fault(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "_LEAST_SECONDS", -1.0)
    monkeypatch.setattr(content, "_SECONDS_OF_A_ROW", -1.0)
    slow = {"$or": [{"number": {"$gt": 100 + n}} for n in range(1000)]}
    answer = client.post("/search", json={"queries": "A cat.", "filter": slow})
    assert answer.status_code == 422
    assert "the filter was stopped" in answer.json()["error"]["message"]
    monkeypatch.undo()
    assert client.post("/search", json={"queries": "A cat.", "filter": {"number": 3}}).status_code == 200
