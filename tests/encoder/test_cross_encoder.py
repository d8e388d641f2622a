"""`CrossEncoder` gives the scores of sentence-transformers' `CrossEncoder`, and reports unsupported models."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from simcse_kit import CrossEncoder, ModelError, Notice
from support.tiny import SENTENCES, make_cross_encoder

QUERY = "Where is the guitar?"
PAIRS = [(first, second) for first in (QUERY, SENTENCES[21]) for second in SENTENCES]  # lengths of 3 to 40 tokens


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cross_encoder("bert", tmp_path_factory.mktemp("cross") / "encoder")


@pytest.fixture(scope="module")
def encoder(folder: Path) -> CrossEncoder:
    return CrossEncoder(folder, device="cpu")


def theirs(folder: Path, max_length: int | None = None) -> Any:
    from sentence_transformers import CrossEncoder as Theirs

    model: Any = Theirs(str(folder), device="cpu", max_length=max_length)
    if model.tokenizer.pad_token is None:
        model.tokenizer.pad_token = model.tokenizer.eos_token
    model.config.pad_token_id = model.tokenizer.pad_token_id
    return model


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "deberta", "modernbert", "llama"])
def test_scores_are_those_of_sentence_transformers(kind: str, tmp_path: Path) -> None:
    made = make_cross_encoder(kind, tmp_path / kind)
    ours = CrossEncoder(made, device="cpu").predict(PAIRS)
    assert (ours.shape, ours.dtype) == ((len(PAIRS),), np.float32)
    assert ours.std() > 1e-4
    np.testing.assert_allclose(ours, theirs(made, 64).predict(PAIRS), atol=1e-5)


def test_documents_are_ranked_as_by_sentence_transformers(folder: Path, encoder: CrossEncoder) -> None:
    ours = encoder.rank(QUERY, SENTENCES, top_k=7, return_documents=True)
    wanted = theirs(folder).rank(QUERY, SENTENCES, top_k=7, return_documents=True)
    assert [one["corpus_id"] for one in ours] == [one["corpus_id"] for one in wanted]
    assert [one["text"] for one in ours] == [one["text"] for one in wanted]
    assert [one["score"] for one in ours] == pytest.approx([one["score"] for one in wanted], abs=1e-5)
    assert len(encoder.rank(QUERY, SENTENCES)) == len(SENTENCES)
    assert encoder.rank(QUERY, []) == []


def test_a_folder_that_sentence_transformers_wrote_is_read(folder: Path, tmp_path: Path) -> None:
    model = theirs(folder)
    model.activation_fn = nn.Tanh()
    model.max_seq_length = 16
    model.save(str(tmp_path / "saved"))
    assert (tmp_path / "saved" / "modules.json").is_file()
    ours = CrossEncoder(tmp_path / "saved", device="cpu")
    assert (type(ours.activation_fn), ours.max_seq_length) == (nn.Tanh, 16)
    np.testing.assert_allclose(ours.predict(PAIRS), theirs(tmp_path / "saved").predict(PAIRS), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, nn.Identity),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}, nn.Identity),
        ({}, nn.Sigmoid),
    ],
)
def test_the_activation_is_the_folders(change: dict[str, object], wanted: type, tmp_path: Path) -> None:
    made = make_cross_encoder("bert", tmp_path / "m", **change)
    ours = CrossEncoder(made, device="cpu")
    assert type(ours.activation_fn) is wanted
    np.testing.assert_allclose(ours.predict(PAIRS), theirs(made).predict(PAIRS), atol=1e-5)


def test_one_pair_gives_one_number_and_batches_change_nothing(encoder: CrossEncoder) -> None:
    scores = encoder.predict(PAIRS)
    assert encoder.predict(PAIRS[3]) == pytest.approx(scores[3], abs=1e-6)
    np.testing.assert_allclose(encoder.predict(PAIRS, batch_size=3), scores, atol=1e-6)
    np.testing.assert_allclose(encoder.predict(PAIRS[::-1]), scores[::-1], atol=1e-6)
    logits = encoder.predict(PAIRS, activation_fn=nn.Identity())
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), scores, atol=1e-6)
    assert encoder.predict([]).shape == (0,)


def test_pairs_that_are_cut_are_counted_and_said_once(folder: Path) -> None:
    short = CrossEncoder(folder, device="cpu", max_seq_length=12)
    pairs = [("the cat", "a cat"), ("the cat", SENTENCES[21]), (SENTENCES[21], "x" * 100_000)]
    with pytest.warns(Notice, match="2 of 3 pairs of texts are longer than max_seq_length = 12"):
        short.predict(pairs)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        short.predict(pairs)


@pytest.mark.parametrize("pair", ["ab", ("a",), ("a", None), ("a", "b", "c")])
def test_what_is_no_pair_is_named(pair: object, encoder: CrossEncoder) -> None:
    with pytest.raises(TypeError, match="pair 1 must be two strings"):
        encoder.predict([("a", "b"), pair])  # type: ignore[list-item]


def test_what_is_no_cross_encoder_is_said(
    tiny_model: Callable[[str], Path], model_folder: Path, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="is a sentence encoder"):
        CrossEncoder(model_folder)
    with pytest.raises(ModelError, match=r"is not a cross-encoder: its config\.json names BertModel"):
        CrossEncoder(tiny_model("bert"))
    with pytest.raises(ModelError, match="has 3 outputs"):
        CrossEncoder(make_cross_encoder("bert", tmp_path / "three", labels=3))
    with pytest.raises(ModelError, match="at least 5 and at most the backbone's 64 positions"):
        CrossEncoder(folder, max_seq_length=65)
    with pytest.raises(ModelError, match="cannot use device 'nowhere'"):
        CrossEncoder(folder, device="nowhere")


def test_code_that_a_folder_names_is_not_run(tmp_path: Path) -> None:
    made = make_cross_encoder("bert", tmp_path / "m", sentence_transformers={"activation_fn": "os.getcwd"})
    with pytest.raises(ModelError, match=r"activation os.getcwd is not in torch.nn"):
        CrossEncoder(made)
    config = json.loads((made / "config.json").read_text())
    (made / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoConfig": "mine.Mine"}, "model_type": "x"}))
    with pytest.raises(ModelError, match="custom Python code"):
        CrossEncoder(made)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    made = make_cross_encoder("bert", tmp_path / "m")
    state = load_file(made / "model.safetensors")
    state["classifier.weight"][0, 0] = torch.nan
    save_file(state, made / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"classifier\.weight has NaN"):
        CrossEncoder(made)


def test_a_name_without_owner_may_be_one_of_the_hubs_cross_encoders(
    hub_cache: Callable[..., None], folder: Path, encoder: CrossEncoder
) -> None:
    hub_cache("cross-encoder/tiny", folder)
    assert CrossEncoder("tiny", device="cpu").predict(PAIRS[0]) == encoder.predict(PAIRS[0])
