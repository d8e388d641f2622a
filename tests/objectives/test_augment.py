"""Augmentations by hand-worked cases with a scripted generator, by laws over many draws, and by their rates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from simcse_kit.objectives import AUGMENTATIONS as FAMILY
from simcse_kit.objectives import Vocabulary
from simcse_kit.objectives.augmentations._words import Ids, vocabulary
from simcse_kit.objectives.augmentations.cropping import span_cropping
from simcse_kit.objectives.augmentations.cutoff import cutting_features, feature_cutoff
from simcse_kit.objectives.augmentations.deletion import word_deletion
from simcse_kit.objectives.augmentations.repetition import word_repetition
from simcse_kit.objectives.augmentations.shuffling import word_shuffling
from support.tiny import SENTENCES, make_tokenizer

AUGMENTATIONS = {one.name: one for one in FAMILY if one.apply}  # of token ids

# Ids 0 and 1 are CLS and SEP, 2 to 9 start a word, 10 to 19 continue one.
WORDS = Vocabulary(special=np.arange(20) < 2, continues=np.arange(20) >= 10)
ROW = np.array([0, 2, 3, 10, 11, 4, 5, 12, 1], np.int32)  # CLS 2 | 3 10 11 | 4 | 5 12 SEP: four words of 7 tokens
MANY = 4000  # draws


class Scripted:
    """A generator that returns scripted draws and records the calls."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[Any, ...]] = []

    def draw(self, *arguments: Any, **_: Any) -> Any:
        self.asked.append(arguments)
        return self.answers.pop(0)

    integers = permutation = random = draw


def row(*ids: int) -> list[int]:
    return [0, *ids, 1]


def draws(augmentation: Callable[..., Ids], **settings: Any) -> list[Ids]:
    rng = np.random.default_rng(0)
    return [augmentation(ROW, WORDS, rng, **settings) for _ in range(MANY)]


def words_of(ids: Ids) -> list[tuple[int, ...]]:
    """A plain loop: the content's words as tuples of tokens."""
    words: list[tuple[int, ...]] = []
    for token in ids.tolist():
        if token >= 10 and words:
            words[-1] += (token,)
        elif token >= 2:
            words.append((token,))
    return words


# By hand


def test_repetition_by_hand() -> None:
    # 7 content tokens: 0.32 * 7 = 2.24, so 0 to 2 repetitions. Two are drawn, at row positions 3 and 6 (10 and 5).
    rng = Scripted(2, np.array([3, 6, 1, 2, 4, 5, 7]))
    assert word_repetition(ROW, WORDS, rng).tolist() == row(2, 3, 10, 10, 11, 4, 5, 5, 12)
    assert rng.asked[0] == (0, 2)
    rng = Scripted(0, np.arange(1, 8))
    word_repetition(ROW, WORDS, rng, rate=0.8)  # 0.8 * 7 = 5.6
    assert rng.asked[0] == (0, 5)
    rng = Scripted(1, np.array([1]))
    assert word_repetition(ROW[[0, 1, 8]], WORDS, rng).tolist() == row(2, 2)
    assert rng.asked[0] == (0, 1)  # never more than there are


def test_deletion_by_hand() -> None:
    # Words go where the number is below 0.1: the second (3 10 11, all its pieces) and the fourth.
    rng = Scripted(np.array([0.5, 0.09, 0.1, 0.0]))
    assert word_deletion(ROW, WORDS, rng).tolist() == row(2, 4)
    # All four go: word 3, the fourth, is drawn to stay.
    rng = Scripted(np.zeros(4), 3)
    assert word_deletion(ROW, WORDS, rng).tolist() == row(5, 12)


def test_cropping_by_hand() -> None:
    # Half of four words are two, so the run may start at word 0, 1 or 2: at word 1 it is 3 10 11 | 4.
    rng = Scripted(1)
    assert span_cropping(ROW, WORDS, rng, ratio=0.5).tolist() == row(3, 10, 11, 4)
    assert rng.asked == [(0, 2)]
    assert span_cropping(ROW, WORDS, Scripted(2), ratio=0.01).tolist() == row(4)  # at least one word


def test_shuffling_by_hand() -> None:
    # Word 0 goes to place 2, word 1 to 0, word 2 to 3, word 3 to 1.
    rng = Scripted(np.array([2, 0, 3, 1]))
    assert word_shuffling(ROW, WORDS, rng).tolist() == row(3, 10, 11, 5, 12, 2, 4)


# Laws


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_one_generator_state_gives_one_result_and_the_row_stays(name: str) -> None:
    before = ROW.copy()
    first, second = (AUGMENTATIONS[name](ROW, WORDS, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(ROW, before)
    assert first.dtype == np.int32


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_special_tokens_stay_and_no_sentence_becomes_empty(name: str) -> None:
    rng = np.random.default_rng(1)
    for length in range(1, 7):
        ids = np.array([0, *rng.integers(2, 20, length), 1], np.int32)
        for _ in range(200):
            view = AUGMENTATIONS[name](ids, WORDS, rng)
            assert (view[0], view[-1]) == (0, 1)
            assert len(view) > 2
            assert not WORDS.special[view[1:-1]].any()
    no_words = np.array([0, 1], np.int32)
    np.testing.assert_array_equal(AUGMENTATIONS[name](no_words, WORDS, rng), no_words)


def test_special_tokens_in_the_middle_keep_their_place() -> None:
    ids = np.array([0, 2, 3, 1, 4, 10, 1], np.int32)
    seen = set()
    for view in (word_shuffling(ids, WORDS, np.random.default_rng(seed)) for seed in range(50)):
        assert np.flatnonzero(WORDS.special[view]).tolist() == [0, 3, 6]
        seen.add(tuple(view.tolist()))
    assert len(seen) == 6  # the orders of three words


def test_repetition_without_its_doubles_is_the_sentence() -> None:
    lengths = np.zeros(10, int)
    for view in draws(word_repetition):
        keep = np.append(True, view[1:] != view[:-1])  # the row has no doubles of its own
        np.testing.assert_array_equal(view[keep], ROW)
        assert np.bincount(view).max() <= 2  # distinct positions: no token occurs three times
        lengths[len(view) - len(ROW)] += 1
    assert (lengths > 0).sum() == 3  # 0, 1 or 2 repetitions, each a third of the draws
    np.testing.assert_allclose(lengths[:3] / MANY, 1 / 3, atol=0.03)  # deviation 0.0075
    counts = np.bincount(np.concatenate(draws(word_repetition)), minlength=20)[ROW[1:-1]] / MANY
    np.testing.assert_allclose(counts, 1 + 1 / 7, atol=0.03)  # one repetition on average, anywhere among seven


def test_deletion_is_a_subsequence_of_whole_words_at_its_rate() -> None:
    words = words_of(ROW)
    left = np.zeros(4)
    for view in draws(word_deletion, rate=0.25):
        stayed = [word in words_of(view) for word in words]
        assert words_of(view) == [word for word, here in zip(words, stayed, strict=True) if here]
        left += stayed
    # A word is deleted with probability 0.25 unless all four are (0.25 ** 4 = 1/256) and it is drawn to stay.
    np.testing.assert_allclose(left / MANY, 0.75 + 1 / 1024, atol=0.03)


def test_cropping_is_a_run_of_words_anywhere() -> None:
    words = words_of(ROW)
    runs = [words[i : i + 3] for i in range(2)]  # 0.7 * 4 = 2.8, so three words
    starts = [runs.index(words_of(view)) for view in draws(span_cropping, ratio=0.7)]
    assert abs(np.mean(starts) - 0.5) < 0.03


def test_shuffling_is_every_order_of_the_words() -> None:
    seen = {tuple(words_of(view)) for view in draws(word_shuffling)}
    assert len(seen) == 24
    assert {tuple(sorted(order)) for order in seen} == {tuple(sorted(words_of(ROW)))}


# Vocabularies


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2", "llama"])
def test_words_of_a_tokenizer_are_the_texts_words(kind: str) -> None:
    """A text without punctuation: its words are separated by spaces."""
    tokenizer = make_tokenizer(kind)
    words = vocabulary(tokenizer)
    for text in SENTENCES:
        text = text.lower().replace(".", "").replace(",", "").replace("?", "")
        ids = np.array(tokenizer(text)["input_ids"])
        content = ids[~words.special[ids]]
        assert tokenizer.decode(content).replace(" ", "") == text.replace(" ", "")
        starts = ~words.continues[content]
        starts[0] = True
        assert starts.sum() == len(text.split()), text


def test_sentencepiece_and_whole_words() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    def make(tokens: list[str]) -> Any:
        inner = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="<unk>"))
        return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", cls_token="<s>")

    pieces = vocabulary(make(["<s>", "<unk>", "▁", "▁the", "▁a", "ing", "##"]))
    assert pieces.continues.tolist() == [False, True, False, False, False, True, True]
    assert pieces.special.tolist() == [True, False, False, False, False, False, False]  # an unknown word is a word
    assert not vocabulary(make(["<s>", "<unk>", "the", "ing"])).continues.any()


def test_an_unknown_token_that_also_ends_texts_is_special() -> None:
    tokenizer = make_tokenizer("gpt2")  # <|endoftext|> is beginning and end
    tokenizer.unk_token = "<|endoftext|>"
    assert vocabulary(tokenizer).special[tokenizer.eos_token_id]


# Feature cutoff


def test_feature_cutoff_zeroes_whole_dimensions_of_each_sentence() -> None:
    embeddings = torch.rand(50, 4, 30, generator=torch.Generator().manual_seed(0)) + 1  # no value is 0 before
    torch.manual_seed(0)
    cut = feature_cutoff(embeddings, 0.25)
    gone = cut == 0
    assert gone.sum(-1).eq(7).all()  # int(0.25 * 30)
    assert (gone == gone[:, :1]).all()  # the same in all tokens of a sentence
    assert len({tuple(sentence[0].tolist()) for sentence in gone}) == 50  # others in another sentence
    assert torch.equal(cut[~gone], embeddings[~gone])
    torch.manual_seed(0)
    assert torch.equal(feature_cutoff(embeddings, 0.25), cut)


def test_cutting_features_is_in_effect_inside_only(tiny_model: Callable[[str], Path]) -> None:
    from transformers import AutoModel

    backbone = AutoModel.from_pretrained(tiny_model("bert")).eval()
    ids = torch.tensor([[2, 30, 31, 3], [2, 40, 41, 3]])
    with torch.no_grad():
        plain = backbone(input_ids=ids).last_hidden_state
        torch.manual_seed(0)
        with cutting_features(backbone, 0.5):
            cut = backbone(input_ids=ids).last_hidden_state
        torch.manual_seed(0)
        by_hand = backbone(inputs_embeds=feature_cutoff(backbone.get_input_embeddings()(ids), 0.5)).last_hidden_state
        torch.testing.assert_close(cut, by_hand)
        assert not torch.allclose(cut, plain)
        assert torch.equal(backbone(input_ids=ids).last_hidden_state, plain)
