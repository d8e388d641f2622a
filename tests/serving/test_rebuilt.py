"""An index that others rebuild, remove or lock while it is served: right answers or an error with the reason."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from simcse_kit import SentenceIndex, SimCSE
from simcse_kit.serving import create_app
from support.tiny import make_model


def saved(folder: Path, seed: int) -> SimCSE:
    """A model with new weights, in a folder."""
    raw = make_model("bert", folder.with_name(f"raw-{folder.name}"), seed=seed)
    SimCSE(raw, pooling="mean", device="cpu").save(folder)
    return SimCSE(folder, device="cpu")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> SimCSE:
    return saved(tmp_path_factory.mktemp("other") / "other", 9)


@pytest.fixture
def client(index: SentenceIndex) -> Iterator[TestClient]:
    with serving({"things": index}) as made:
        yield made


def serving(indexes: dict[str, SentenceIndex], models: dict[str, SimCSE] | None = None, **more: Any) -> TestClient:
    app = create_app(indexes, models, writable=True, **more)
    return TestClient(app, base_url="http://localhost", raise_server_exceptions=False)


def rebuild(folder: Path | None, model: SimCSE, sentences: list[str]) -> None:
    assert folder is not None
    shutil.rmtree(folder)
    SentenceIndex.build(model, sentences[::-1]).save(folder)


def found(client: TestClient, text: str, **more: Any) -> str:
    answer = client.post("/search", json={"queries": text, "k": 1} | more)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["hits"][0][0]["text"])


def names(client: TestClient) -> list[str]:
    return [card["id"] for card in client.get("/v1/models").json()["data"]]


def test_a_rebuild_that_the_server_follows_is_one_line_in_the_log(
    client: TestClient, index: SentenceIndex, other: SimCSE, sentences: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "simcse_kit.serving"):
        found(client, sentences[4])
        assert not caplog.messages
        rebuild(index.folder, other, sentences)
        for sentence in sentences[:3]:
            found(client, sentence)
    assert caplog.messages == [f"index things: now follows commit 1 with model {other.name}"]


def test_an_index_of_another_model_is_searched_with_that_model(
    client: TestClient, index: SentenceIndex, other: SimCSE, sentences: list[str]
) -> None:
    assert found(client, sentences[4]) == sentences[4]
    rebuild(index.folder, other, sentences)
    assert [found(client, sentences[i]) for i in range(10)] == sentences[:10]
    assert client.post("/search", json={"queries": sentences[4], "k": 1}).json()["hits"][0][0]["score"] > 0.999
    assert names(client) == ["other"]
    similar = client.post("/similar", json={"id": 3, "k": 4}).json()["hits"][0]
    assert index.folder is not None
    now = SentenceIndex.open(index.folder, other)
    assert [hit["id"] for hit in similar] == [hit.id for hit in now.similar(3, k=4)]


def test_what_is_added_then_is_of_the_new_model(
    client: TestClient, index: SentenceIndex, other: SimCSE, sentences: list[str]
) -> None:
    rebuild(index.folder, other, sentences)
    answer = client.post("/add", json={"sentences": ["A zebra in the snow."]})
    assert answer.status_code == 200, answer.text
    assert index.folder is not None
    now = SentenceIndex.open(index.folder, other)
    assert len(now) == 41
    assert now.search("A zebra in the snow.", k=1)[0].score > 0.999
    assert found(client, "A zebra in the snow.") == "A zebra in the snow."


@pytest.mark.parametrize("path", ["/search", "/add"])
def test_what_was_embedded_before_a_rebuild_is_embedded_again(
    path: str,
    client: TestClient,
    index: SentenceIndex,
    other: SimCSE,
    sentences: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encode, folder = index.model.embed_here, index.folder
    assert folder is not None

    def slow(*given: Any) -> Any:
        rebuild(folder, other, sentences)
        return encode(*given)

    monkeypatch.setattr(index.model, "embed_here", slow)
    if path == "/search":
        assert found(client, sentences[7]) == sentences[7]
        return
    assert client.post("/add", json={"sentences": ["A zebra in the snow."]}).status_code == 200
    assert SentenceIndex.open(folder, other).search("A zebra in the snow.", k=1)[0].score > 0.999


def test_models_that_others_use_stay(
    index: SentenceIndex, model: SimCSE, other: SimCSE, sentences: list[str], tmp_path: Path
) -> None:
    SentenceIndex.build(model, sentences).save(tmp_path / "second")
    second = SentenceIndex.open(tmp_path / "second", model)
    with serving({"things": index, "second": second}, {"mine": model}) as client:
        rebuild(index.folder, other, sentences)
        for name in ("things", "second", "things"):
            assert found(client, sentences[4], index=name) == sentences[4]
        assert names(client) == ["mine", "other"]
        rebuild(index.folder, model, sentences)
        assert found(client, sentences[4], index="things") == sentences[4]
        assert names(client) == ["mine"]


def test_a_model_that_was_trained_in_its_place_takes_its_name(
    sentences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved(tmp_path / "model", 3)
    SentenceIndex.build(before, sentences).save(tmp_path / "i")
    with serving({"i": SentenceIndex.open(tmp_path / "i", before)}) as client:
        assert names(client) == ["model"]
        after = saved(tmp_path / "model", 4)
        rebuild(tmp_path / "i", after, sentences)
        assert found(client, sentences[4]) == sentences[4]
        assert names(client) == ["model"]
        (vector,) = client.post("/embed", json={"inputs": "a cat", "normalize": False}).json()
        assert vector == pytest.approx(after.encode("a cat").tolist(), abs=1e-5)


def test_a_model_that_is_not_on_the_disk_is_a_503_until_it_is(
    client: TestClient, index: SentenceIndex, sentences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simcse_kit.serving.indexes._AGAIN", 0.0)
    new = saved(tmp_path / "new", 5)
    rebuild(index.folder, new, sentences)
    (tmp_path / "new").rename(tmp_path / "moved")
    for path, body in (("/search", {"queries": "a"}), ("/add", {"sentences": ["a"]}), ("/search", {"queries": "a"})):
        answer = client.post(path, json=body)
        assert answer.status_code == 503, answer.text
        assert "rebuilt or removed" in answer.json()["error"]["message"]
        assert str(tmp_path) not in answer.text
        assert answer.headers["retry-after"]
    assert client.get("/health").status_code == 200
    (tmp_path / "moved").rename(tmp_path / "new")
    assert found(client, sentences[4]) == sentences[4]


def test_an_index_that_is_taken_away_and_put_back(
    client: TestClient, index: SentenceIndex, sentences: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simcse_kit.serving.indexes._AGAIN", 0.0)
    assert index.folder is not None
    aside = index.folder.rename(index.folder.with_name("aside"))
    assert client.post("/search", json={"queries": "a"}).status_code == 503
    assert client.post("/add", json={"sentences": ["a"]}).status_code == 503
    assert not index.folder.exists()
    aside.rename(index.folder)
    assert found(client, sentences[4]) == sentences[4]


def test_a_judged_index_is_not_exchanged(
    index: SentenceIndex, model: SimCSE, other: SimCSE, sentences: list[str], tmp_path: Path
) -> None:
    texts = [*index.texts()]
    SentenceIndex.build(other, texts).save(tmp_path / "second")
    second = SentenceIndex.open(tmp_path / "second", other)
    with serving({"first": index, "second": second}, judgements=tmp_path / "judged") as client:
        rebuild(index.folder, other, texts)
        answer = client.post("/search", json={"queries": "a", "index": "first"})
        assert answer.status_code == 503
        assert "not what is being judged" in answer.text


def test_a_failed_add_leaves_the_index_fresh_and_able_to_add(
    client: TestClient, index: SentenceIndex, model: SimCSE, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert index.folder is not None
    with monkeypatch.context() as patch:
        patch.setattr("simcse_kit.search.collection.commit", lambda *given: 1 / 0)
        for _ in range(2):
            assert client.post("/add", json={"sentences": ["lost"]}).status_code == 500
    SentenceIndex.open(index.folder, model).commit(lambda now: now.add(["Written by somebody else."]))
    assert found(client, "Written by somebody else.") == "Written by somebody else."
    assert client.post("/add", json={"sentences": ["And mine."]}).json()["ids"] == [42]
    assert "lost" not in [*SentenceIndex.open(index.folder, model).texts()]


def test_adds_of_two_servers_follow_one_another(index: SentenceIndex, model: SimCSE) -> None:
    assert index.folder is not None
    opened = [index, SentenceIndex.open(index.folder, model)]
    with serving({"i": opened[0]}) as first, serving({"i": opened[1]}) as second, ThreadPoolExecutor(4) as pool:
        clients = [first, second]

        def add(number: int) -> int:
            return clients[number % 2].post("/add", json={"sentences": [f"text {number}"]}).status_code

        assert list(pool.map(add, range(12))) == [200] * 12
    texts = [*SentenceIndex.open(index.folder, model).texts()][41:]
    assert sorted(texts) == sorted(f"text {number}" for number in range(12))
