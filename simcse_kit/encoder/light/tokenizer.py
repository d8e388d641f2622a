"""A tokenizer that uses only the package `tokenizers`, with the call interface of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tokenizers


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Settings of transformers' tokenizer that are not in ``tokenizer.json``."""

    pad_token_id: int
    unk_token_id: int | None
    all_special_ids: list[int]
    truncation_side: str
    split_special_tokens: bool
    name_or_path: str


class Encodings(dict[str, list[list[int]]]):
    """Token ids of N texts under ``input_ids``, and the encodings of `tokenizers`."""

    def __init__(self, encodings: list[Any]) -> None:
        super().__init__(input_ids=[encoding.ids for encoding in encodings])
        self.encodings = encodings


class LightTokenizer:
    """Like transformers' fast tokenizer, as far as this package uses it: token ids, without padding.

    Args:
        state: ``tokenizer.json`` of the tokenizer in its final state, which may differ from the folder's.
        tokens: its other settings.
    """

    is_fast = True

    def __init__(self, state: str, tokens: Tokens) -> None:
        self.backend_tokenizer: Any = tokenizers.Tokenizer.from_str(state)
        self.backend_tokenizer.encode_special_tokens = tokens.split_special_tokens
        self.tokens = tokens
        self.state = state

    def __getattr__(self, name: str) -> Any:
        if name in Tokens.__dataclass_fields__:
            return getattr(self.tokens, name)
        raise AttributeError(f"a light tokenizer has no {name}")

    def num_special_tokens_to_add(self) -> int:
        """Special tokens that are added to a text."""
        return int(self.backend_tokenizer.num_special_tokens_to_add(False))

    def __call__(
        self, texts: str | Sequence[str], *, truncation: bool = False, max_length: int | None = None, **_: Any
    ) -> Any:
        """Under ``input_ids`` the token ids of N texts, or of one; cut at ``max_length`` with ``truncation``."""
        if truncation:
            self.backend_tokenizer.enable_truncation(max_length, direction=self.tokens.truncation_side)
        else:
            self.backend_tokenizer.no_truncation()
        if isinstance(texts, str):
            return {"input_ids": self.backend_tokenizer.encode(texts).ids}
        return Encodings(self.backend_tokenizer.encode_batch(list(texts)))
