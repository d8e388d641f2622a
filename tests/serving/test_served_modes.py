"""Search by words and by both over HTTP gives the index's own answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from simcse_kit import SentenceIndex, SimCSE
from simcse_kit.serving import create_app

CODE = "The update ended with error 0x80070057."


@pytest.fixture
def hybrid(model: SimCSE, sentences: list[str], tmp_path: Path) -> SentenceIndex:
    texts = [*sentences, CODE]
    metadata = [{"even": number % 2 == 0} for number in range(len(texts))]
    made = SentenceIndex.build(model, texts, metadata=metadata, hybrid=True)
    made.save(tmp_path / "hybrid")
    return made


@pytest.fixture
def client(hybrid: SentenceIndex, index: SentenceIndex, model: SimCSE) -> Iterator[TestClient]:
    app = create_app({"hybrid": hybrid, "plain": index}, {"tiny": model}, writable=True)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as made:
        yield made


def search(client: TestClient, status: int = 200, **body: Any) -> Any:
    answer = client.post("/search", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def bodies(client: TestClient, **body: Any) -> list[dict[str, Any]]:
    return [{key: value for key, value in hit.items() if key != "point"} for hit in search(client, **body)["hits"][0]]


@pytest.mark.parametrize("mode", ["keyword", "hybrid"])
@pytest.mark.parametrize("more", [{}, {"filter": {"even": True}}])
def test_a_mode_is_the_index_mode(client: TestClient, hybrid: SentenceIndex, mode: Any, more: dict[str, Any]) -> None:
    queries = ["error 0x80070057 cat", "the cat", "zzz"]
    answer = search(client, queries=queries, k=4, mode=mode, **more)
    expected = hybrid.search(queries, 4, mode=mode, **more)
    for own, hits in zip(answer["hits"], expected, strict=True):
        assert [(hit["id"], hit["dense_rank"], hit["keyword_rank"]) for hit in own] == [
            (hit.id, hit.ranks.dense, hit.ranks.keyword) for hit in hits if hit.ranks
        ]
        assert [hit["score"] for hit in own] == pytest.approx([hit.score for hit in hits], abs=1e-4)
    assert answer["points"] == [None] * 3


def test_the_default_is_by_meaning_and_as_it_was(client: TestClient) -> None:
    found = bodies(client, queries="the cat")
    assert found == bodies(client, queries="the cat", mode="dense")
    assert all(hit.keys() == {"id", "text", "score", "metadata"} for hit in found)


def test_by_words_nothing_is_encoded(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("nothing is encoded")

    monkeypatch.setattr(SimCSE, "embed_here", refuse)
    assert bodies(client, queries="0x80070057", mode="keyword")[0]["text"] == CODE


def test_hits_by_words_lie_on_the_map(client: TestClient) -> None:
    answer = search(client, queries="0x80070057", mode="keyword", map="pca")
    assert answer["hits"][0][0]["point"]
    assert answer["points"] == [None]  # words lie nowhere
    assert search(client, queries="0x80070057", mode="hybrid", map="pca")["points"] != [None]


def test_what_was_added_is_found_by_its_words(client: TestClient) -> None:
    client.post("/add", json={"sentences": ["A zebra with ABC-123."], "index": "hybrid"}).raise_for_status()
    assert bodies(client, queries="ABC-123", mode="keyword")[0]["text"] == "A zebra with ABC-123."


def test_keywords_that_another_process_adds_are_searched(client: TestClient, index: SentenceIndex) -> None:
    assert index.folder is not None
    search(client, 422, queries="cat", index="plain", mode="hybrid")
    SentenceIndex.open(index.folder, index.model).compact(hybrid=True)
    assert bodies(client, queries="cat", index="plain", mode="keyword")
    SentenceIndex.open(index.folder, index.model).compact(hybrid=False)
    assert "no keywords" in search(client, 422, queries="cat", index="plain", mode="hybrid")["error"]["message"]
    assert bodies(client, queries="cat", index="plain")


def test_info_lists_the_modes(client: TestClient) -> None:
    cards = {card["name"]: card["modes"] for card in client.get("/info").json()["indexes"]}
    assert cards == {"hybrid": ["dense", "keyword", "hybrid"], "plain": ["dense"]}


def test_what_is_wrong_is_said(client: TestClient) -> None:
    said = search(client, 422, queries="x", index="plain", mode="keyword")["error"]["message"]
    assert "no keywords" in said
    said = search(client, 422, queries="x", mode="hybrid", threshold=0.5)["error"]["message"]
    assert "threshold is a cosine" in said
    said = search(client, 422, queries="x", mode="both")["error"]["message"]
    assert "'dense', 'keyword' or 'hybrid'" in said


def test_a_search_by_mode_is_in_the_description(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["SearchRequest"]["properties"]["mode"]["default"] == "dense"
    assert {"dense_rank", "keyword_rank"} <= schemas["HitBody"]["properties"].keys()
