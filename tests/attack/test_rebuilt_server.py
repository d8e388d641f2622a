"""An index is rebuilt with other models while clients search and add: right answers, or an error with a reason."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from simcse_kit import SentenceIndex, SimCSE
from simcse_kit.serving import create_app
from support.tiny import SENTENCES, make_model

pytestmark = pytest.mark.slow
SECONDS = 20
MISSING = "is missing, but the manifest names it"  # an answer of 500 while a folder is deleted file by file


def test_every_answer_is_right_while_the_model_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("simcse_kit.serving.indexes._AGAIN", 0.0)
    models = []
    for number in range(2):
        raw = make_model("bert", tmp_path / f"raw{number}", seed=number)
        SimCSE(raw, pooling="mean", device="cpu").save(tmp_path / f"model{number}")
        models.append(SimCSE(tmp_path / f"model{number}", device="cpu"))
    texts = list(SENTENCES)
    folder = tmp_path / "i"
    SentenceIndex.build(models[0], texts).save(folder)
    app = create_app({"i": SentenceIndex.open(folder, models[0])}, writable=True)
    stop, statuses, wrong = threading.Event(), Counter[tuple[str, int]](), []

    def rebuild() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            SentenceIndex.build(models[number % 2], texts).save(tmp_path / "next")
            if number % 2:
                folder.rename(tmp_path / "old")
            else:
                shutil.rmtree(folder, ignore_errors=True)
                while folder.exists():  # an add was writing there
                    shutil.rmtree(folder, ignore_errors=True)
            (tmp_path / "next").rename(folder)
            shutil.rmtree(tmp_path / "old", ignore_errors=True)
            time.sleep(0.3)

    def search(client: TestClient, first: int) -> None:
        number = first
        while not stop.is_set():
            number = (number + 7) % len(texts)
            answer = client.post("/search", json={"queries": texts[number], "k": 1})
            statuses["search", answer.status_code] += 1
            if answer.status_code == 200:
                hit = answer.json()["hits"][0][0]
                if hit["text"] != texts[number] or hit["score"] < 0.999:
                    wrong.append((texts[number], hit))
            elif answer.status_code != 503:
                wrong.append(answer.text)

    def add(client: TestClient) -> None:
        while not stop.is_set():
            answer = client.post("/add", json={"sentences": ["A text that was added."]})
            statuses["add", answer.status_code] += 1
            if answer.status_code not in (200, 503):
                wrong.append(answer.text)
            time.sleep(0.05)

    with (
        caplog.at_level("ERROR"),
        TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client,
    ):
        work = [(rebuild, ()), (search, (client, 0)), (search, (client, 3)), (add, (client,))]
        threads = [threading.Thread(target=function, args=arguments) for function, arguments in work]
        for thread in threads:
            thread.start()
        time.sleep(SECONDS)
        stop.set()
        for thread in threads:
            thread.join(60)
        names = [card["id"] for card in client.get("/v1/models").json()["data"]]
    assert wrong == [], caplog.text
    assert statuses["search", 200] > 20, statuses
    assert statuses["add", 200] > 5, statuses
    assert len(names) == 1  # models without an index are gone
    index = SentenceIndex.open(folder)
    index.verify()
    for row, vector in index._collection.rows():
        assert index.model.similarity(row.text, row.text) == pytest.approx(1, abs=1e-5)
        own = index.model.encode_document([row.text], normalize_embeddings=True)[0]
        assert own @ vector == pytest.approx(1, abs=1e-4), row.text
