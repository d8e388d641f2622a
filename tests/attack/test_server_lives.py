"""A server over its lifetime: it loads, a worker panics, SIGHUP reloads; other clients are answered."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from simcse_kit import SentenceIndex, SimCSE
from support.plain import unit
from support.server import Running, running, wait_until

pytestmark = pytest.mark.slow

REGEX = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
PANIC = "a" * 40 + "b"  # the regular expression gives up on it, and the tokenizer panics


@pytest.fixture(scope="module")
def server(model_folder: Path) -> Iterator[Running]:
    with running(f"tickets-model={model_folder}", "--port", "0") as started:
        yield started


def test_health_is_503_while_it_loads(model_folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    seen: list[int] = []

    def look() -> bool:
        try:
            seen.append(httpx.get(f"{url}/health", timeout=5).status_code)
        except httpx.TransportError:
            return False
        return seen[-1] == 200

    command = [sys.executable, "-m", "simcse_kit", "serve", str(model_folder), "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_until(look, "it is loaded", 120)
    finally:
        process.kill()
        process.wait()
    assert set(seen) == {200, 503}
    assert seen == sorted(seen, reverse=True)


def test_what_cannot_be_loaded_ends_it_with_a_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "simcse_kit", "serve", str(tmp_path), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "is neither an index (no manifest.json) nor a model" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_that_panics_goes_on(model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "panics"
    shutil.copytree(model_folder, folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["pre_tokenizer"] = REGEX
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    with running(str(folder), "--port", "0") as server:
        for _ in range(2):
            assert server.post("/embed", inputs="hello").is_success
            answer = server.post("/embed", inputs=PANIC)
            assert answer.status_code == 500
            assert answer.json()["error"]["type"] == "server_error"
        assert server.post("/embed", inputs="hello again").is_success
        assert server.get("/health").is_success
        server.wait_for_line("PanicException")


def test_sighup_reloads_index_model_and_keys(model_folder: Path, sentences: list[str], tmp_path: Path) -> None:
    index, other, keys = tmp_path / "index", tmp_path / "model", tmp_path / "keys"
    model = SimCSE(model_folder, device="cpu")
    SentenceIndex.build(model, sentences).save(index)
    shutil.copytree(model_folder, other)
    keys.write_text("old-key\n", encoding="utf-8")
    arguments = [f"things={index}", str(other), "--port", "0", "--dtype", "float32", "--api-key-file", str(keys)]
    with running(*arguments) as server:

        def statuses(key: str) -> int:
            return server.get("/info", headers={"authorization": f"Bearer {key}"}).status_code

        assert (statuses("old-key"), statuses("new-key")) == (200, 401)
        shutil.rmtree(index)
        SentenceIndex.build(model, ["Something else."]).save(index)
        shutil.rmtree(other)
        changed = SimCSE(model_folder, device="cpu")
        changed.max_seq_length = 5
        changed.save(other)
        keys.write_text("new-key\n", encoding="utf-8")
        failed: list[int] = []
        asking = threading.Event()

        def ask() -> None:
            while not asking.wait(0.01):
                keyed = [{"authorization": f"Bearer {key}"} for key in ("old-key", "new-key")]
                answers = [server.get("/v1/models", headers=headers).status_code for headers in keyed]
                failed.extend(status for status in answers if status not in (200, 401))

        thread = threading.Thread(target=ask)
        thread.start()
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_line("serving ", 2)
        asking.set()
        thread.join(60)
        assert failed == []
        assert (statuses("old-key"), statuses("new-key")) == (401, 200)
        headers = {"authorization": "Bearer new-key"}
        found = httpx.post(f"{server.url}/search", json={"queries": "a", "k": 9}, headers=headers).json()
        assert [hit["text"] for hit in found["hits"][0]] == ["Something else."]
        long = {"model": "model", "input": "the cat " * 5}
        assert httpx.post(f"{server.url}/v1/embeddings", json=long, headers=headers).status_code == 422
        keys.write_text("", encoding="utf-8")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_line("the server keeps what it has loaded before")
        assert statuses("new-key") == 200
        server.process.terminate()
        server.process.wait(30)


def test_demo_ends_with_its_terminal(model_folder: Path, sentences: list[str], tmp_path: Path) -> None:
    SentenceIndex.build(SimCSE(model_folder, device="cpu"), sentences).save(tmp_path / "index")
    with running(str(tmp_path / "index"), "--no-browser", "--port", "0", command="demo") as server:
        assert server.get("/info").json()["indexes"][0]["can_add"] is False
        assert server.post("/add", sentences=["a"]).status_code == 403
        server.process.send_signal(signal.SIGHUP)
        assert server.process.wait(30) == -signal.SIGHUP


def test_demo_adds_where_it_is_said(model_folder: Path, sentences: list[str], tmp_path: Path) -> None:
    for name in ("one", "two"):
        SentenceIndex.build(SimCSE(model_folder, device="cpu"), sentences).save(tmp_path / name)
    arguments = [str(tmp_path / "one"), "--compare", str(tmp_path / "two"), "--no-browser", "--port", "0"]
    with running(*arguments, "--writable", command="demo") as server:
        assert server.post("/add", sentences=["A zebra."], index="two").is_success
        counts = {card["name"]: card["count"] for card in server.get("/info").json()["indexes"]}
        assert counts == {"one": len(sentences), "two": len(sentences) + 1}


def test_info_is_answered_beside_commits(model_folder: Path, sentences: list[str], tmp_path: Path) -> None:
    model = SimCSE(model_folder, device="cpu")
    SentenceIndex.build(model, sentences).save(tmp_path / "index")
    with running(str(tmp_path / "index"), "--port", "0", "--dtype", "float32") as server:
        writer, until = SentenceIndex.open(tmp_path / "index", model), time.monotonic() + 8
        statuses: set[int] = set()

        def look() -> None:
            while time.monotonic() < until:
                statuses.add(server.get("/info").status_code)
                statuses.add(server.post("/search", queries="a", map="pca").status_code)

        looking = [threading.Thread(target=look) for _ in range(2)]
        for thread in looking:
            thread.start()
        while time.monotonic() < until:
            writer.add(["One more."])
            writer.save()
            writer.compact()
        for thread in looking:
            thread.join(60)
    assert statuses == {200}


def test_openais_client(server: Running, model_folder: Path, sentences: list[str]) -> None:
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    expected = unit(SimCSE(model_folder, device="cpu").encode(sentences[:3]))
    nothing: Any = None
    for coding in ("float", "base64", nothing, openai.omit):
        answer = client.embeddings.create(model="tickets-model", input=sentences[:3], encoding_format=coding)
        vectors: list[Any] = [one.embedding for one in answer.data]
        if coding == "base64":  # a client that asks for base64 decodes it
            vectors = [np.frombuffer(base64.b64decode(one), "<f4") for one in vectors]
        np.testing.assert_allclose(vectors, expected, atol=2e-2)
    assert client.models.retrieve("tickets-model").id == "tickets-model"
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt'"):
        client.models.retrieve("gpt")
    with pytest.raises(openai.UnprocessableEntityError, match="check_embedding_ctx_length=False"):
        client.embeddings.create(model="tickets-model", input=[[15339, 1917]])
    short = client.embeddings.create(model="tickets-model", input=sentences[:3], dimensions=8)
    np.testing.assert_allclose([one.embedding for one in short.data], unit(expected[:, :8]), atol=2e-2)
    server.wait_for_line("not known to be trained for this")
