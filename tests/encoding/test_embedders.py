"""Everything that can be measured, by one name."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from simcse_kit import SimCSE, open_embedder
from simcse_kit.errors import ModelError

SENTENCES = ["A man plays.", "A dog runs far away.", "Nothing."]


def test_a_model_is_itself(tiny_model: Callable[[str], Path]) -> None:
    folder = tiny_model("bert")
    embedder = open_embedder(folder, pooling="mean")
    np.testing.assert_array_equal(embedder.encode(SENTENCES), SimCSE(folder, pooling="mean").encode(SENTENCES))
    assert embedder.pooling == "mean"


def test_a_folder_that_only_sentence_transformers_runs(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    backbone = Transformer(str(tiny_model("bert")))
    both = Pooling(backbone.get_embedding_dimension(), pooling_mode=["cls", "mean"])
    peer = SentenceTransformer(modules=[backbone, both], device="cpu")
    peer.save(str(tmp_path / "both"))
    with pytest.warns(UserWarning, match="running it with sentence-transformers"):
        embedder = open_embedder(tmp_path / "both", device="cpu")
    vectors = embedder.encode(SENTENCES)
    np.testing.assert_allclose(vectors, peer.encode(SENTENCES), atol=1e-6)
    assert vectors.shape[1] == 2 * backbone.get_embedding_dimension()
    with pytest.raises(ModelError, match="only with --backend torch and float32"):
        open_embedder(tmp_path / "both", dtype="bfloat16")


def test_a_function_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_of_this_test.py").write_text("def lengths(texts):\n    return [[len(t), 1.0] for t in texts]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    vectors = open_embedder("mine_of_this_test:lengths").encode(SENTENCES)
    assert vectors.tolist() == [[len(text), 1.0] for text in SENTENCES]
    with pytest.raises(ModelError, match="has no nothing"):
        open_embedder("mine_of_this_test:nothing")
    with pytest.raises(ModelError, match="cannot import the module no_such_module_here"):
        open_embedder("no_such_module_here:f")
    with pytest.raises(ModelError, match="has its own"):
        open_embedder("mine_of_this_test:lengths", pooling="mean")


class Answers(http.server.BaseHTTPRequestHandler):
    """Vectors in reverse order, after one refusal for being busy."""

    asked: list[dict[str, object]]
    key: str | None
    busy: int

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        kind = type(self)
        if kind.key and self.headers.get("authorization") != f"Bearer {kind.key}":
            self.answer(401, {"error": "key"})
        elif kind.busy:
            kind.busy -= 1
            self.answer(429, {"error": "busy"})
        elif body["model"] != "theirs":
            self.answer(404, {"error": "no such model"})
        else:
            kind.asked.append({"path": self.path, **body})
            data = [{"index": i, "embedding": [len(text), i]} for i, text in enumerate(body["input"])]
            self.answer(200, {"data": data[::-1]})

    def answer(self, status: int, content: object) -> None:
        written = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(written)))
        self.send_header("retry-after", "0.01")
        self.end_headers()
        self.wfile.write(written)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Answers.asked, Answers.key, Answers.busy = [], None, 1
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_address[1]}/v1/"
        serving.shutdown()


def test_an_endpoint(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Answers.key = "secret"
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    vectors = open_embedder("theirs", endpoint=server, batch_size=2).encode(SENTENCES)
    assert vectors.tolist() == [[len(SENTENCES[0]), 0], [len(SENTENCES[1]), 1], [len(SENTENCES[2]), 0]]
    assert [asked["path"] for asked in Answers.asked] == ["/v1/embeddings"] * 2
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    with pytest.raises(ModelError, match="rejects the API key"):
        open_embedder("theirs", endpoint=server).encode(SENTENCES)
    Answers.key = None
    with pytest.raises(ModelError, match="model other: 404"):
        open_embedder("other", endpoint=server).encode(SENTENCES)


def test_an_endpoint_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simcse_kit.encoding.embedders.time.sleep", lambda seconds: None)
    with pytest.raises(ModelError, match="no answer from"):
        open_embedder("theirs", endpoint="http://127.0.0.1:9/v1").encode(SENTENCES)


def test_a_folder_is_not_asked_for_at_an_endpoint(server: str, tiny_model: Callable[[str], Path]) -> None:
    assert open_embedder(tiny_model("bert"), endpoint=server, pooling="cls").pooling == "cls"
