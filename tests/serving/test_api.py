"""The routes answer the same as the package in one process."""

from __future__ import annotations

import base64
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from simcse_kit import SentenceIndex, SimCSE
from simcse_kit.files import DiskFullError
from simcse_kit.search import Collection
from simcse_kit.serving import Limits, ServeError, create_app
from simcse_kit.serving.batching import Batcher
from support.plain import unit

SMALL = Limits(body_bytes=20_000, sentences=8, characters=400, k=50, hits=200, cosines=40, answer_bytes=30_000)


@pytest.fixture
def client(index: SentenceIndex, model: SimCSE) -> Iterator[TestClient]:
    app = create_app({"things": index}, {"tiny": model}, limits=SMALL, writable=True)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as made:
        yield made


def post(client: TestClient, path: str, **body: Any) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(client: TestClient, path: str, status: int, **body: Any) -> str:
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "code"}
    return str(error["message"])


def test_openai_embeddings_are_unit_vectors(client: TestClient, model: SimCSE, sentences: list[str]) -> None:
    answer = post(client, "/v1/embeddings", input=sentences[:3], model="tiny")
    expected = unit(model.encode(sentences[:3]))
    np.testing.assert_allclose([one["embedding"] for one in answer["data"]], expected, atol=1e-6)
    assert [one["index"] for one in answer["data"]] == [0, 1, 2]
    tokens = int(model.tokenize(sentences[:3]).lengths.sum())
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    coded = post(client, "/v1/embeddings", input=sentences[0], model="tiny", encoding_format="base64", user="somebody")
    np.testing.assert_allclose(
        np.frombuffer(base64.b64decode(coded["data"][0]["embedding"]), "<f4"), expected[0], atol=1e-6
    )
    short = post(client, "/v1/embeddings", input=sentences[0], model="tiny", dimensions=5)
    np.testing.assert_allclose(short["data"][0]["embedding"], unit(expected[:1, :5])[0], atol=1e-6)
    assert [card["id"] for card in client.get("/v1/models").json()["data"]] == ["tiny"]


def test_embed_is_text_embeddings_inference(client: TestClient, model: SimCSE, sentences: list[str]) -> None:
    expected = unit(model.encode(sentences[:2]))
    np.testing.assert_allclose(post(client, "/embed", inputs=sentences[:2]), expected, atol=1e-6)
    np.testing.assert_allclose(post(client, "/embed", inputs=sentences[0]), expected[:1], atol=1e-6)
    model.prompts["query"] = "the "
    try:
        prompted = post(client, "/embed", inputs=sentences[0], prompt_name="query")
        np.testing.assert_allclose(prompted, unit(model.encode(sentences[:1], prompt_name="query")), atol=1e-6)
    finally:
        del model.prompts["query"]
    assert "has the prompts document; got 'query'" in refused(client, "/embed", 422, inputs="a", prompt_name="query")


def test_openais_clients_send_nulls_and_ask_for_one_model(client: TestClient, sentences: list[str]) -> None:
    plain = post(client, "/v1/embeddings", input=sentences[:2], model="tiny")
    nulls = {"encoding_format": None, "dimensions": None, "user": None, "input_type": "query"}
    assert post(client, "/v1/embeddings", input=sentences[:2], model="tiny", **nulls) == plain
    (card,) = client.get("/v1/models").json()["data"]
    assert client.get("/v1/models/tiny").json() == card
    missing = client.get("/v1/models/org/gpt").json()["error"]
    assert missing["code"] == "model_not_found"
    assert "there is no model 'org/gpt'" in missing["message"]


def test_text_embeddings_inferences_client_is_answered(client: TestClient, sentences: list[str]) -> None:
    plain = post(client, "/embed", inputs=sentences[:2])
    body = {"truncate": None, "normalize": None, "truncation_direction": "Right", "prompt_name": None}
    for path in ("/embed", "/"):
        assert post(client, path, inputs=sentences[:2], **body) == plain
    assert "truncation_direction" in refused(client, "/", 422, inputs="a", truncation_direction="Left")


def test_vectors_that_are_cut_are_said_or_refused(
    client: TestClient, model: SimCSE, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        assert len(post(client, "/embed", inputs="a", dimensions=5)[0]) == 5
    assert len(post(client, "/embed", inputs="a", dimensions=32)[0]) == 32
    assert caplog.text.count("not known to be trained for this (Matryoshka)") == 1
    strict = create_app(models={"tiny": model}, strict_dimensions=True)
    with TestClient(strict, base_url="http://localhost") as made:
        assert "leave out dimensions to get 32" in refused(made, "/embed", 422, inputs="a", dimensions=5)
        assert len(post(made, "/embed", inputs="a", dimensions=32)[0]) == 32
    monkeypatch.setitem(model.record, "training", {"matryoshka_dims": [16, 8]})
    with TestClient(create_app(models={"tiny": model}, strict_dimensions=True), base_url="http://localhost") as made:
        assert len(post(made, "/embed", inputs="a", dimensions=5)[0]) == 5


def test_a_vector_that_is_not_normalized(client: TestClient, model: SimCSE, sentences: list[str]) -> None:
    answer = post(client, "/embed", inputs=sentences[:2], normalize=False)
    np.testing.assert_allclose(answer, model.encode(sentences[:2]), atol=1e-5)


def test_long_texts_are_never_cut_in_silence(client: TestClient, model: SimCSE) -> None:
    long = "cat " * 90
    limit = model.max_seq_length
    assert limit is not None
    assert f"text number 1 has {90 + 2} tokens; tiny reads at most {limit}" in refused(
        client, "/v1/embeddings", 422, input=["cat", long], model="tiny"
    )
    assert "truncate" in refused(client, "/embed", 413, inputs=long)
    assert len(post(client, "/embed", inputs=long, truncate=True)) == 1
    assert post(client, "/search", queries=[long, "cat"])["truncated"] == 1
    assert post(client, "/similarity", sentences=["cat", long])["truncated"] == 1
    text = client.get("/metrics").text
    assert 'simcse_kit_truncated_sentences_total{model="tiny"} 5.0' in text


def test_search_is_the_index_search(client: TestClient, index: SentenceIndex, sentences: list[str]) -> None:
    answer = post(client, "/search", queries=sentences[:2], k=4)
    assert answer["index"] == "things"
    assert answer["model"] == "tiny"
    for own, hits in zip(answer["hits"], index.search(sentences[:2], k=4), strict=True):
        assert [hit["id"] for hit in own] == [hit.id for hit in hits]
        np.testing.assert_allclose([hit["score"] for hit in own], [hit.score for hit in hits], atol=1e-5)
        assert [hit["metadata"] for hit in own] == [hit.metadata for hit in hits]
    found = post(client, "/search", queries=sentences[0], k=9, threshold=0.5, filter={"even": True})["hits"][0]
    expected = index.search(sentences[0], k=9, threshold=0.5, filter={"even": True})
    assert [hit["id"] for hit in found] == [hit.id for hit in expected]
    assert post(client, "/search", queries=[])["hits"] == []
    similar = post(client, "/similar", id=3, k=4)["hits"][0]
    assert [hit["id"] for hit in similar] == [hit.id for hit in index.similar(3, k=4)]


def test_hits_lie_on_the_map(client: TestClient, sentences: list[str]) -> None:
    drawn = client.get("/map", params={"index": "things"}).json()
    assert drawn["shown"] == drawn["count"] == 41
    places = dict(zip(drawn["ids"], drawn["points"], strict=True))
    answer = post(client, "/search", queries=sentences[5], k=3, map="pca")
    for hit in answer["hits"][0]:
        np.testing.assert_allclose(hit["point"], places[hit["id"]], atol=2e-3)
    np.testing.assert_allclose(answer["points"][0], places[5], atol=2e-3)  # the query is that sentence


def test_what_was_added_is_found_and_stays(client: TestClient, index: SentenceIndex) -> None:
    added = post(client, "/add", sentences=["A zebra in the snow."], metadata=[{"new": True}])
    assert added == {"index": "things", "ids": [41], "count": 42, "truncated": 0}
    assert post(client, "/search", queries="A zebra in the snow.", k=1)["hits"][0][0]["metadata"] == {"new": True}
    assert index.folder is not None
    assert SentenceIndex.open(index.folder, index.model).get([41])[0].text == "A zebra in the snow."
    assert "id 41 already exists" in refused(client, "/add", 422, sentences=["x"], ids=[41])


def test_it_follows_the_commits_of_others(client: TestClient, index: SentenceIndex, model: SimCSE) -> None:
    assert index.folder is not None
    other = SentenceIndex.open(index.folder, model)
    other.add(["Written by somebody else."])
    other.save()
    assert post(client, "/search", queries="Written by somebody else.", k=1)["hits"][0][0]["id"] == 41
    assert post(client, "/add", sentences=["And one more."])["ids"] == [42]


def test_an_index_of_strings_gets_made_up_ids(model: SimCSE) -> None:
    made = SentenceIndex.build(model, ["A cat."], ids=["a"])
    with TestClient(create_app({"i": made}, writable=True), base_url="http://localhost") as client:
        ids = post(client, "/add", sentences=["x", "y"])["ids"]
    assert len(set(ids)) == 2
    assert [row.text for row in made.get(ids)] == ["x", "y"]


def test_reading_is_all_one_may_unless_said(index: SentenceIndex) -> None:
    with TestClient(create_app({"i": index}), base_url="http://localhost") as client:
        assert "--writable" in refused(client, "/add", 403, sentences=["x"])
        assert client.get("/info").json()["indexes"][0]["can_add"] is False


def test_similarity_is_the_cosine(client: TestClient, model: SimCSE, sentences: list[str]) -> None:
    vectors = unit(model.encode(sentences[:5]))
    scores = post(client, "/similarity", sentences=sentences[:5])["scores"]
    np.testing.assert_allclose(scores, vectors @ vectors.T, atol=1e-5)
    scores = post(client, "/similarity", sentences=sentences[:2], others=sentences[2:5], index="things")["scores"]
    np.testing.assert_allclose(scores, vectors[:2] @ vectors[2:].T, atol=1e-5)


def test_info_says_what_is_served(client: TestClient) -> None:
    info = client.get("/info").json()
    assert info["models"] == ["tiny"]
    (card,) = info["indexes"]
    assert (card["name"], card["model"], card["count"], card["kind"]) == ("things", "tiny", 41, "flat")
    assert info["limits"] == vars(SMALL)


@pytest.mark.parametrize("empty", ["", "  \n"])
@pytest.mark.parametrize(
    ("path", "field", "more"),
    [
        ("/v1/embeddings", "input", {"model": "tiny"}),
        ("/embed", "inputs", {}),
        ("/similarity", "sentences", {}),
        ("/similarity", "others", {"sentences": ["a"]}),
        ("/search", "queries", {}),
        ("/add", "sentences", {}),
    ],
)
def test_an_empty_text_is_named_by_its_place(
    client: TestClient, path: str, field: str, more: dict[str, Any], empty: str
) -> None:
    found = refused(client, path, 422, **{field: ["A cat.", empty, "A dog."]}, **more)
    assert found == f"{field}: text number 1 is empty"


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/v1/embeddings", {"input": "a", "model": "gpt"}, 404, "there is no model 'gpt'; this server has 'tiny'"),
        ("/v1/embeddings", {"input": "a"}, 422, "model: field required"),
        ("/v1/embeddings", {"input": [], "model": "tiny"}, 422, "input: give at least one text"),
        ("/v1/embeddings", {"input": 5, "model": "tiny"}, 422, "input: input should be a valid string or input should"),
        ("/v1/embeddings", {"input": ["a", 5], "model": "tiny"}, 422, "input.1: input should be a valid string"),
        (
            "/search",
            {"queries": "a", "mode": "hybird"},
            422,
            "mode: input should be 'dense', 'keyword' or 'hybrid'",
        ),
        ("/search", {"queries": "a", "str": 1}, 422, "str: there is no such field"),
        ("/v1/embeddings", {"input": [17, 4], "model": "tiny"}, 422, "check_embedding_ctx_length=False"),
        ("/v1/embeddings", {"input": [[17], [4]], "model": "tiny"}, 422, "check_embedding_ctx_length=False"),
        ("/v1/embeddings", {"input": " ", "model": "tiny"}, 422, "text number 0 is empty"),
        ("/v1/embeddings", {"input": ["a", "\u200b\ufeff"], "model": "tiny"}, 422, "text number 1 is empty"),
        ("/v1/embeddings", {"input": "a", "model": "tiny", "dimensions": 33}, 422, "have 32 dimensions; got 33"),
        ("/embed", {"inputs": ["a"] * 9}, 422, "9 texts; the limit is 8 per request"),
        ("/embed", {"inputs": "x" * 401}, 422, "has 401 characters; the limit is 400"),
        ("/search", {"queries": "a", "k": 51}, 422, "k: at most 50; got 51"),
        ("/search", {"queries": ["a"] * 5, "k": 41}, 422, "5 times k = 41 are 205 hits; the limit is 200 per request"),
        ("/similarity", {"sentences": ["a"] * 7}, 422, "7 times 7 are 49 cosines; the limit is 40 per request"),
        ("/similarity", {"sentences": ["a"] * 6, "others": ["b"] * 7}, 422, "6 times 7 are 42 cosines"),
        ("/search", {"queries": "a", "k": 0}, 422, "k: input should be greater"),
        ("/search", {"queries": "a", "k": "5"}, 422, "k: input should be a valid integer"),
        ("/search", {"queries": "a", "threshold": 2}, 422, "threshold"),
        ("/search", {"queries": "a", "treshold": 0.5}, 422, "treshold: there is no such field; GET /docs"),
        ("/search", {"queries": "a", "filter": {"$near": 1}}, 422, "unknown operator $near"),
        ("/search", {"queries": "a", "filter": {"size": 1}}, 422, "its fields are: number (integer), even (boolean)"),
        ("/search", {"queries": "a", "index": "other"}, 404, "there is no index 'other'; this server has 'things'"),
        ("/similar", {"id": 99}, 404, "has no id 99"),
        ("/similar", {"id": 10**30}, 422, "id"),
        ("/add", {"sentences": ["a"], "ids": [1, 2]}, 422, "1 texts need 2 ids"),
    ],
)
def test_what_is_wrong_is_said(client: TestClient, path: str, body: Any, status: int, text: str) -> None:
    if "need 2 ids" in text:
        text = "1 texts need 1 ids; got 2"
    assert text in refused(client, path, status, **body)


def test_a_field_of_a_text_or_a_list_has_one_error(client: TestClient) -> None:
    for given, message in (
        ([], "input: give at least one text"),
        (["a", 5], "input.1: input should be a valid string"),
    ):
        answer = client.post("/v1/embeddings", json={"input": given, "model": "tiny"})
        assert answer.json()["error"]["message"] == message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nul",
        b"[" * 5000,
        b'{"queries": "a", "filter": ' + b'{"$not": ' * 900 + b"{}" + b"}" * 900 + b"}",
        b'{"queries": "a", "threshold": NaN}',
        b'{"queries": "a", "threshold": 1e999}',
        b'{"queries": "a", "k": 1' + b"0" * 6000 + b"}",
        b'{"queries": "a", "filter": {"x": "\\ud800"}}',
        b'{"queries": "a", "filter": {"x": NaN}}',
        b'{"queries": "a", "filter": {"x": 1' + b"0" * 400 + b"}}",
        b'\xff\xfe{"queries": "a"}',
    ],
)
def test_odd_bodies_are_errors_of_the_client(client: TestClient, body: bytes) -> None:
    answer = client.post("/search", content=body, headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["error"]["message"]
    assert "Traceback" not in answer.text
    assert "/" + "root" not in answer.text


@pytest.mark.parametrize(
    ("body", "kind"), [('{"queries": "a"}', "application/x-www-form-urlencoded"), ('["a"]', "application/json")]
)
def test_what_is_no_json_object_is_an_error_that_names_the_header(client: TestClient, body: str, kind: str) -> None:
    answer = client.post("/search", content=body, headers={"content-type": kind})  # the first as curl -d sends it
    assert answer.status_code == 422
    assert "expected a JSON object, sent with the header content-type: application/json" in answer.text


def test_large_filters_are_answered(client: TestClient, sentences: list[str]) -> None:
    hits = post(client, "/search", queries=sentences[0], k=50, filter={"number": {"$in": list(range(2000))}})["hits"]
    assert len(hits[0]) == 41


def test_a_body_that_is_too_large_is_not_read(client: TestClient) -> None:
    assert "exceeds this server's limit of 20000 bytes" in refused(client, "/embed", 413, inputs="x" * 30_000)


def test_there_is_nothing_else(client: TestClient) -> None:
    for path in ("/nothing", "/../etc/passwd", "/docs/../app.py", "/static/x"):
        assert client.get(path).status_code == 404
    assert client.get("/search").status_code == 405
    assert client.get("/search").json()["error"]["type"] == "method_not_allowed"


def test_the_description_needs_no_other_host(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert "https://" not in page.text
    assert "unsafe-inline" not in page.headers["content-security-policy"].split("style-src")[0]
    for path in ("/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css"):
        assert len(client.get(path).content) > 10_000


def test_nothing_to_serve_is_an_error(model: SimCSE, tmp_path: Path) -> None:
    with pytest.raises(ServeError, match="nothing to serve"):
        create_app()
    with TestClient(create_app(models={"tiny": model}), base_url="http://localhost") as client:
        assert "no index" in client.get("/").json()["error"]["message"]
        assert "no index" in refused(client, "/search", 404, queries="a")


def test_an_index_that_is_damaged_tells_no_path(client: TestClient, index: SentenceIndex, sentences: list[str]) -> None:
    assert index.folder is not None
    (index.folder / "manifest.json").write_text("{}", encoding="utf-8")
    answer = client.post("/search", json={"queries": sentences[0]})
    assert answer.status_code == 500
    assert str(index.folder) not in answer.text
    assert post(client, "/similarity", sentences=["a", "b"])  # the server goes on


def test_an_answer_has_a_largest_size(client: TestClient, index: SentenceIndex) -> None:
    post(client, "/add", sentences=["cat " * 90] * 8)
    assert "exceeds the limit of 30000 bytes" in refused(client, "/search", 422, queries=["cat " * 30] * 8, k=25)
    assert len(post(client, "/search", queries="cat", k=25)["hits"][0]) == 25


def test_searches_wait_for_no_writer(client: TestClient, index: SentenceIndex, sentences: list[str]) -> None:
    """Another process keeps the folder to itself, as a compaction does for minutes."""
    assert index.folder is not None
    added: list[Any] = []
    descriptor = os.open(index.folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        adding = threading.Thread(target=lambda: added.append(post(client, "/add", sentences=["A zebra."])))
        adding.start()
        for _ in range(20):
            assert post(client, "/search", queries=sentences[3], k=1, map="pca")["hits"][0][0]["text"] == sentences[3]
            assert post(client, "/similar", id=3, k=1)["hits"]
            assert client.get("/info").json()["indexes"][0]["count"] == 41
        assert added == []
        hits = post(client, "/search", queries="A zebra.", k=50)["hits"][0]
        assert "A zebra." not in {hit["text"] for hit in hits}  # it is not committed
    finally:
        os.close(descriptor)
    adding.join(60)
    assert added[0]["count"] == 42
    assert post(client, "/search", queries="A zebra.", k=1)["hits"][0][0]["text"] == "A zebra."


def test_a_map_that_failed_is_made_again(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("numpy.linalg.eigh", lambda matrix: 1 / 0)
        assert client.get("/map").status_code == 500
    assert client.get("/map").json()["shown"] == 41


def test_health_says_when_a_worker_has_ended(model: SimCSE, monkeypatch: pytest.MonkeyPatch) -> None:
    with TestClient(create_app(models={"tiny": model}), base_url="http://localhost") as client:
        assert client.get("/health").json() == {"status": "ok"}
        with monkeypatch.context() as patch:
            patch.setattr(Batcher, "alive", False)
            answer = client.get("/health")
        assert answer.status_code == 503
        assert "worker" in answer.json()["error"]["message"]


def test_a_full_disk_adds_nothing(client: TestClient, index: SentenceIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **named: Any) -> Any:
        raise DiskFullError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(Collection, "save", full)
        assert "disk is full" in refused(client, "/add", 507, sentences=["A zebra in the snow."])
    hits = post(client, "/search", queries="A zebra in the snow.", k=50)["hits"][0]
    assert "A zebra in the snow." not in {hit["text"] for hit in hits}
    assert post(client, "/add", sentences=["Another one."])["count"] == 42
    assert index.folder is not None
    assert len(SentenceIndex.open(index.folder, index.model)) == 42
