"""PromptBERT: templates in the tokenizer, pooling ``mask``, its folders, and template denoising."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from simcse_kit import ModelError, SimCSE
from simcse_kit.encoder.known import packaged_minilm
from simcse_kit.encoder.pooling import last_occurrence
from simcse_kit.encoder.template import (
    TemplateSpan,
    portable,
    set_template,
    template_bias,
    template_length,
    template_span,
    using_template,
)
from support.tiny import make_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore::simcse_kit.Notice")  # the tiny models' short limits and vocabularies

# The original's templates (its run.sh): of the first view and of the second. RoBERTa's have spaces around [X], because
# its vocabulary distinguishes a word after a space from others.
FIRST, SECOND = 'This sentence of "[X]" means [MASK].', 'This sentence : "[X]" means [MASK].'
SPACED, SECOND_SPACED = "This sentence : ' [X] ' means [MASK].", "The sentence : ' [X] ' means [MASK]."
MASKED = ["bert", "roberta", "distilbert", "albert", "mpnet", "deberta", "modernbert", "xlmr"]  # with a mask token
BYTE_LEVEL = ("roberta", "mpnet", "xlmr")


def template_for(kind: str) -> str:
    return SPACED if kind in BYTE_LEVEL else FIRST


@pytest.fixture
def templated(tiny_model: Callable[[str], Path]) -> Callable[[str], SimCSE]:
    """A tiny model of a kind with pooling ``mask`` and its template."""

    def load(kind: str) -> SimCSE:
        model = SimCSE(tiny_model(kind), pooling="mask", device="cpu")
        set_template(model.tokenizer, template_for(kind))
        return model

    return load


def tokenizers() -> dict[str, Callable[[], Any]]:
    """Tokenizers with a template that keeps them apart from the sentence."""

    def minilm() -> Any:
        from transformers import AutoTokenizer

        folder = packaged_minilm()
        if folder is None:
            pytest.skip("needs the extra offline")
        return AutoTokenizer.from_pretrained(folder)

    def roberta() -> Any:  # transformers' own class, its mask token takes the space before it
        from transformers import AddedToken, RobertaTokenizer

        inner = json.loads(make_tokenizer("roberta").backend_tokenizer.to_str())["model"]
        mask = AddedToken("<mask>", lstrip=True, special=True)
        return RobertaTokenizer(vocab=inner["vocab"], merges=[tuple(m) for m in inner["merges"]], mask_token=mask)

    return {
        "bert": lambda: make_tokenizer("bert"),
        "roberta": lambda: make_tokenizer("roberta"),
        "MiniLM": minilm,
        "RobertaTokenizer": roberta,
    }


KINDS = [("bert", FIRST), ("MiniLM", FIRST), ("MiniLM", SPACED), ("roberta", SPACED), ("RobertaTokenizer", SPACED)]


# In the tokenizer


@pytest.mark.parametrize(("kind", "template"), KINDS)
def test_ids_are_those_of_the_whole_text(kind: str, template: str, sentences: list[str]) -> None:
    tokenizer = tokenizers()[kind]()
    filled = template.replace("[MASK]", tokenizer.mask_token)
    expected = [tokenizer(filled.replace("[X]", text))["input_ids"] for text in sentences]
    set_template(tokenizer, template)
    assert tokenizer(sentences)["input_ids"] == expected


def test_a_template_without_spaces_in_byte_level_bpe() -> None:
    """The first word is one without a space before it; the last character does not melt into the quotation mark."""
    tokenizer = make_tokenizer("roberta")
    whole = tokenizer('This sentence of "A man" means <mask>.')["input_ids"]
    set_template(tokenizer, FIRST)
    assert tokenizer("A man")["input_ids"] == whole


def test_a_vocabulary_that_joins_template_and_sentence_is_refused() -> None:
    tokenizer = make_tokenizer("roberta")
    with pytest.raises(ModelError, match=r"put spaces around \[X\]"):
        set_template(tokenizer, "umbrell[X] means [MASK].")  # "rella" is one token


def test_lengths_by_hand() -> None:
    """this sentence of " | " means [MASK] . are 4 + 4 tokens, CLS and SEP come on top."""
    tokenizer = tokenizers()["MiniLM"]()
    assert template_span(tokenizer) == TemplateSpan(1, 1)
    assert template_length(tokenizer) == 0
    set_template(tokenizer, FIRST)
    assert template_length(tokenizer) == 8
    assert template_span(tokenizer) == TemplateSpan(1 + 4, 4 + 1)
    assert tokenizer.convert_ids_to_tokens(tokenizer("cat")["input_ids"]) == (
        ["[CLS]", "this", "sentence", "of", '"', "cat", '"', "means", "[MASK]", ".", "[SEP]"]
    )
    assert tokenizer.num_special_tokens_to_add() == 10


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_truncation_cuts_the_sentence_only(kind: str, sentences: list[str]) -> None:
    """With the template's length on top, every sentence keeps the tokens that it has at that limit without one."""
    tokenizer = tokenizers()[kind]()
    spaced = [" " + text for text in sentences] if kind == "roberta" else sentences  # behind the template's space
    plain = tokenizer(spaced, truncation=True, max_length=9)["input_ids"]
    set_template(tokenizer, template_for(kind))
    span = template_span(tokenizer)
    cut = tokenizer(sentences, truncation=True, max_length=9 + template_length(tokenizer))["input_ids"]
    around = tokenizer("")["input_ids"]
    assert max(len(row) for row in cut) == 9 + template_length(tokenizer)
    for row, before in zip(cut, plain, strict=True):
        assert row[span.prefix : len(row) - span.suffix] == before[1:-1]
        assert row[: span.prefix] + row[len(row) - span.suffix :] == around


def test_a_sentence_that_spells_the_mask_token_has_one_mask_token() -> None:
    tokenizer = make_tokenizer("bert")
    set_template(tokenizer, FIRST)
    ids = tokenizer("a [MASK] and [SEP] here")["input_ids"]
    assert ids.count(tokenizer.mask_token_id) == 1
    assert ids.count(tokenizer.sep_token_id) == 1


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_another_template_replaces_it_and_none_takes_it_away(kind: str, sentences: list[str]) -> None:
    tokenizer, fresh, plain = (tokenizers()[kind]() for _ in range(3))
    other = SECOND_SPACED if kind == "roberta" else SECOND
    set_template(fresh, other)
    set_template(tokenizer, template_for(kind))
    with_first = tokenizer(sentences)["input_ids"]
    with using_template(tokenizer, other):
        assert tokenizer(sentences)["input_ids"] == fresh(sentences)["input_ids"]
        assert template_length(tokenizer) == template_length(fresh)
    assert tokenizer(sentences)["input_ids"] == with_first
    for text in (other, template_for(kind)):  # there and back without the `with`
        set_template(tokenizer, text)
    assert tokenizer(sentences)["input_ids"] == with_first
    with using_template(tokenizer, None):
        assert template_length(tokenizer) == 0
        assert tokenizer("[MASK]")["input_ids"].count(tokenizer.mask_token_id) == (kind == "bert")
    set_template(tokenizer, None)
    assert portable(tokenizer) is tokenizer
    if kind == "bert":
        assert tokenizer(sentences)["input_ids"] == plain(sentences)["input_ids"]


@pytest.mark.parametrize(
    "template",
    ["means [MASK].", '"[X]" means.', '[MASK] is "[X]".', '"[X]" "[X]" [MASK]', '"[X]" [MASK] [MASK]'],
)
def test_a_template_that_is_none_is_refused(template: str) -> None:
    tokenizer = make_tokenizer("bert")
    with pytest.raises(ModelError, match=r"one \[X\] for the sentence and one \[MASK\] after it; got"):
        set_template(tokenizer, template)
    assert template_length(tokenizer) == 0


def test_no_mask_token_is_an_error(tiny_model: Callable[[str], Path]) -> None:
    with pytest.raises(ModelError, match="a mask token; this one has none"):
        set_template(make_tokenizer("gpt2"), FIRST)
    with pytest.raises(ModelError, match="pooling mask needs a tokenizer with a mask token"):
        SimCSE(tiny_model("gpt2"), pooling="mask")


# Pooling


def test_last_occurrence_by_hand() -> None:
    ids = torch.tensor([[7, 1, 7, 2], [7, 1, 1, 1], [1, 2, 3, 4]])
    assert last_occurrence(ids, 7).tolist() == [[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("kind", MASKED)
def test_the_vector_is_that_of_the_mask_token(
    kind: str, templated: Callable[[str], SimCSE], tiny_model: Callable[[str], Path], sentences: list[str]
) -> None:
    """A plain loop: one sentence at a time, written out in the template, the output at its mask token."""
    from transformers import AutoModel, AutoTokenizer

    model = templated(kind)
    backbone = AutoModel.from_pretrained(tiny_model(kind)).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny_model(kind))
    rows = []
    for text in sentences[:12]:
        filled = template_for(kind).replace("[MASK]", tokenizer.mask_token).replace("[X]", text)
        ids = tokenizer(filled)["input_ids"]
        with torch.no_grad():
            states = backbone(input_ids=torch.tensor([ids])).last_hidden_state[0]
        rows.append(states[ids.index(tokenizer.mask_token_id)].numpy())
    np.testing.assert_allclose(model.encode(sentences[:12], batch_size=5), np.stack(rows), atol=1e-5)


def test_without_a_template_the_error_says_how_to_set_one(tiny_model: Callable[[str], Path]) -> None:
    model = SimCSE(tiny_model("bert"), pooling="mask", device="cpu")
    with pytest.raises(ModelError, match=r"no mask token.*template\.set_template\(model\.tokenizer"):
        model.encode(["a cat"])
    set_template(model.tokenizer, FIRST)
    assert model.encode(["a cat"]).shape == (1, 32)


# On disk


@pytest.mark.parametrize("kind", ["bert", "roberta", "modernbert", "MiniLM", "RobertaTokenizer"])
def test_a_saved_model_is_the_same_here_and_in_sentence_transformers(
    kind: str, tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    if kind == "MiniLM":
        model = SimCSE(packaged_minilm() or pytest.skip("needs the extra offline"), pooling="mask", device="cpu")
    else:
        model = SimCSE(tiny_model("roberta" if kind == "RobertaTokenizer" else kind), pooling="mask", device="cpu")
    if kind == "RobertaTokenizer":
        model.tokenizer = tokenizers()[kind]()
        model.encoder.mask_id = model.tokenizer.mask_token_id
    set_template(model.tokenizer, SPACED if "oberta" in kind else FIRST)
    texts = [*sentences, "", "a [MASK] of one's own", "<mask> </s> [SEP]"]
    expected = model.encode(texts)
    model.save(tmp_path / "m")
    again = SimCSE(tmp_path / "m", device="cpu")
    assert again.pooling == "mask"
    np.testing.assert_array_equal(again.encode(texts), expected)
    theirs = SentenceTransformer(str(tmp_path / "m"), device="cpu")
    np.testing.assert_allclose(theirs.encode(texts), expected, atol=1e-5)
    again.save(tmp_path / "again")
    third = SimCSE(tmp_path / "again", device="cpu")
    np.testing.assert_array_equal(third.encode(texts), expected)
    assert template_length(third.tokenizer) == template_length(model.tokenizer)
    assert third.fingerprint() == model.fingerprint()


def test_prompts_go_into_the_template(templated: Callable[[str], SimCSE], sentences: list[str], tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    model = templated("bert")
    model.settings.prompts["query"] = "where is "
    model.settings.include_prompt = False  # the mask token is not in the prompt: no effect
    model.save(tmp_path / "m")
    expected = model.encode(["where is " + text for text in sentences])
    theirs = SentenceTransformer(str(tmp_path / "m"), device="cpu")
    np.testing.assert_allclose(model.encode(sentences, prompt_name="query"), expected, atol=1e-6)
    np.testing.assert_allclose(theirs.encode(sentences, prompt_name="query"), expected, atol=1e-5)


def _spoil(folder: Path, **changes: Any) -> None:
    path = folder / "1_WordWeights" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"unknown_word_weight": 1.0}, "word weights are supported only for pooling mask"),
        ({"word_weights": {"[MASK]": 1.0, "the": 0.5}}, "word weights are supported only for pooling mask"),
        (
            {"word_weights": {"the": 1.0}},
            r"selects the token 'the', which is not .* mask token '\[MASK\]'",
        ),
    ],
)
def test_other_word_weights_are_refused(
    templated: Callable[[str], SimCSE], tmp_path: Path, changes: dict[str, Any], text: str
) -> None:
    templated("bert").save(tmp_path / "m")
    _spoil(tmp_path / "m", **changes)
    with pytest.raises(ModelError, match=text):
        SimCSE(tmp_path / "m")


# Template denoising


def by_hand(model: SimCSE, ids: torch.Tensor, mask: torch.Tensor, span: TemplateSpan) -> torch.Tensor:
    """Each row alone, its sentence hidden from attention, the output at its mask token: no position is named."""
    rows = []
    for row, kept in zip(ids, mask, strict=True):
        length = int(kept.sum())
        alone, seen = row[None, :length], torch.ones(1, length, dtype=torch.long)
        seen[0, span.prefix : length - span.suffix] = 0
        states = model.encoder.backbone(input_ids=alone, attention_mask=seen).last_hidden_state[0]
        rows.append(states[row.tolist().index(model.tokenizer.mask_token_id)])
    return torch.stack(rows)


@pytest.mark.parametrize("kind", MASKED)
def test_the_bias_is_the_plain_loop(kind: str, templated: Callable[[str], SimCSE], sentences: list[str]) -> None:
    model = templated(kind)
    span = template_span(model.tokenizer)
    encoded = model.tokenizer(["Yes.", *sentences[:8], ""], padding=True, return_tensors="pt")
    ids, mask = encoded["input_ids"], encoded["attention_mask"]
    bias = template_bias(model.encoder, ids, mask, span)
    torch.testing.assert_close(bias, by_hand(model, ids, mask, span), atol=1e-5, rtol=1e-4)
    same = ids[:1].repeat(3, 1)[:, : int(mask[0].sum())]
    torch.testing.assert_close(template_bias(model.encoder, same, None, span), bias[:1].repeat(3, 1), atol=1e-6, rtol=0)


def test_rows_of_two_templates_of_one_length(templated: Callable[[str], SimCSE], sentences: list[str]) -> None:
    model = templated("bert")
    tables = []
    for template in (SECOND, SECOND.replace(":", ";")):
        with using_template(model.tokenizer, template):
            tables.append(model.tokenizer(sentences[:6], padding=True, return_tensors="pt"))
            span = template_span(model.tokenizer)
    assert tables[0]["input_ids"].shape == tables[1]["input_ids"].shape
    ids, mask = (torch.cat([table[name] for table in tables]) for name in ("input_ids", "attention_mask"))
    torch.testing.assert_close(
        template_bias(model.encoder, ids, mask, span), by_hand(model, ids, mask, span), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("kind", ["bert", "roberta", "deberta"])
def test_one_pass_for_each_length_and_the_gradient_flows(
    kind: str, templated: Callable[[str], SimCSE], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = templated(kind)
    span = template_span(model.tokenizer)
    encoded = model.tokenizer(["a cat", "a dog", "the cat sleeps", "a cat"], padding=True, return_tensors="pt")
    lengths = encoded["attention_mask"].sum(1).tolist()
    seen: list[tuple[int, ...]] = []
    forward = model.encoder.forward

    def counted(ids: torch.Tensor, *arguments: Any, **named: Any) -> torch.Tensor:
        seen.append(tuple(ids.shape))
        return forward(ids, *arguments, **named)

    monkeypatch.setattr(model.encoder, "forward", counted)
    bias = template_bias(model.encoder, encoded["input_ids"], encoded["attention_mask"], span)
    width = encoded["input_ids"].shape[1] if kind == "deberta" else sum(span)
    assert seen == [(len(set(lengths)), width)]
    bias[0].sum().backward()
    weight = model.encoder.backbone.get_input_embeddings().weight
    assert weight.grad is not None
    assert weight.grad[model.tokenizer.mask_token_id].any()
    sentence = encoded["input_ids"][0, span.prefix : lengths[0] - span.suffix].tolist()
    template = {*encoded["input_ids"][0].tolist()} - {*sentence}
    assert not any(weight.grad[i].any() for i in sentence if i not in template)  # nothing of the sentence is in it


def test_dropout_is_that_of_the_encoders_mode(templated: Callable[[str], SimCSE]) -> None:
    model = templated("bert")
    encoded = model.tokenizer(["a cat", "a cat"], return_tensors="pt")
    span = template_span(model.tokenizer)
    model.encoder.train()
    first, second = (template_bias(model.encoder, encoded["input_ids"], None, span) for _ in range(2))
    assert not torch.allclose(first, second)
    assert torch.equal(first[0], first[1])  # one pass, one mask for a length, as in the paper's code
