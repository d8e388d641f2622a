"""Token tables, padding, and batches that hold each sentence exactly once."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcse_kit import Notice, SimCSE
from simcse_kit.encoder import tokens
from simcse_kit.encoder.padding import pad
from simcse_kit.encoder.tokens import length_batches, length_groups, tokenize
from support.tiny import SENTENCES, make_tokenizer

LENGTHS = st.lists(st.integers(1, 40), max_size=60).map(lambda values: np.array(values, dtype=np.int64))


@given(LENGTHS, st.none() | st.integers(1, 16), st.none() | st.integers(1, 200))
def test_batches_are_a_partition_by_length(lengths: np.ndarray, batch_size: int | None, max_tokens: int | None) -> None:
    batches = list(length_batches(lengths, batch_size, max_tokens))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    in_order = [int(lengths[i]) for batch in batches for i in batch]
    assert in_order == sorted(in_order, reverse=True)
    for batch in batches:
        longest = int(lengths[batch].max())
        room = len(lengths) if batch_size is None else batch_size
        if max_tokens is not None:
            room = max(1, min(room, max_tokens // longest))
        assert 1 <= len(batch) <= room
        assert len(batch) >= room // 2 or batch is batches[-1]  # no storm of small ones


@given(LENGTHS, st.integers(1, 10))
def test_groups_are_a_partition_of_equal_sizes(lengths: np.ndarray, groups: int) -> None:
    parts = length_groups(lengths, groups)
    assert sorted(i for part in parts for i in part) == list(range(len(lengths)))
    assert len(parts) == min(groups, len(lengths))
    assert all(len(part) for part in parts)
    assert max(map(len, parts), default=0) - min(map(len, parts), default=0) <= 1
    flat = [int(lengths[i]) for part in parts for i in part]
    assert flat == sorted(flat)


@given(st.lists(st.lists(st.integers(3, 99), min_size=1, max_size=9), min_size=1, max_size=9))
def test_padding_is_undone_by_the_mask(rows: list[list[int]]) -> None:
    ids, mask = pad([np.array(row, dtype=np.int32) for row in rows], 0)
    if mask is None:
        assert ids.tolist() == rows
        return
    assert ids.shape == mask.shape == (len(rows), max(map(len, rows)))
    assert [
        [i for i, keep in zip(a, b, strict=True) if keep] for a, b in zip(ids.tolist(), mask.tolist(), strict=True)
    ] == rows
    assert not ids[mask == 0].any()


def test_no_mask_exactly_where_nothing_is_padded() -> None:
    row = np.array([1, 2], dtype=np.int32)
    assert pad([row, row], 0)[1] is None
    assert pad([row, row[:1]], 0)[1] is not None


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2", "llama"])
def test_a_table_holds_what_the_tokenizer_gives(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = make_tokenizer(kind)
    monkeypatch.setattr(tokens, "_CHUNK", 7)
    table = tokenize(tokenizer, SENTENCES, None)
    assert [row.tolist() for row in table.rows(range(len(SENTENCES)))] == [tokenizer(s)["input_ids"] for s in SENTENCES]
    assert table.truncated == 0
    assert table.lengths.tolist() == [len(tokenizer(s)["input_ids"]) for s in SENTENCES]
    assert len(tokenize(tokenizer, [], 8).lengths) == 0


@pytest.mark.parametrize("limit", [3, 8, 12, 60])
def test_what_is_cut_is_counted_exactly(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = make_tokenizer("bert")
    full = [len(tokenizer(s)["input_ids"]) for s in SENTENCES]
    table = tokenize(tokenizer, SENTENCES, limit)
    assert table.lengths.tolist() == [min(limit, length) for length in full]
    assert table.truncated == sum(length > limit for length in full)

    def slow(*args: Any, **arguments: Any) -> Any:
        batch = tokenizer(*args, **arguments)
        return type("Batch", (dict,), {"encodings": None})(batch)  # the result of a tokenizer without Rust

    slow.num_special_tokens_to_add = tokenizer.num_special_tokens_to_add  # type: ignore[attr-defined]
    assert tokenize(slow, SENTENCES, limit).truncated == table.truncated


def test_a_giant_text_is_cut_before_it_becomes_tokens() -> None:
    """Tokens are those of the whole text; the tokenizer never sees more of it than it can keep."""
    tokenizer = make_tokenizer("bert")
    seen: list[int] = []

    def watched(texts: list[str], **arguments: Any) -> Any:
        seen.extend(map(len, texts))
        return tokenizer(texts, **arguments)

    watched.num_special_tokens_to_add = tokenizer.num_special_tokens_to_add  # type: ignore[attr-defined]
    giant = f"{SENTENCES[0]} " * 2000
    table = tokenize(watched, [giant, SENTENCES[1], "x" * 20_000], 16)
    assert max(seen) == 16 * 256
    assert table.truncated == 2  # the long word is one unknown token; words after it are not seen
    whole = tokenizer([giant, SENTENCES[1]], truncation=True, max_length=16)["input_ids"]
    assert [row.tolist() for row in table.rows(range(2))] == whole


def test_tokenizing_leaves_the_tokenizer_as_it_was(tiny_model: Callable[[str], Path]) -> None:
    tokenizer = make_tokenizer("bert")
    before = tokenizer(SENTENCES)["input_ids"]
    tokenize(tokenizer, SENTENCES, 5)
    assert tokenizer(SENTENCES)["input_ids"] == before


def test_foreign_text_is_noticed_when_it_is_cut_too(minilm: SimCSE) -> None:
    english = ["A man with a hard hat is dancing in the street, and nobody looks at him."] * 9
    korean = ["안전모를 가진 한 남자가 춤을 추고 있다. 어린아이가 말을 타고 있다."] * 5
    with pytest.warns(Notice, match="does not suit this model's vocabulary"):
        minilm.tokenize(korean, max_seq_length=16)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        minilm.tokenize(english, max_seq_length=8)
