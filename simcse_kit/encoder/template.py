"""PromptBERT's templates (Jiang et al., 2022): stored in the tokenizer, and subtracted from the vector in training.

A template is a text with [X] for the sentence and [MASK] where its vector is read (pooling ``mask``). It is part of the
post-processor of a fast tokenizer, with CLS and SEP: a saved tokenizer keeps it, and truncation shortens only the
sentence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from simcse_kit.encoder.backbone import first_position
from simcse_kit.encoder.modules import Encoder
from simcse_kit.errors import ModelError

_PIECE = "template: "  # prefix of the names of a template's two halves in the tokenizer file
_FILLER = "a"  # placeholder of the sentence

Pieces = list[tuple[str, list[int]]]  # names in the post-processor, and their token ids


class TemplateSpan(NamedTuple):
    """Number of tokens that a tokenizer adds to every text, with or without a template."""

    prefix: int  # before the sentence, with CLS
    suffix: int  # after the sentence, with SEP


def set_template(tokenizer: Any, text: str | None) -> None:
    """Make a tokenizer put every single text into the template ``text``, replacing its current one; None: no template.

    The template's tokens are those of the whole text with [X] filled in. Special tokens that a sentence spells out,
    such as "[MASK]", are plain text while there is a template. To save the tokenizer, see `portable`.

    Raises:
        ModelError: no fast tokenizer, no mask token, or a template without exactly one [X] and then one [MASK].
    """
    if not tokenizer.is_fast:
        raise ModelError(f"a template needs a fast tokenizer (tokenizer.json); {type(tokenizer).__name__} is not one")
    first, last = _special_tokens(tokenizer)
    prefix: Pieces = []
    suffix: Pieces = []
    if text is not None:
        before, after = _checked(tokenizer, text)
        _set_prefix_space(tokenizer, False)
        prefix, suffix = _halves(tokenizer, before, after)
        _set_prefix_space(tokenizer, before.endswith(" "))
    tokenizer.backend_tokenizer.post_processor = _post_processor(tokenizer, first, prefix, suffix, last)
    tokenizer.split_special_tokens = text is not None


@contextmanager
def using_template(tokenizer: Any, text: str | None) -> Iterator[None]:
    """Inside the ``with``, another template or none: for the second view of a training pair."""
    backend = tokenizer.backend_tokenizer
    before = backend.post_processor, backend.pre_tokenizer, tokenizer.split_special_tokens
    try:
        set_template(tokenizer, text)
        yield
    finally:
        backend.post_processor, backend.pre_tokenizer, tokenizer.split_special_tokens = before


def template_length(tokenizer: Any) -> int:
    """Tokens of a tokenizer's template, without CLS and SEP; 0 without a template.

    A length limit includes them: for sentences of 32 tokens with CLS and SEP it is 32 plus this.
    """
    return sum(len(ids) for part in _template_pieces(tokenizer) for _, ids in part)


def template_span(tokenizer: Any) -> TemplateSpan:
    """Tokens before and after every sentence; the sentence is ``row[prefix : len(row) - suffix]``."""
    prefix, suffix = _around(tokenizer)
    return TemplateSpan(len(prefix), len(suffix))


def portable(tokenizer: Any) -> Any:
    """The tokenizer to save: itself, or with a template a copy in transformers' general class.

    The classes of some architectures (BERT, RoBERTa) set their own post-processor when loaded, which would remove a
    template.
    """
    if not template_length(tokenizer):
        return tokenizer
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer.backend_tokenizer,
        **tokenizer.special_tokens_map,
        extra_special_tokens=tokenizer.extra_special_tokens,
        model_max_length=tokenizer.model_max_length,
        model_input_names=tokenizer.model_input_names,
        padding_side=tokenizer.padding_side,
        split_special_tokens=tokenizer.split_special_tokens,
    )


def _checked(tokenizer: Any, text: str) -> tuple[str, str]:
    """The text before and after [X], with the tokenizer's own mask token."""
    mask = tokenizer.mask_token
    if mask is None:
        raise ModelError("a template needs a tokenizer with a mask token; this one has none")
    before, _, after = text.replace("[MASK]", mask).partition("[X]")
    if "[X]" in after or mask in before or after.count(mask) != 1:
        raise ModelError(f"a template has one [X] for the sentence and one [MASK] after it; got {text!r}")
    return before, after


def _around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Ids before and after every single text, for any kind of post-processor."""
    encoded = tokenizer(_FILLER, return_special_tokens_mask=True, verbose=False)
    ids = encoded["input_ids"]
    content = [i for i, special in enumerate(encoded["special_tokens_mask"]) if not special]
    return ids[: content[0]], ids[content[-1] + 1 :]


def _special_tokens(tokenizer: Any) -> tuple[Pieces, Pieces]:
    """Like `_around` without a template: CLS and SEP, one piece per token."""
    prefix, suffix = _around(tokenizer)
    before, after = (sum(len(ids) for _, ids in part) for part in _template_pieces(tokenizer))
    first, last = prefix[: len(prefix) - before], suffix[after:]
    return [(tokenizer.convert_ids_to_tokens(i), [i]) for i in first], [
        (tokenizer.convert_ids_to_tokens(i), [i]) for i in last
    ]


def _template_pieces(tokenizer: Any) -> tuple[Pieces, Pieces]:
    """The halves of a template in the post-processor, before and after the sentence; both empty without one."""
    if not tokenizer.is_fast or tokenizer.backend_tokenizer.post_processor is None:
        return [], []
    state = json.loads(tokenizer.backend_tokenizer.post_processor.__getstate__())
    parts: tuple[Pieces, Pieces] = ([], [])
    side = 0
    for piece in state.get("single") or ():
        if "Sequence" in piece:
            side = 1
        elif (name := piece["SpecialToken"]["id"]).startswith(_PIECE):
            parts[side].append((name, state["special_tokens"][name]["ids"]))
    return parts


def _halves(tokenizer: Any, before: str, after: str) -> tuple[Pieces, Pieces]:
    """Token ids of a template's halves around a word, so that "means" is tokenized as after a space."""
    whole = before + _FILLER + after
    encoded = tokenizer(
        whole, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=False, verbose=False
    )
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    start, stop = len(before.rstrip()), len(before + _FILLER)
    first = sum(end <= start for _, end in offsets)
    last = sum(begin < stop for begin, _ in offsets)
    if any(begin < start or end > stop for begin, end in offsets[first:last]) or first >= last:
        raise ModelError(
            "this vocabulary merges the template with the sentence: put spaces around [X] in "
            f"{before + '[X]' + after!r}"
        )
    return [(_PIECE + before, ids[:first])], [(_PIECE + after, ids[last:])]


def _set_prefix_space(tokenizer: Any, wanted: bool) -> None:
    """For byte-level BPE: tokenize a text's first word as after a space, if there is one before [X]."""
    backend = tokenizer.backend_tokenizer
    state = {} if backend.pre_tokenizer is None else json.loads(backend.pre_tokenizer.__getstate__())
    if state.get("type") == "ByteLevel":
        from tokenizers.pre_tokenizers import ByteLevel

        backend.pre_tokenizer = ByteLevel(add_prefix_space=wanted, use_regex=state["use_regex"])


def _post_processor(tokenizer: Any, first: Pieces, prefix: Pieces, suffix: Pieces, last: Pieces) -> Any:
    """``first prefix TEXT suffix last``; two texts, which encoders never get, become ``first A last B last``."""
    from tokenizers.processors import TemplateProcessing

    def part(pieces: Pieces, type_id: int = 0) -> list[dict[str, Any]]:
        return [{"SpecialToken": {"id": name, "type_id": type_id}} for name, ids in pieces if ids]

    a, b = ({"Sequence": {"id": name, "type_id": type_id}} for name, type_id in (("A", 0), ("B", 1)))
    state = {
        "type": "TemplateProcessing",
        "single": [*part(first), *part(prefix), a, *part(suffix), *part(last)],
        "pair": [*part(first), a, *part(last), b, *part(last, 1)],
        "special_tokens": {
            name: {"id": name, "ids": ids, "tokens": tokenizer.convert_ids_to_tokens(ids)}
            for name, ids in (*first, *prefix, *suffix, *last)
            if ids
        },
    }
    processor = TemplateProcessing()
    processor.__setstate__(json.dumps(state).encode())  # its constructor takes no names with a colon
    return processor


# Template denoising


def template_bias(encoder: Encoder, input_ids: Tensor, attention_mask: Tensor | None, span: TemplateSpan) -> Tensor:
    """The vector of each row's bare template, at its positions in the row: (B, L), (B, L) -> (B, D).

    Template denoising (Jiang et al., 2022, 3.3) subtracts it from the sentence's vector, in training only. Rows are
    padded on the right. Rows of equal length and template share one pass, in the encoder's current mode; the gradient
    flows. If a backbone gets positions only from embeddings, the sentence is left out; otherwise it stays and nothing
    attends to it.
    """
    if attention_mask is None:
        attention_mask = torch.ones_like(input_ids)
    ends = attention_mask.sum(dim=1, keepdim=True)  # (B, 1)
    index = torch.arange(sum(span), device=input_ids.device)
    places = torch.where(index < span.prefix, index, ends - sum(span) + index)  # (B, T) of T template tokens
    kinds, kind = torch.unique(torch.cat([input_ids.gather(1, places), places], 1), dim=0, return_inverse=True)
    first = first_position(encoder.backbone)
    if first is not None:
        ids, positions = kinds.chunk(2, dim=1)  # (K, T): K templates at their positions
        vectors = encoder(ids, None, position_ids=first + positions, normalize=False)
    else:
        numbers = torch.arange(len(kind), device=kind.device)
        row = kind.new_empty(len(kinds)).scatter_(0, kind, numbers)  # (K,): one row of each kind
        kept = torch.zeros_like(attention_mask).scatter_(1, places, 1)
        vectors = encoder(input_ids[row], kept[row], normalize=False)
    return vectors[kind]  # type: ignore[no-any-return]
