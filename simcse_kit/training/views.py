"""From the columns of the data to the views of a row: unchanged, augmented, or in a template."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from simcse_kit.data import TextData
from simcse_kit.encoder.template import TemplateSpan, set_template, template_length, template_span, using_template
from simcse_kit.encoder.tokens import TokenTable
from simcse_kit.errors import TrainingError
from simcse_kit.model import SimCSE
from simcse_kit.objectives import AUGMENTATIONS, Augmentation, Vocabulary
from simcse_kit.objectives.augmentations._words import vocabulary
from simcse_kit.training.batches import Augment, TokenIds
from simcse_kit.training.config import TrainConfig


class Views(NamedTuple):
    """V views of each row."""

    tables: list[TokenTable]  # V
    augment: list[Augment | None]  # V
    templates: list[TemplateSpan] | None  # V, if the vector of the bare template is subtracted


class TextForm(NamedTuple):
    """Prompts and lengths that apply to every text before it becomes tokens."""

    prompts: tuple[str, ...]  # prefix of each view; a single one is for all views; "" for none
    longest: int  # tokens, including those of a template


def text_form(model: SimCSE, config: TrainConfig) -> TextForm:
    """Set the template of the first view in the model's tokenizer, if there is one; it is saved with the model."""
    if config.template is not None:
        set_template(model.tokenizer, config.template)
    prompts = tuple(_prompt(model, name) for name in config.prompts) or (model.default_prompt(),)
    if any(prompts) and not model.settings.include_prompt:
        raise TrainingError("cannot train a model that leaves its prompts out of the pooling")
    return TextForm(prompts, _longest(model, config))


def _prompt(model: SimCSE, name: str) -> str:
    if name not in model.prompts:
        known = ", ".join(model.prompts) or "none"
        raise TrainingError(f"prompts must be names of prompts of the start model ({known}); got {name!r}")
    return model.prompts[name]


def _longest(model: SimCSE, config: TrainConfig) -> int:
    """Number of tokens of a sentence with the tokenizer's current template, at most the model's limit."""
    longest = config.max_seq_length + template_length(model.tokenizer)
    return min(longest, model.max_seq_length or longest)


def make_views(model: SimCSE, data: TextData, config: TrainConfig, form: TextForm) -> Views:
    """Every column as tokens, after the view's prompt; a single column serves as both views."""
    columns = config.objective.views(data.width)
    if config.objective.view_of_each_prompt:
        columns = columns * len(form.prompts)
    if len(form.prompts) > 1 and data.width == 1 and not config.objective.view_of_each_prompt:
        raise TrainingError(f"rows of one text take one prompt; got {len(form.prompts)}: {', '.join(config.prompts)}")
    prompts = (*form.prompts, *[form.prompts[-1]] * len(columns))[: len(columns)]  # same prompt as the positive
    tables: list[TokenTable] = []
    shown = list(zip(columns, prompts, strict=True))
    for view, (column, prompt) in enumerate(shown):
        if (column, prompt) in shown[:view]:  # the same text again
            first = tables[shown.index((column, prompt))]
            tables.append(_second(model, data.column(column), first, config, prompt))
        else:
            tables.append(_tokenized(model, data.column(column), prompt, form.longest))
    denoised = config.template is not None and config.template_denoising
    spans = _spans(model, config, len(tables)) if denoised else None
    return Views(tables, _augmentations(model, config, len(tables)), spans)


def _second(model: SimCSE, column: list[str], first: TokenTable, config: TrainConfig, prompt: str) -> TokenTable:
    """The second view of a sentence: the same tokens, or the sentence in the second template."""
    if config.second_template is None:
        return first
    with using_template(model.tokenizer, config.second_template):
        return _tokenized(model, column, prompt, _longest(model, config))


def _tokenized(model: SimCSE, texts: Sequence[str], prompt: str, longest: int) -> TokenTable:
    return model.tokenize([prompt + text for text in texts], max_seq_length=longest)


def _spans(model: SimCSE, config: TrainConfig, views: int) -> list[TemplateSpan]:
    """Tokens around the sentences of each view: a template, or only special tokens."""
    spans = [template_span(model.tokenizer)] * views
    if config.second_template is not None:
        with using_template(model.tokenizer, config.second_template):
            spans[1] = template_span(model.tokenizer)
    return spans


def _augmentations(model: SimCSE, config: TrainConfig, views: int) -> list[Augment | None]:
    """For views that the objective augments."""
    steps = [one for one in map(AUGMENTATIONS.get, config.augmentation) if one.apply]  # others belong to the encoder
    if not steps:
        return [None] * views
    words, longest = vocabulary(model.tokenizer), model.max_seq_length or 10**6
    return [
        partial(_augmented, steps=tuple(steps), words=words, span=span, longest=longest)
        if config.objective.augmented(view)
        else None
        for view, span in enumerate(_spans(model, config, views))
    ]


def _augmented(
    row: TokenIds,
    rng: np.random.Generator,
    *,
    steps: tuple[Augmentation, ...],
    words: Vocabulary,
    span: TemplateSpan,
    longest: int,
) -> TokenIds:
    """Apply augmentations in turn to the tokens inside the template (between CLS and SEP). A sentence that exceeds the
    model's length loses its last words.
    """
    end = len(row) - span.suffix
    inside = row[span.prefix : end]
    for step in steps:
        inside = step(inside, words, rng)
    return np.concatenate([row[: span.prefix], inside[: longest - span.prefix - span.suffix], row[end:]])
