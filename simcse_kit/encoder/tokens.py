"""Sentences as token ids, and batches of them by length: only integers, no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.encoder.settings import Settings
from simcse_kit.errors import say_once

_CHUNK = 8192  # sentences per call of the tokenizer
CHARACTERS = 256  # characters of a text per kept token: the rest would cost memory and be cut anyway


class TokenTable(NamedTuple):
    """N token sequences in one flat array: 4 bytes per token."""

    flat: NDArray[np.int32]
    offsets: NDArray[np.int64]  # (N + 1,)
    truncated: int  # sentences that exceeded the limit and were cut
    cut: Sequence[int] = ()  # their numbers

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sentence, with special tokens: (N,)."""
        return np.diff(self.offsets)

    def rows(self, indices: Sequence[int] | NDArray[np.int64]) -> list[NDArray[np.int32]]:
        """The token ids of the selected sentences."""
        return [self.flat[self.offsets[i] : self.offsets[i + 1]] for i in indices]


def tokenize_by(
    settings: Settings, tokenizer: Any, sentences: Sequence[str], max_length: int | None = None
) -> TokenTable:
    """`tokenize` with a model's settings; ``max_length`` overrides theirs."""
    texts = [text.lower() for text in sentences] if settings.do_lower_case else sentences
    return tokenize(tokenizer, texts, settings.max_seq_length if max_length is None else max_length)


def tokenize(tokenizer: Any, sentences: Sequence[str], max_length: int | None) -> TokenTable:
    """Token ids of N sentences with their special tokens, cut at ``max_length`` tokens (None: not cut).

    Counts sentences that were cut. Gives a notice if the vocabulary does not suit the text (many unknown tokens, or
    words split into letters).
    """
    parts: list[NDArray[np.int32]] = []
    lengths: list[int] = []
    cut: list[int] = []
    lost = 0
    whole, most = sentences, CHARACTERS * (max_length or 0)
    if max_length is not None and any(len(sentence) > most for sentence in sentences):
        sentences = [sentence[:most] for sentence in sentences]
    for start in range(0, len(sentences), _CHUNK):
        batch = tokenizer(
            list(sentences[start : start + _CHUNK]),
            truncation=max_length is not None,
            max_length=max_length,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        for ids in batch["input_ids"]:
            ids = ids or [tokenizer.pad_token_id]  # "" if no special tokens are added: the model needs one token
            parts.append(np.asarray(ids, dtype=np.int32))
            lengths.append(len(ids))
        if max_length is not None:
            found = _cut_characters(tokenizer, batch, sentences[start : start + _CHUNK], max_length)
            cut += [start + number for number, _ in found]
            lost += sum(characters for _, characters in found)
    if max_length is not None and sentences is not whole:  # long words may be so few tokens that the rest would fit
        pairs = enumerate(zip(whole, lengths, strict=True))
        cut = sorted({*cut, *(i for i, (text, length) in pairs if len(text) > most and length < max_length)})
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    table = TokenTable(np.concatenate(parts) if parts else np.zeros(0, np.int32), offsets, len(cut), cut)
    characters = sum(map(_characters, sentences)) - lost
    _notice_foreign_vocabulary(tokenizer, table, characters)
    return table


def _cut_characters(tokenizer: Any, batch: Any, sentences: Sequence[str], max_length: int) -> list[tuple[int, int]]:
    """The number of each cut sentence, and how many characters it lost, without white space."""
    if getattr(batch, "encodings", None):
        return [
            (number, _characters(text[max(end for _, end in encoding.offsets) :]))
            for number, (text, encoding) in enumerate(zip(sentences, batch.encodings, strict=True))
            if encoding.overflowing
        ]
    cut = []  # a tokenizer without Rust keeps no offsets
    for number, (text, ids) in enumerate(zip(sentences, batch["input_ids"], strict=True)):
        whole = len(tokenizer(text, verbose=False)["input_ids"]) if len(ids) == max_length else len(ids)
        if whole > max_length:
            cut.append((number, _characters(text) * (whole - max_length) // whole))
    return cut


def _characters(text: str) -> int:
    return len(text) - text.count(" ")


def _notice_foreign_vocabulary(tokenizer: Any, table: TokenTable, characters: int) -> None:
    """Give one notice if the vocabulary does not suit the text's language; ``characters``: length of the tokenized
    text.

    Two signs: unknown tokens, and words split into letters (with BERT's English vocabulary, Korean gives more tokens
    than characters, few of them unknown). Scripts without spaces have one token per character even in their own
    vocabulary, so the limit is above 1.
    """
    count = int(table.offsets[-1]) - tokenizer.num_special_tokens_to_add() * len(table.lengths)
    if count < 50:  # too little text to decide
        return
    unknown_id = getattr(tokenizer, "unk_token_id", None)
    unknown = 0 if unknown_id is None else int((table.flat == unknown_id).sum())
    if unknown > 0.05 * count or count > 1.1 * characters:
        say_once(
            f"the text does not suit this model's vocabulary: {100 * unknown / count:.1f} % unknown tokens, "
            f"{count / max(characters, 1):.1f} tokens per character (English in its own vocabulary: about "
            "0.25). Is the model for the language of the text?",
            key=f"foreign vocabulary: {getattr(tokenizer, 'name_or_path', '')}",
        )


def padded(rows: Sequence[NDArray[np.int32]], pad_id: int) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """Right-padded ids (B, L) and their mask (B, L); the mask is None without padding."""
    width = max(len(row) for row in rows)
    if all(len(row) == width for row in rows):
        return np.stack(rows).astype(np.int64), None
    ids = np.full((len(rows), width), pad_id, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return ids, mask


def length_batches(
    lengths: NDArray[np.int64], batch_size: int | None = None, max_tokens: int | None = None, *, pads: bool = True
) -> Iterator[NDArray[np.int64]]:
    """Indices in batches, longest sentences first, of equal length if there are enough.

    A batch holds at most ``batch_size`` sentences and ``max_tokens`` tokens with padding, at least one sentence. It
    ends at a change of length if it is at least half full: fuller batches cost padding, smaller ones calls. Without
    ``pads`` it ends at every change of length, and nothing is padded.

    >>> [batch.tolist() for batch in length_batches(np.array([5, 9, 5, 9, 9, 3]), 4)]
    [[1, 3, 4], [0, 2], [5]]
    >>> [batch.tolist() for batch in length_batches(np.array([5, 9, 5, 9, 9, 3]), max_tokens=18)]
    [[1, 3], [4], [0, 2], [5]]
    >>> [batch.tolist() for batch in length_batches(np.array([5, 9, 5, 9, 9, 3]), pads=False)]
    [[1, 3, 4], [0, 2], [5]]
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        room = len(order) if batch_size is None else batch_size
        if max_tokens is not None:
            room = max(1, min(room, max_tokens // int(lengths[order[start]])))
        stop = min(start + room, len(order))
        for i in range(start + (max(1, room // 2) if pads else 1), stop):
            if lengths[order[i]] != lengths[order[i - 1]]:
                stop = i
                break
        yield order[start:stop]
        start = stop


def length_groups(lengths: NDArray[np.int64], groups: int) -> list[NDArray[np.int64]]:
    """All indices in ``groups`` groups of equal size, sorted by length, for the forward passes of one training step.

    Sentences are encoded independently, so grouping saves padding and does not change the loss.
    """
    order = np.argsort(lengths, kind="stable")
    return [part for part in np.array_split(order, max(1, min(groups, len(order)))) if len(part)]


def of_one_length(lengths: NDArray[np.int64], groups: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Groups of indices, each sorted by length, split at every change of length.

    >>> [part.tolist() for part in of_one_length(np.array([3, 5, 3, 5, 7]), [np.array([0, 2, 1]), np.array([3, 4])])]
    [[0, 2], [1], [3], [4]]
    """
    cut = [np.split(part, np.flatnonzero(np.diff(lengths[part])) + 1) for part in groups]
    return [part for parts in cut for part in parts]
