"""Splits long documents into overlapping passages that fit the model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from simcse_kit.data.prepare.splitting import split
from simcse_kit.model import SimCSE

OVERLAP = 0.2  # largest share of a passage that the next one repeats
_LONGEST = 10_000  # tokens per passage for a model without a limit

CountTokens = Callable[[Sequence[str]], list[int]]


def cut_passages(texts: Sequence[str], model: SimCSE, *, language: str = "en") -> list[list[str]]:
    """The passages of each text, in order: whole sentences, at most ``max_seq_length`` tokens of the model.

    A passage starts with the last sentences of the previous one, up to a fifth of it. A sentence that is too long on
    its own is split between words.
    """

    counter = _counter_of(model)

    def lengths(parts: Sequence[str]) -> list[int]:
        """Tokens without the special tokens."""
        if not parts:  # tokenizers need at least one text
            return []
        ids = counter.tokenizer([" " + part for part in parts], add_special_tokens=False, verbose=False)["input_ids"]
        return [len(own) for own in ids]

    limit = max(1, (model.max_seq_length or _LONGEST) - counter.around)
    whole = lengths(texts)
    return [
        [text] if count <= limit else list(_packed(list(_pieces(text, lengths, limit, language)), limit))
        for text, count in zip(texts, whole, strict=True)
    ]


class _Counter(NamedTuple):
    """A token counter for a model: a copy of its tokenizer, because another thread may encode meanwhile.

    A tokenizer stores whether it cuts texts, and each call of the model changes that.
    """

    original: Any
    prompt: str
    tokenizer: Any
    around: int  # tokens of the prompt, and special tokens


_counters: WeakKeyDictionary[SimCSE, _Counter] = WeakKeyDictionary()


def _counter_of(model: SimCSE) -> _Counter:
    prompt, found = model.prompts.get("document", ""), _counters.get(model)
    if found is None or found.original is not model.tokenizer or found.prompt != prompt:
        around = len(model.tokenize([prompt], max_seq_length=None).flat)
        found = _counters[model] = _Counter(model.tokenizer, prompt, copy.deepcopy(model.tokenizer), around)
    return found


def _pieces(text: str, lengths: CountTokens, limit: int, language: str) -> Iterator[tuple[str, int]]:
    """Sentences with their token counts; a sentence that is too long becomes its words, and such a word its halves."""
    sentences = split(text, language)
    for sentence, count in zip(sentences, lengths(sentences), strict=True):
        if count <= limit:
            yield sentence, count
            continue
        words = sentence.split()
        for word, own in zip(words, lengths(words), strict=True):
            yield from [(word, own)] if own <= limit else _halves(word, lengths, limit)


def _halves(word: str, lengths: CountTokens, limit: int) -> Iterator[tuple[str, int]]:
    (count,) = lengths([word])
    if count <= limit or len(word) < 2:
        yield word, count
        return
    middle = len(word) // 2
    yield from _halves(word[:middle], lengths, limit)
    yield from _halves(word[middle:], lengths, limit)


def _packed(pieces: list[tuple[str, int]], limit: int) -> Iterator[str]:
    first = 0
    while first < len(pieces):
        end, size = first, 0
        while end < len(pieces) and (end == first or size + pieces[end][1] <= limit):
            size += pieces[end][1]
            end += 1
        yield " ".join(piece for piece, _ in pieces[first:end])
        if end == len(pieces):
            return
        again, repeated = end, 0
        while again - 1 > first and repeated + pieces[again - 1][1] <= OVERLAP * limit:
            again -= 1
            repeated += pieces[again][1]
        if repeated + pieces[end][1] > limit:  # the next piece would not fit after them
            again = end
        first = again
