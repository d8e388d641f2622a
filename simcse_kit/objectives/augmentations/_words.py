"""Words of a sentence of token ids.

Ids are rows of ``NDArray[int32]`` (L,) with their special tokens, which do not change. A word is a token with the
pieces that continue it; at least one word always stays. Needs no model; the caller provides the random generator.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcse_kit.objectives._base import Vocabulary

Ids = NDArray[np.int32]


def vocabulary(tokenizer: Any) -> Vocabulary:
    """Special tokens and word pieces of any tokenizer.

    WordPiece marks a piece that continues a word by "##"; BPE and SentencePiece mark the start of a word by "Ġ" or "▁".
    Without such marks, every token is a word.
    """
    ids: dict[str, int] = tokenizer.get_vocab()
    size = max(ids.values()) + 1
    named = {getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "cls", "sep", "pad", "mask")}
    special = np.zeros(size, bool)
    special[[i for i in tokenizer.all_special_ids if i in named or i != tokenizer.unk_token_id]] = True
    marked = {mark: [token.startswith(mark) for token in ids] for mark in ("##", "Ġ", "▁")}
    mark = max(marked, key=lambda mark: sum(marked[mark]))  # a BPE vocabulary may contain "###" too
    continues = np.zeros(size, bool)
    if any(marked[mark]):
        continues[list(ids.values())] = [token.startswith(mark) == (mark == "##") for token in ids]
    return Vocabulary(special, continues & ~special)


def words_of(ids: Ids, vocabulary: Vocabulary) -> tuple[NDArray[np.int64], int]:
    """The word number of each token (L,), -1 for special tokens, and the number of words."""
    content = ~vocabulary.special[ids]
    if not content.any():
        return np.full(len(ids), -1), 0
    starts = content & ~vocabulary.continues[ids]
    first = int(content.argmax())
    starts[first] = True  # a text's first token starts a word, with or without a mark
    words = starts.cumsum() - 1
    count = int(words[-1]) + 1
    words[~content] = -1
    return words, count
