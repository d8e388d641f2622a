"""Augmentations: one sentence's token ids to another view of it, and embeddings with features cut off.

Ids are rows of ``NDArray[int32]`` (L,) with their special tokens, which stay where they are. A word is a token with the
pieces that continue it; at least one word is always left. No model in sight: the random numbers come from the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Ids = NDArray[np.int32]


class Vocabulary(NamedTuple):
    """What each of the V token ids is."""

    special: NDArray[np.bool_]  # (V,): CLS, SEP, padding and their like; an unknown word is none of them
    continues: NDArray[np.bool_]  # (V,): a piece that continues the word before it


Augmentation = Callable[[Ids, Vocabulary, np.random.Generator], Ids]


def vocabulary(tokenizer: Any) -> Vocabulary:
    """Special tokens and word pieces of any tokenizer.

    WordPiece marks a piece that continues a word by "##", BPE and SentencePiece one that starts a word by "Ġ" or "▁";
    where there are no such marks, every token is a word.
    """
    ids: dict[str, int] = tokenizer.get_vocab()
    size = max(ids.values()) + 1
    named = {getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "cls", "sep", "pad", "mask")}
    special = np.zeros(size, bool)
    special[[i for i in tokenizer.all_special_ids if i in named or i != tokenizer.unk_token_id]] = True
    marked = {mark: [token.startswith(mark) for token in ids] for mark in ("##", "Ġ", "▁")}
    mark = max(marked, key=lambda mark: sum(marked[mark]))  # a BPE vocabulary may hold "###" too
    continues = np.zeros(size, bool)
    if any(marked[mark]):
        continues[list(ids.values())] = [token.startswith(mark) == (mark == "##") for token in ids]
    return Vocabulary(special, continues & ~special)


def word_repetition(ids: Ids, vocabulary: Vocabulary, rng: np.random.Generator, *, rate: float = 0.32) -> Ids:
    """ESimCSE (Wu et al., 2022, 3.1): up to ``max(2, rate * n)`` of the n tokens stand twice, word pieces too.

    How many is drawn uniformly, 0 included, then which ones. (L,) -> (L',) with L' >= L.
    """
    content = np.flatnonzero(~vocabulary.special[ids])
    count = rng.integers(0, min(len(content), max(2, int(rate * len(content)))), endpoint=True)
    times = np.ones(len(ids), np.int64)
    times[rng.permutation(content)[:count]] = 2
    return ids.repeat(times)


def word_deletion(ids: Ids, vocabulary: Vocabulary, rng: np.random.Generator, *, rate: float = 0.1) -> Ids:
    """Each word is left out with probability ``rate``; 10 % did best in SimCSE's table 1 (Gao et al., 2021).

    (L,) -> (L',) with L' <= L.
    """
    words, count = _words(ids, vocabulary)
    if count == 0:
        return ids
    kept = rng.random(count) >= rate
    if not kept.any():
        kept[rng.integers(count)] = True
    return ids[(words < 0) | kept[words]]


def span_cropping(ids: Ids, vocabulary: Vocabulary, rng: np.random.Generator, *, ratio: float = 0.9) -> Ids:
    """One run of ``ratio`` of the words stays; cropping 10 % did best in SimCSE's table 1 (Gao et al., 2021).

    (L,) -> (L',) with L' <= L.
    """
    words, count = _words(ids, vocabulary)
    if count == 0:
        return ids
    kept = max(1, round(ratio * count))
    first = rng.integers(0, count - kept, endpoint=True)
    return ids[(words < 0) | ((words >= first) & (words < first + kept))]


def word_shuffling(ids: Ids, vocabulary: Vocabulary, rng: np.random.Generator) -> Ids:
    """All words in a new order (ConSERT's token shuffling, Yan et al., 2021, 3.2), their pieces kept together.

    (L,) -> (L,).
    """
    words, count = _words(ids, vocabulary)
    content = np.flatnonzero(words >= 0)
    shuffled = ids.copy()
    shuffled[content] = ids[content[rng.permutation(count)[words[content]].argsort(kind="stable")]]
    return shuffled


def _words(ids: Ids, vocabulary: Vocabulary) -> tuple[NDArray[np.int64], int]:
    """The word that each token belongs to (L,), -1 for special tokens, and how many words there are."""
    content = ~vocabulary.special[ids]
    if not content.any():
        return np.full(len(ids), -1), 0
    starts = content & ~vocabulary.continues[ids]
    first = int(content.argmax())
    starts[first] = True  # a text's first token starts a word, whatever its mark says
    words = starts.cumsum() - 1
    count = int(words[-1]) + 1
    words[~content] = -1
    return words, count


AUGMENTATIONS: dict[str, Augmentation] = {
    "repetition": word_repetition,
    "deletion": word_deletion,
    "cropping": span_cropping,
    "shuffling": word_shuffling,
}


def feature_cutoff(embeddings: Tensor, rate: float = 0.2) -> Tensor:
    """ConSERT's feature cutoff (Yan et al., 2021, 3.2): a share of the dimensions is 0 in all tokens of a sentence.

    (B, L, D) -> (B, L, D); each sentence draws its own ``int(rate * D)`` dimensions from torch's generator. The rate
    of 0.2 is that of ConSERT's released commands.
    """
    size, _, width = embeddings.shape
    order = torch.rand(size, width, device=embeddings.device).argsort(dim=1)
    kept = order >= int(rate * width)
    return embeddings * kept.unsqueeze(1)


@contextmanager
def cutting_features(backbone: Any, rate: float = 0.2) -> Iterator[None]:
    """`feature_cutoff` of a backbone's token embeddings, in every forward pass inside the ``with``."""
    embeddings = backbone.get_input_embeddings()
    handle = embeddings.register_forward_hook(lambda module, inputs, output: feature_cutoff(output, rate))
    try:
        yield
    finally:
        handle.remove()
