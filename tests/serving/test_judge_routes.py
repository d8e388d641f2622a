"""Judging over HTTP: only on request, guarded like `/add`, and stored as in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from simcse_kit import DataError, SentenceIndex, SimCSE
from simcse_kit.evaluation.judgements import read_judgements, text_id
from simcse_kit.serving import Limits, ServeError, create_app
from support.tiny import SENTENCES

QUERIES = ["late trains", "a warm cat", "salt in the soup"]


@pytest.fixture(scope="module")
def indexes(tiny_model: Callable[[str], Path]) -> dict[str, SentenceIndex]:
    """Two of the same sentences, not saved."""
    models = {"before": "bert", "after": "roberta"}
    return {
        name: SentenceIndex.build(SimCSE(tiny_model(kind), pooling="mean", device="cpu"), SENTENCES)
        for name, kind in models.items()
    }


def served(indexes: dict[str, SentenceIndex], folder: Path, **settings: Any) -> TestClient:
    app = create_app(indexes, judgements=folder, **{"writable": True, "queries": iter(QUERIES)} | settings)
    return TestClient(app, base_url="http://localhost")


@pytest.fixture
def client(indexes: dict[str, SentenceIndex], tmp_path: Path) -> Iterator[TestClient]:
    with served(indexes, tmp_path / "judged", limits=Limits(characters=50)) as made:
        yield made


def say(client: TestClient, body: dict[str, Any], step: str, **more: Any) -> dict[str, Any]:
    answer = client.post("/judge", json={"id": body["id"], "step": step, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_marks_are_saved_and_the_answers_do_not_say_who_found_what(
    client: TestClient, indexes: dict[str, SentenceIndex], tmp_path: Path
) -> None:
    first = client.get("/judge").json()
    assert set(first) == {"id", "query", "number", "hits", "verdict", "decided"}
    assert set(first["hits"][0]) == {"text", "relevant"}
    assert (first["query"], first["number"]) == ("late trains", 1)
    wanted = {hit.text for index in indexes.values() for hit in index.search("late trains", k=5)}
    assert {hit["text"] for hit in first["hits"]} == wanted
    marked = say(client, first, "mark", place=2)
    assert [hit["relevant"] for hit in marked["hits"]] == [place == 2 for place in range(len(wanted))]
    assert say(client, first, "mark", place=2) == marked  # sent twice
    assert marked == client.get("/judge").json()
    (saved,) = read_judgements(tmp_path / "judged").queries.values()
    assert saved.relevant == {text_id(first["hits"][2]["text"])}
    second = say(client, first, "next")
    assert second["query"] == "a warm cat"
    assert second["verdict"][-1] == "1 query judged"
    third = say(client, second, "skip")
    assert say(client, third, "mark", place=0, relevant=False)["hits"][0]["relevant"] is False
    end = say(client, third, "next")
    assert (end["id"], end["hits"]) == (None, [])
    back = say(client, end, "undo")
    assert back["query"] == "salt in the soup"


def test_a_question_that_was_answered_elsewhere_is_not_answered_again(client: TestClient) -> None:
    first = client.get("/judge").json()
    say(client, first, "next")
    answer = client.post("/judge", json={"id": first["id"], "step": "next"})
    assert answer.status_code == 409
    assert "another question is open now" in answer.json()["error"]["message"]


def test_a_query_of_ones_own(client: TestClient) -> None:
    client.get("/judge")
    own = client.post("/judge/query", json={"query": "a boat at night"}).json()
    assert own["query"] == "a boat at night"
    assert say(client, own, "next")["query"] == "late trains"
    again = client.post("/judge/query", json={"query": "a boat at night"})
    assert again.status_code == 422
    assert "is already judged" in again.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/judge", {"step": "mark"}, "id: field required"),
        ("/judge", {"id": None, "step": "wrong"}, "step"),
        ("/judge", {"id": "ID", "step": "mark"}, "which hit do you mark"),
        ("/judge", {"id": "ID", "step": "mark", "place": 99}, "got place 99"),
        ("/judge", {"id": "ID", "step": "mark", "place": -1}, "place"),
        ("/judge", {"id": "ID", "step": "mark", "place": 0, "who": "before"}, "who"),
        ("/judge/query", {"query": "  "}, "is empty"),
        ("/judge/query", {"query": "a" * 51}, "the limit is 50"),
    ],
)
def test_a_bad_request_changes_nothing(client: TestClient, path: str, body: dict[str, Any], words: str) -> None:
    before = client.get("/judge").json()
    answer = client.post(path, json=body | ({"id": before["id"]} if body.get("id") else {}))
    assert answer.status_code == 422
    assert words in answer.json()["error"]["message"]
    assert client.get("/judge").json() == before


def test_it_is_guarded(indexes: dict[str, SentenceIndex], tmp_path: Path) -> None:
    with served(indexes, tmp_path / "judged", api_key="secret") as client:
        key = {"Authorization": "Bearer secret"}
        assert client.get("/judge").status_code == 401
        assert client.post("/judge", json={}).status_code == 401
        assert client.get("/judge", headers=key | {"Origin": "http://elsewhere"}).status_code == 403
        assert client.get("/judge", headers=key | {"Host": "elsewhere"}).status_code == 403
        assert client.get("/judge", headers=key).status_code == 200
        assert client.get("/info", headers=key).json()["can_judge"] is True


def test_without_a_folder_there_is_no_such_path(indexes: dict[str, SentenceIndex]) -> None:
    with TestClient(create_app(indexes, writable=True), base_url="http://localhost") as client:
        assert client.get("/judge").status_code == 404
        assert client.get("/info").json()["can_judge"] is False


def test_nothing_is_added_while_hits_are_judged(client: TestClient) -> None:
    answer = client.post("/add", json={"sentences": ["A new one."]})
    assert answer.status_code == 403
    assert client.get("/info").json()["indexes"][0]["can_add"] is False


def test_what_cannot_be_judged_does_not_start(indexes: dict[str, SentenceIndex], tmp_path: Path) -> None:
    with pytest.raises(ServeError, match="start with --writable"):
        create_app(indexes, judgements=tmp_path / "judged")
    with pytest.raises(ServeError, match="compares two indexes; got 1"):
        served({"before": indexes["before"]}, tmp_path / "judged")
    other = SentenceIndex.build(indexes["after"].model, [*SENTENCES[1:], "A stranger.", "Another."])
    with pytest.raises(ServeError, match="1 texts are only in before and 2 only in the other"):
        served({"before": indexes["before"], "after": other}, tmp_path / "judged")
    with pytest.raises(DataError, match="are equal: same model"):
        served({"before": indexes["before"], "after": indexes["before"]}, tmp_path / "judged")
    assert not (tmp_path / "judged").exists()


def test_a_server_that_ends_leaves_the_folder_to_the_next(indexes: dict[str, SentenceIndex], tmp_path: Path) -> None:
    with served(indexes, tmp_path / "judged") as client:
        first = client.get("/judge").json()
        with pytest.raises(DataError, match="another process is judging"):
            served(indexes, tmp_path / "judged")
        marked = say(client, first, "mark", place=0)
    with served(indexes, tmp_path / "judged") as client:
        assert client.get("/judge").json() == marked
