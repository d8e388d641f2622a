"""The real server in its own process: the command, OpenAI's client, signals, fuzzing of the API description."""

from __future__ import annotations

import re
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
import torch
from fastapi.testclient import TestClient

from simcse_kit import SentenceIndex, SimCSE
from simcse_kit.serving import ServeError, Started, create_app, open_targets, serve
from support.commands import run
from support.plain import unit
from support.server import Running, in_thread, running


@pytest.fixture(scope="module")
def folder(tiny_model: Any, tmp_path_factory: pytest.TempPathFactory, sentences: list[str]) -> Path:
    """model/ and index/ of it."""
    target = tmp_path_factory.mktemp("served")
    SimCSE(tiny_model("bert"), pooling="mean", device="cpu").save(target / "model")
    SentenceIndex.build(target / "model", sentences).save(target / "index")
    return target


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Running]:
    with running("things=" + str(folder / "index"), "--port", "0", "--writable", "--dtype", "float32") as started:
        yield started


def test_openais_client_gets_vectors(server: Running, folder: Path, sentences: list[str]) -> None:
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    assert [one.id for one in client.models.list()] == ["model"]
    expected = unit(SimCSE(folder / "model", device="cpu").encode(sentences[:3]))
    for coding in ("float", None):  # None: the client asks for base64, and decodes it
        more: Any = {} if coding is None else {"encoding_format": coding}
        answer = client.embeddings.create(model="model", input=sentences[:3], **more)
        np.testing.assert_allclose([one.embedding for one in answer.data], expected, atol=1e-6)
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt'"):
        client.embeddings.create(model="gpt", input="a")
    with pytest.raises(openai.UnprocessableEntityError, match="text number 0 is empty"):
        client.embeddings.create(model="model", input="")


def test_a_model_is_loaded_once(folder: Path) -> None:
    index, model = str(folder / "index"), str(folder / "model")
    indexes, models = open_targets([model, f"one={index}", f"two={index}"], device="cpu")
    assert {id(one.model) for one in indexes.values()} == {id(models["model"])}
    indexes, models = open_targets([f"one={index}", f"a={model}", f"b={model}/"], device="cpu")
    assert models["a"] is models["b"] is indexes["one"].model
    with TestClient(create_app(indexes, models), base_url="http://127.0.0.1") as client:
        assert [card["id"] for card in client.get("/v1/models").json()["data"]] == ["a", "b"]
        vectors = [client.post("/embed", json={"inputs": "a cat", "model": name}).json() for name in ("a", "b")]
    assert vectors[0] == vectors[1]
    with pytest.raises(ServeError, match="two targets are called 'model'"):
        open_targets([model, model], device="cpu")


def test_nothing_heavy_is_imported_before_it_listens() -> None:
    code = (
        "import sys; from simcse_kit.serving import running; from simcse_kit.cli import main\n"
        "running.run_server = lambda *given, **more: print(*sys.modules)\n"
        "sys.argv = ['simcse-kit', 'serve', 'model', '--port', '0']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "transformers", "openvino", "fastapi", "faiss", "scipy", "sklearn", "datasets", "numpy"}
    assert "uvicorn" in done.stdout.split()
    assert heavy.isdisjoint(done.stdout.split())


def test_a_model_runs_once_before_it_is_served(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = SimCSE(folder / "model", device="cpu")
    encode, seen = model.embed_here, list[Any]()
    monkeypatch.setattr(model, "embed_here", lambda *given: seen.append(given) or encode(*given))
    with TestClient(create_app(models={"one": model, "two": model}), base_url="http://127.0.0.1") as client:
        assert len(seen) == 1
        assert 'simcse_kit_batch_size_count{model="one"} 0.0' in client.get("/metrics").text


def test_a_model_that_cannot_encode_is_not_served(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = SimCSE(folder / "model", device="cpu")
    encode = model.embed_here
    monkeypatch.setattr(model, "embed_here", lambda *given: encode(*given)._replace(vectors=torch.full((1, 8), np.nan)))
    text = "cannot serve broken, because it cannot encode a sentence: broken returns vectors that are"
    with pytest.raises(ServeError, match=text), TestClient(create_app(models={"broken": model})):
        pass
    assert not any(thread.name == "encode broken" for thread in threading.enumerate())


def test_the_command_says_what_it_serves(server: Running) -> None:
    assert server.line.startswith(f"serving index things at {server.url} (API: {server.url}/docs)")


def test_targets_are_served_beside_what_is_open(folder: Path, sentences: list[str]) -> None:
    """As the command does; the model of both indexes is loaded once, so one is served."""
    index = SentenceIndex.open(folder / "index", device="cpu")
    target = f"things={folder / 'index'}"
    with in_thread({"open": index}, targets=[target], device="cpu") as started:
        assert started.indexes == ("open", "things")
        assert [one["id"] for one in httpx.get(f"{started.url}/v1/models").json()["data"]] == ["model"]
        for name in started.indexes:
            answer = httpx.post(f"{started.url}/search", json={"queries": sentences[3], "k": 1, "index": name}).json()
            assert answer["hits"][0][0]["text"] == sentences[3]
    with pytest.raises(ServeError, match="two targets are called 'things'"):
        serve({"things": index}, targets=[target], port=0)


@pytest.mark.slow
def test_a_client_that_sends_slowly_is_let_go(folder: Path) -> None:
    with running(str(folder / "model"), "--port", "0", "--timeout", "0.5") as started:
        host, port = started.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as slow:
            slow.sendall(
                b"POST /embed HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"
                b"\r\n{"
            )
            answer = slow.recv(4096).decode()
        assert answer.startswith("HTTP/1.1 408")
        assert httpx.get(f"{started.url}/health").is_success


@pytest.mark.slow
def test_sigterm_finishes_what_is_under_way(folder: Path, sentences: list[str]) -> None:
    with running(str(folder / "model"), "--port", "0") as started:
        answers: list[int] = []

        def ask() -> None:
            texts = [f"{sentence} {i}" for i in range(40) for sentence in sentences]
            answers.append(httpx.post(f"{started.url}/embed", json={"inputs": texts}, timeout=60).status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        for _ in range(400):  # until it is under way
            found = re.search(r"^simcse_kit_batch_size_sum\S* (\S+)$", httpx.get(f"{started.url}/metrics").text, re.M)
            if found and float(found[1]) > 0:
                break
            time.sleep(0.005)
        started.process.send_signal(signal.SIGTERM)
        asking.join(60)
        assert answers == [200]
        started.process.wait(30)
        assert started.process.returncode in (0, -signal.SIGTERM)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{started.url}/health")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--host", "0.0.0.0"], "other machines can reach the server: set an API key"),
        (["--port", "{taken}"], "cannot listen on 127.0.0.1:"),
        (["{model}"], "two targets are called 'model'"),
        (["nowhere-at-all"], "nowhere-at-all"),
        (["{parent}"], "is neither an index (no manifest.json) nor a model (no config.json)"),
    ],
)
def test_what_cannot_start_is_said_in_a_line(folder: Path, server: Running, arguments: list[str], text: str) -> None:
    filled = [
        one.format(taken=server.url.rpartition(":")[2], model=folder / "model", parent=folder.parent)
        for one in arguments
    ]
    done = run("serve", folder / "model", *filled)
    assert done.returncode == 1
    assert text in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"host": "0.0.0.0"}, "http://localhost:"),
        ({"host": "::"}, "http://[::1]:"),
        ({"host": "::1"}, "http://[::1]:"),
        ({"host": "127.0.0.1", "root_path": "/search"}, "http://127.0.0.1:"),
    ],
)
def test_the_address_that_it_says_can_be_opened(folder: Path, settings: dict[str, str], expected: str) -> None:
    if ":" in settings["host"]:
        try:
            socket.socket(socket.AF_INET6).bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 here")
    with in_thread(targets=[str(folder / "index")], device="cpu", no_auth=True, **settings) as started:
        assert started.url.startswith(expected)
        assert "<title>" in httpx.get(f"{started.url}/").text
        assert httpx.get(f"{started.url}/docs").is_success


def test_behind_a_proxy_the_command_names_the_page_not_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    started = Started("http://localhost:8000/search", ("things",), ())
    monkeypatch.setattr("simcse_kit.serving.serve", lambda **settings: settings["on_start"](started))
    done = run("serve", "things", "--root-path", "/search")
    assert "at http://localhost:8000/search/ (API: http://localhost:8000/search/docs)" in done.stderr


@pytest.mark.slow
def test_a_key_from_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMCSE_KIT_API_KEY", "k3y")
    with running(str(folder / "model"), "--port", "0") as started:
        assert httpx.get(f"{started.url}/info").status_code == 401
        assert httpx.get(f"{started.url}/info", headers={"authorization": "Bearer k3y"}).is_success


def test_from_a_text_file_to_a_page_in_one_command(folder: Path, sentences: list[str], tmp_path: Path) -> None:
    (tmp_path / "tickets.txt").write_text("\n".join(sentences) + "\n", encoding="utf-8")
    command = ["--sentences", "tickets.txt", "--model", str(folder / "model"), "--no-browser", "--port", "0"]
    for _ in range(2):  # the second server opens the first one's index, with the added rows
        with running(*command, command="demo", folder=tmp_path) as started:
            assert "<title>" in httpx.get(started.url).text
            card = httpx.get(f"{started.url}/info").json()["indexes"][0]
            assert card["name"] == "tickets"
            hits = httpx.post(f"{started.url}/search", json={"queries": sentences[4], "k": 1}).json()["hits"]
            assert hits[0][0]["text"] == sentences[4]
            count = httpx.post(f"{started.url}/add", json={"sentences": ["One more."]}).json()["count"]
            assert count == card["count"] + 1
    assert count == len(sentences) + 2
    assert len(list((tmp_path / "simcse-kit-demo").iterdir())) == 1


@pytest.mark.slow
def test_no_request_that_fits_the_description_breaks_it(server: Running, tmp_path: Path) -> None:
    """Schemathesis makes requests of the server's own description, right ones and wrong ones."""
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            f"{server.url}/openapi.json",
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
            "negative_data_rejection,unsupported_method",
            "--phases",
            "examples,coverage,fuzzing",
            "--max-examples",
            "25",
            "--seed",
            "1",
            "--no-color",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert httpx.get(f"{server.url}/health").is_success
