"""A pooler says everything about itself, and so may a user's own: encode, save, load, and sentence-transformers."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from simcse_kit import ModelError, Notice, SimCSE
from simcse_kit.cli.options import POOLING_HELP
from simcse_kit.cli.train import train_command
from simcse_kit.encoder.poolers import POOLERS, Pooler
from simcse_kit.encoder.pooling import pool, recorded_pooling
from support.plain import plain_vectors
from support.tiny import make_model

OWN = """
from simcse_kit.encoder.poolers import Pooler
from simcse_kit.encoder.poolers.mean import mean

def _sum(hidden, mask):
    return hidden.sum(1) if mask is None else (hidden * mask.unsqueeze(-1)).sum(1)

total = Pooler(name="total", help="sum of the tokens", pool=lambda hidden, mask: _sum(hidden, mask))
middle = Pooler(name="middle", help="three layers", pool=mean, layers=(1, 2, -1), st_mode="mean")
twice = Pooler(name="twice", help="a layer counts twice", pool=mean, layers=(0, -1, -1), st_mode="mean")
deep = Pooler(name="deep", help="no such layer", pool=mean, layers=(9,), st_mode="mean")
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The module ``own_poolers``, as a user may have one; not imported yet."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "own_poolers.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path / "code")
    yield
    sys.modules.pop("own_poolers", None)
    POOLERS._own.clear()


@pytest.fixture(scope="module")
def deep_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model("bert", tmp_path_factory.mktemp("deep") / "bert", num_hidden_layers=4)


def test_every_layer_is_averaged() -> None:
    """Layers of ones, twos and sixes: their average is three."""
    states = [torch.full((1, 2, 4), float(value)) for value in (100, 1, 2, 6)]
    three = Pooler(name="three", help="", pool=POOLERS.get("mean").pool, layers=(1, 2, 3))
    assert torch.equal(pool(three, states, None), torch.full((1, 4), 3.0))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"st_mode": "attention"}, r"pooling odd: st_mode must be one of cls, max, mean, .*; got 'attention'"),
        ({"st_mode": "max", "mask_token": True}, "pooling odd: sentence-transformers reads a mask token by st_mode"),
        ({"layers": ()}, r"pooling odd: layers must be one or more whole numbers; got \(\)"),
    ],
)
def test_a_pooler_that_would_be_written_wrong_is_an_error(wrong: dict, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        Pooler(name="odd", help="", pool=POOLERS.get("mean").pool, **wrong)


def test_the_modes_are_those_of_sentence_transformers() -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling

    from simcse_kit.encoder.folder_pooling import _FLAGS
    from simcse_kit.encoder.poolers import ST_MODES

    assert set(ST_MODES) == set(_FLAGS.values()) == set(Pooling.POOLING_MODES)


def test_the_help_is_made_of_the_parts_without_torch() -> None:
    for pooler in POOLERS:
        assert pooler.name in POOLING_HELP
        assert train_command("sup").choices["Poolings"][pooler.name] == pooler.help  # type: ignore[attr-defined]
    code = "import sys\nfrom simcse_kit.cli.options import POOLING_HELP\nsys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# A user's own


def test_an_own_pooling_encodes(own: None, tiny_model: Callable[[str], Path], sentences: list[str]) -> None:
    model = SimCSE(tiny_model("bert"), pooling="own_poolers:total", device="cpu")
    assert model.pooling == "own_poolers:total"
    lengths = [[len(model.tokenizer(text)["input_ids"])] for text in sentences[:6]]
    expected = plain_vectors(tiny_model("bert"), "mean", sentences[:6]) * np.array(lengths)
    np.testing.assert_allclose(model.encode(sentences[:6]), expected, atol=1e-4)
    again = pickle.loads(pickle.dumps(model))  # its function is a lambda, which is not pickled
    np.testing.assert_array_equal(again.encode(sentences), model.encode(sentences))


@pytest.mark.parametrize("pooling", ["total", "middle", "twice"])
def test_an_own_pooling_is_loaded_only_where_the_caller_says_so(
    own: None, deep_bert: Path, tmp_path: Path, sentences: list[str], pooling: str
) -> None:
    name, folder = f"own_poolers:{pooling}", tmp_path / "m"
    model = SimCSE(deep_bert, pooling=name, device="cpu")
    model.save(folder)
    vectors = model.encode(sentences)
    assert json.loads((folder / "simcse_kit.json").read_text())["pooling"] == name
    del sys.modules["own_poolers"]
    POOLERS._own.clear()
    with pytest.raises(ModelError, match=rf"pooling {name} is code outside of this package.*trust_remote_code"):
        SimCSE(folder, device="cpu")
    assert "own_poolers" not in sys.modules
    assert SimCSE(folder, pooling="mean", device="cpu").pooling == "mean"
    assert "own_poolers" not in sys.modules
    for again in (
        SimCSE(folder, pooling=name, device="cpu"),
        SimCSE(folder, device="cpu", trust_remote_code=True),
    ):
        assert again.pooling == name
        np.testing.assert_array_equal(again.encode(sentences), vectors)
        assert again.fingerprint() == model.fingerprint()


@pytest.mark.parametrize("pooling", ["middle", "twice"])
def test_own_layers_are_written_as_they_are(
    own: None, deep_bert: Path, tmp_path: Path, sentences: list[str], pooling: str
) -> None:
    from sentence_transformers import SentenceTransformer

    model = SimCSE(deep_bert, pooling=f"own_poolers:{pooling}", device="cpu")
    model.save(tmp_path / "m")
    theirs = SentenceTransformer(str(tmp_path / "m"), device="cpu").encode(sentences)
    np.testing.assert_allclose(theirs, model.encode(sentences), atol=1e-5)
    (tmp_path / "m" / "simcse_kit.json").unlink()
    with pytest.raises(ModelError, match="neither avg_top2 nor avg_first_last"):  # its name was there
        SimCSE(tmp_path / "m", device="cpu")


def test_what_sentence_transformers_cannot_say_is_said_once_and_refused_there(
    own: None, tiny_model: Callable[[str], Path], tmp_path: Path, sentences: list[str]
) -> None:
    from sentence_transformers import SentenceTransformer

    model = SimCSE(tiny_model("bert"), pooling="own_poolers:total", device="cpu")
    with pytest.warns(Notice, match="sentence-transformers has no pooling like own_poolers:total") as said:
        [model.save(tmp_path / name) for name in ("m", "n")]
    assert len(said) == 1
    for trust in (False, True):
        with pytest.raises((ValueError, ImportError), match="NotInSentenceTransformers"):
            SentenceTransformer(str(tmp_path / "m"), device="cpu", trust_remote_code=trust)
    card = (tmp_path / "m" / "README.md").read_text()
    assert 'SimCSE("path/or/name/of/this/model", pooling="own_poolers:total")' in card
    assert "sentence-transformers has no such pooling" in card
    assert "import SentenceTransformer" not in card
    assert "library_name" not in card
    (tmp_path / "m" / "simcse_kit.json").unlink()
    with pytest.raises(ModelError, match=r"its pooling is not sentence-transformers', and no simcse_kit.json names it"):
        SimCSE(tmp_path / "m", device="cpu")


def test_a_layer_that_the_backbone_does_not_have(own: None, tiny_model: Callable[[str], Path]) -> None:
    with pytest.raises(ModelError, match="pooling own_poolers:deep reads layer 9; this backbone has 2"):
        SimCSE(tiny_model("bert"), pooling="own_poolers:deep", device="cpu")


def test_a_name_from_a_file_imports_nothing(own: None) -> None:
    assert recorded_pooling("avg") == "mean"
    with pytest.raises(ModelError, match="trust_remote_code"):
        recorded_pooling("own_poolers:total")
    assert "own_poolers" not in sys.modules
    assert recorded_pooling("own_poolers:total", trust_remote_code=True) == "own_poolers:total"


def test_the_last_layer_alone_is_the_mean(deep_bert: Path, tmp_path: Path, sentences: list[str]) -> None:
    from safetensors.torch import save_file
    from sentence_transformers import SentenceTransformer

    SimCSE(deep_bert, pooling="avg_top2", device="cpu").save(tmp_path / "m")
    path = tmp_path / "m" / "1_WeightedLayerPooling"
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"layer_start": 4}))
    save_file({"layer_weights": torch.tensor([0.5])}, path / "model.safetensors")
    ours = SimCSE(tmp_path / "m", device="cpu")
    assert ours.pooling == "mean"
    theirs = SentenceTransformer(str(tmp_path / "m"), device="cpu").encode(sentences)
    np.testing.assert_allclose(theirs, ours.encode(sentences), atol=1e-5)
