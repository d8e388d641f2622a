"""Encoders that need care: vectors do not depend on the batch, saved models load, bfloat16 falls back."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from simcse_kit import ModelError, SimCSE, train_unsup
from simcse_kit.encoder import probing
from simcse_kit.encoder.hub import resolve
from simcse_kit.encoder.load import load_encoder
from simcse_kit.encoder.probing import half_fault_in_training
from simcse_kit.errors import Notice
from support.families import SETTINGS, make_family
from support.marks import fast
from support.tiny import SENTENCES, save_model

Family = Callable[[str], Path]
NOT_MASKED = ["fnet", "canine", "nystromformer", "yoso", "convbert", "mobilebert"]
ENCODERS = ["t5", "mt5", "umt5", "bart"]
TEXTS = [SENTENCES[-1], SENTENCES[21], SENTENCES[0], SENTENCES[3], SENTENCES[16], SENTENCES[18]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Test results about a model are stored in a cache for tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "simcse-kit"


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    """Folder of a random model of a family; made once, only read."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = make_family(name, tmp_path_factory.mktemp("families") / name)
        return made[name]

    return folder


@pytest.fixture
def sentences_file(tmp_path: Path) -> Path:
    path = tmp_path / "sentences.txt"
    path.write_text("\n".join(SENTENCES[:16]) + "\n")
    return path


def train(file: Path, run: Path, model: Path, **settings: Any) -> None:
    train_unsup(file, run, model=str(model), pooling="mean", batch_size=8, device="cpu", **settings)


def said(texts: list[warnings.WarningMessage]) -> str:
    return " ".join(str(one.message) for one in texts if issubclass(one.category, Notice))


@pytest.mark.parametrize("name", NOT_MASKED)
def test_a_vector_does_not_depend_on_the_batch(name: str, family: Family) -> None:
    with pytest.warns(Notice, match="each batch holds texts of equal length"):
        model = SimCSE(family(name), pooling="mean", device="cpu")
    alone = np.stack([model.encode(text) for text in TEXTS])
    np.testing.assert_allclose(model.encode(TEXTS), alone, atol=1e-5)
    np.testing.assert_allclose(model.encode(TEXTS[::-1], batch_size=2)[::-1], alone, atol=1e-5)


@pytest.mark.parametrize("name", ["squeezebert", "layoutlm", "ibert", "deberta-v1", *ENCODERS])
def test_masked_padding_changes_nothing(name: str, family: Family) -> None:
    model = SimCSE(family(name), pooling="mean", device="cpu")
    assert model.encoder.pads
    np.testing.assert_allclose(model.encode(TEXTS), np.stack([model.encode(text) for text in TEXTS]), atol=1e-5)


def test_a_vector_does_not_depend_on_the_texts_before(family: Family) -> None:
    model = SimCSE(family("big_bird"), pooling="mean", device="cpu")
    long = " ".join(SENTENCES[:30])  # BigBird's attention is sparse for it, and full for a short text
    expected = model.encode(long)
    short = model.encode(SENTENCES[0])
    np.testing.assert_allclose(model.encode(long), expected, atol=1e-6)
    np.testing.assert_allclose(model.encode([SENTENCES[0], long]), [short, expected], atol=1e-5)


def test_a_vocabulary_of_another_language_is_not_blamed(tiny_model: Family, tmp_path: Path) -> None:
    from transformers import BertJapaneseTokenizer, ConvBertConfig

    letters = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz雨が降る"]
    (tmp_path / "vocab.txt").write_text("\n".join(letters) + "\n", encoding="utf-8")
    tokenizer = BertJapaneseTokenizer(
        str(tmp_path / "vocab.txt"), word_tokenizer_type="basic", subword_tokenizer_type="character"
    )
    sizes = SETTINGS["convbert"][1](tokenizer) | {"max_position_embeddings": 256}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        SimCSE(save_model(ConvBertConfig(**sizes), tokenizer, tmp_path / "ja"), pooling="mean", device="cpu")
    assert "does not suit" not in said(caught)


def test_the_probe_leaves_random_states_and_is_kept(
    cache: Path, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    expected = torch.rand(1).item(), np.random.rand(), random.random()
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    first = SimCSE(family("fnet"), pooling="mean", device="cpu")
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == expected
    (kept,) = (cache / "padding").iterdir()
    assert kept.name.startswith(first.fingerprint())
    monkeypatch.setattr(probing, "beside_a_longer_one", lambda *_: pytest.fail("tried again"))
    assert not SimCSE(family("fnet"), pooling="mean", device="cpu").encoder.pads


def test_a_sound_family_is_not_tried(tiny_model: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "beside_a_longer_one", lambda *_: pytest.fail("tried"))
    monkeypatch.setattr(probing, "_states", lambda *_: pytest.fail("tried"))
    model = SimCSE(tiny_model("bert"), pooling="mean", device="cpu", dtype="bfloat16")
    assert model.encoder.pads
    assert model.backend.dtype == "bfloat16"
    assert half_fault_in_training(model.encoder, model.tokenizer) is None


def test_a_cache_that_cannot_be_written_is_no_trouble(
    tmp_path: Path, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert not SimCSE(family("convbert"), pooling="mean", device="cpu").encoder.pads


def test_a_text_is_cut_at_the_last_position(family: Family) -> None:
    model = SimCSE(family("ibert"), pooling="mean", device="cpu")
    assert model.max_seq_length == 64  # 65 positions, the padding's is not counted
    assert np.isfinite(model.encode(" ".join(SENTENCES))).all()


@pytest.mark.parametrize("name", ENCODERS)
def test_the_encoder_of_a_pair_is_saved_and_read(name: str, family: Family, tmp_path: Path) -> None:
    model = SimCSE(family(name), pooling="mean", device="cpu")
    expected = model.encode(TEXTS)
    model.save(tmp_path / "saved")
    again = SimCSE(tmp_path / "saved", device="cpu")
    np.testing.assert_allclose(again.encode(TEXTS), expected, atol=1e-6)
    assert again.fingerprint() == model.fingerprint()
    again.save(tmp_path / "twice")
    np.testing.assert_allclose(SimCSE(tmp_path / "twice", device="cpu").encode(TEXTS), expected, atol=1e-6)


@pytest.mark.parametrize("name", ENCODERS)
def test_sentence_transformers_reads_the_encoder_or_refuses(name: str, family: Family, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    model = SimCSE(family(name), pooling="mean", device="cpu")
    model.save(tmp_path / "saved")
    if name == "bart":  # it would read the decoder's states
        with pytest.raises(Exception, match="NotInSentenceTransformers"):
            SentenceTransformer(str(tmp_path / "saved"), device="cpu")
        return
    theirs = SentenceTransformer(str(tmp_path / "saved"), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(theirs, model.encode(TEXTS), atol=1e-5)


@pytest.mark.parametrize("more", [{}, pytest.param({"lora_rank": 2}, marks=pytest.mark.slow)], ids=["whole", "lora"])
@pytest.mark.parametrize("name", fast(["bart"], of=ENCODERS))
def test_the_encoder_of_a_pair_is_trained(
    name: str, more: dict[str, int], family: Family, sentences_file: Path, tmp_path: Path
) -> None:
    if more:
        pytest.importorskip("peft")
    start = SimCSE(family(name), pooling="mean", device="cpu").encode(TEXTS)
    train(sentences_file, tmp_path / "run", family(name), **more)
    trained = SimCSE(tmp_path / "run", device="cpu").encode(TEXTS)
    assert np.isfinite(trained).all()
    assert not np.allclose(trained, start)


@pytest.mark.parametrize("name", fast(["canine", "deberta-v1"], of=["canine", "deberta-v1", "squeezebert", "fnet"]))
def test_a_step_of_training(name: str, family: Family, sentences_file: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(sentences_file, tmp_path / "run", family(name), bf16=True)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    falls_back = name == "deberta-v1"
    assert record["precision"] == ("float32" if falls_back else "bfloat16")
    assert ("cannot train in bfloat16" in said(caught)) == falls_back
    assert np.isfinite(SimCSE(tmp_path / "run", device="cpu").encode(TEXTS)).all()


def test_bfloat16_that_fails_falls_back_to_float32(family: Family) -> None:
    exact = SimCSE(family("deberta-v1"), pooling="mean", device="cpu").encode(TEXTS)
    with pytest.warns(Notice, match="fails in bfloat16 .* so it runs in float32"):
        model = SimCSE(family("deberta-v1"), pooling="mean", device="cpu", dtype="bfloat16")
    assert model.backend.dtype == "float32"
    np.testing.assert_array_equal(model.encode(TEXTS), exact)


def test_bfloat16_that_works_stays(family: Family) -> None:
    model = SimCSE(family("squeezebert"), pooling="mean", device="cpu", dtype="bfloat16")
    assert model.backend.dtype == "bfloat16"


def test_a_backbone_that_cannot_encode_is_an_error(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise TypeError("'NoneType' object is not iterable")

    monkeypatch.setattr(probing, "_states", broken)
    with pytest.raises(ModelError, match=r"ConvBertModel cannot encode .*: 'NoneType' object is not iterable"):
        load_encoder(resolve(family("convbert")), pooling="mean")
