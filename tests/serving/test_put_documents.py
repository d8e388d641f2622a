"""Clients change an index by ids: same rows as after `SentenceIndex.sync`, typed ids, failed writers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi.testclient import TestClient

from simcse_kit import SentenceIndex, SimCSE, build_index, rebuild_index
from simcse_kit.serving import create_app
from support.commands import run
from support.server import running
from support.tiny import SENTENCES, make_model


@pytest.fixture
def client(index: SentenceIndex, model: SimCSE) -> Iterator[TestClient]:
    with serving({"things": index}) as made:
        yield made


def serving(indexes: dict[str, SentenceIndex], **more: Any) -> TestClient:
    app = create_app(indexes, **{"writable": True, **more})
    return TestClient(app, base_url="http://localhost", raise_server_exceptions=False)


def put(client: TestClient, *documents: Any, **params: str) -> Any:
    answer = client.put("/documents", json={"documents": list(documents)}, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def delete(client: TestClient, id: object, **params: str) -> httpx.Response:
    return client.delete("/documents/" + quote(str(id), safe=""), params=params)


def content(index: SentenceIndex) -> dict[object, tuple[str, object]]:
    return {row.id: (row.text, row.metadata) for row, _ in index._collection.rows()}


def opened(index: SentenceIndex) -> SentenceIndex:
    assert index.folder is not None
    return SentenceIndex.open(index.folder, index.model)


def test_what_is_put_is_compared_and_replaced(
    client: TestClient, index: SentenceIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed, seen = index.model.embed_here, list[str]()
    monkeypatch.setattr(index.model, "embed_here", lambda texts, *rest: seen.extend(texts) or embed(texts, *rest))
    documents = [
        {"id": 0, "text": SENTENCES[0], "metadata": {"number": 0, "even": True}},
        {"id": 1, "text": "A zebra in the snow.", "metadata": {"number": 1, "even": False}},
        {"id": 100, "text": "A new one."},
    ]
    before = index.info().generation
    assert put(client, *documents) == {
        "index": "things",
        "added": 1,
        "changed": 1,
        "unchanged": 1,
        "count": 42,
        "truncated": 0,
    }
    assert sorted(seen) == ["A new one.", "A zebra in the snow."]
    assert opened(index).info().generation == before + 1
    assert put(client, *documents)["unchanged"] == 3
    assert len(seen) == 2
    assert opened(index).info().generation == before + 1
    assert opened(index).sync(["A new one."], [100]).unchanged == 1
    assert content(opened(index))[1] == ("A zebra in the snow.", {"number": 1, "even": False})
    hit = client.post("/search", json={"queries": "A zebra in the snow.", "k": 1}).json()["hits"][0][0]
    assert (hit["id"], hit["score"] > 0.999) == (1, True)


def test_ids_have_the_type_of_the_index(client: TestClient, index: SentenceIndex, model: SimCSE) -> None:
    answer = delete(client, 7)
    assert answer.json() == {"index": "things", "id": 7, "count": 40}
    assert 7 not in content(opened(index))
    for id_, status, text in (
        (7, 404, "has no id '7'"),
        ("x", 422, "has integer ids; got 'x'"),
        ("1" * 5000, 422, "has integer ids"),
        (2**70, 422, "integer"),
    ):
        answer = delete(client, id_)
        assert (answer.status_code, text in answer.text) == (status, True), answer.text
    odd = ["7", "a/b", "../c", "d#1", "e?index=x", "50 %", "ü", "."]
    strings = SentenceIndex.build(model, SENTENCES[: len(odd)], odd)
    with serving({"things": index, "strings": strings}) as both:
        assert put(both, {"id": "new/one", "text": "New."}, index="strings")["count"] == len(odd) + 1
        for left, id_ in enumerate(odd[:-1]):  # clients take a dot out of an address
            answer = delete(both, id_, index="strings")
            assert answer.json() == {"index": "strings", "id": id_, "count": len(odd) - left}, answer.text
        assert set(content(strings)) == {".", "new/one"}
        assert delete(both, "a", index="none").status_code == 404


def test_documents_have_all_of_their_passages(tiny_model: Any, tmp_path: Path) -> None:
    model = SimCSE(tiny_model("bert"), pooling="mean", device="cpu", max_seq_length=24)
    (tmp_path / "docs.jsonl").write_text('{"key": "d/1", "text": "Short."}\n', encoding="utf-8")
    index, _ = build_index(
        model, tmp_path / "docs.jsonl", tmp_path / "i", columns=["text"], id_column="key", passages=True
    )
    long = " ".join(SENTENCES[:9])
    with serving({"i": index}) as client:
        stored = put(client, {"id": "d/1", "text": long}, {"id": "d2", "text": "Short."})
        assert (stored["added"], stored["changed"]) == (1, 1)
        assert stored["count"] > 4
        assert put(client, {"id": "d/1", "text": long})["unchanged"] == 1
        assert delete(client, "d/1").json()["count"] == 1
        assert delete(client, "d2#0").status_code == 404
    assert list(content(opened(index))) == ["d2#0"]


def test_what_is_wrong_changes_nothing(client: TestClient, index: SentenceIndex) -> None:
    before = content(index)
    good = {"id": 200, "text": "Good."}
    for documents, text in (
        ([], "documents"),
        ([good, {"id": 201, "text": " "}], "text number 1 is empty"),
        ([good, good], "id 200 occurs twice"),
        ([good, {"id": "x", "text": "a"}], "all integers or all strings"),
        ([good, {"id": 201, "text": "a", "metadata": {"number": "one"}}], "number has type integer"),
        ([good, {"id": 201, "text": "a", "note": 1}], "documents.1.note"),
    ):
        answer = client.put("/documents", json={"documents": documents})
        assert (answer.status_code, text in answer.text) == (422, True), answer.text
    assert content(opened(index)) == before
    with serving({"i": index}, writable=False) as reader:
        for answer in (
            reader.put("/documents", json={"documents": [good]}),
            delete(reader, 1),
            reader.post("/reload"),
        ):
            assert (answer.status_code, "start the server with --writable" in answer.text) == (403, True)


def test_a_failed_put_leaves_the_index_able_to_change(
    client: TestClient, index: SentenceIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("simcse_kit.search.collection.commit", lambda *given: 1 / 0)
        assert client.put("/documents", json={"documents": [{"id": 1, "text": "lost"}]}).status_code == 500
        assert delete(client, 1).status_code == 500
    opened(index).commit(lambda now: (now.add(["Of somebody else."], [90]), now.delete([2])))
    assert put(client, {"id": 1, "text": "Mine."}, {"id": 2, "text": "Again."})["changed"] == 1
    assert delete(client, 3).status_code == 200
    found = content(opened(index))
    assert [found[id_][0] for id_ in (1, 2, 90)] == ["Mine.", "Again.", "Of somebody else."]
    assert 3 not in found
    assert "lost" not in [text for text, _ in found.values()]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a model of other weights."""
    folder = tmp_path_factory.mktemp("other")
    SimCSE(make_model("bert", folder / "raw", seed=9), pooling="mean", device="cpu").save(folder / "model")
    return folder / "model"


def test_an_index_is_rebuilt_under_a_client_that_puts(
    client: TestClient, index: SentenceIndex, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the comparison, while the old model encodes."""
    embed, folder = index.model.embed_here, index.folder
    assert folder is not None

    def slow(*given: Any) -> Any:
        monkeypatch.setattr(index.model, "embed_here", embed)
        rebuild_index(folder, other)
        return embed(*given)

    monkeypatch.setattr(index.model, "embed_here", slow)
    assert put(client, {"id": 1, "text": "A zebra in the snow."})["changed"] == 1
    now = SentenceIndex.open(folder, other)
    assert now.search("A zebra in the snow.", 1)[0].score > 0.999
    assert len(now) == 41
    assert delete(client, 1).status_code == 200
    answer = client.post("/reload").json()
    assert answer == {"index": "things", "model": "model", "count": 40, "commit": opened_with(folder, other)}


def opened_with(folder: Path, model: Path) -> int:
    return SentenceIndex.open(folder, model).info().generation


def test_a_reload_tries_at_once_what_could_not_be_opened(
    client: TestClient, index: SentenceIndex, other: Path, tmp_path: Path
) -> None:
    assert index.folder is not None
    new = shutil.copytree(other, tmp_path / "new")
    rebuild_index(index.folder, SimCSE(new, device="cpu"))
    moved = new.rename(tmp_path / "moved")
    assert client.post("/search", json={"queries": "a"}).status_code == 503
    assert client.post("/reload").status_code == 503
    moved.rename(new)
    assert client.post("/search", json={"queries": "a"}).status_code == 503  # not tried again yet
    assert client.post("/reload").json()["count"] == 41
    assert client.post("/search", json={"queries": SENTENCES[4], "k": 1}).json()["hits"][0][0]["score"] > 0.999


@pytest.mark.slow
def test_a_server_that_runs_follows_a_rebuild(model_folder: Path, other: Path, tmp_path: Path) -> None:
    """A separate process; another one rebuilds."""
    SentenceIndex.build(model_folder, SENTENCES).save(tmp_path / "index")
    SentenceIndex.build(other, SENTENCES[:4], ["%2F", "a/b", "ü", "/"]).save(tmp_path / "strings")
    targets = [f"things={tmp_path / 'index'}", f"strings={tmp_path / 'strings'}"]
    with running(*targets, "--port", "0", "--writable", "--dtype", "float32") as server:
        assert server.post("/search", queries=SENTENCES[4], k=1).json()["hits"][0][0]["text"] == SENTENCES[4]
        done = run("index", "rebuild", tmp_path / "index", "--model", other)
        assert done.returncode == 0, done.stderr
        for number in range(5):
            hit = server.post("/search", queries=SENTENCES[number], k=1).json()["hits"][0][0]
            assert (hit["text"], hit["score"] > 0.999) == (SENTENCES[number], True)
        body = {"documents": [{"id": 3, "text": "A zebra in the snow."}]}
        assert httpx.put(f"{server.url}/documents", json=body, timeout=60).json()["changed"] == 1
        assert httpx.delete(f"{server.url}/documents/5", timeout=60).json()["id"] == 5
        assert server.post("/reload").json()["count"] == 39
        strings = SentenceIndex.open(tmp_path / "strings", other)
        for id_ in ("%2F", "a/b", "ü"):  # the client of the other tests decodes twice
            address = f"{server.url}/documents/{quote(id_, safe='')}"
            assert httpx.delete(address, params={"index": "strings"}, timeout=60).json()["id"] == id_
        assert strings.refresh()
        assert list(content(strings)) == ["/"]
    now = SentenceIndex.open(tmp_path / "index", other)
    assert now.get([3])[0].text == "A zebra in the snow."
    now.verify()
