"""Choice of the method that adapts a model, with all settings, from the texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simcse_kit.data import LabelledTexts
from simcse_kit.data.passages import sentence_and_rest
from simcse_kit.encoder.call import DOCUMENT, QUERY
from simcse_kit.model import SimCSE
from simcse_kit.objectives.neighbors import Neighbors
from simcse_kit.training.config import SMALLEST, STEPS
from simcse_kit.workflows.smoothing import AMONG, Smoothing, smoothing
from simcse_kit.workflows.texts import Texts

_SHORT_PART = 0.5  # a title is at most half as long as its body, else it is no query for it
_PASSAGES = 0.5  # share of texts with two sentences from which on these are used
_ROWS = 20_000  # texts per run, over all epochs
_CLASS_BATCH = (64, 304)  # smallest and largest; between them 4 texts per class
_CLASS_ROWS = 120_000  # maximum number of texts per run, over all epochs
_CLASS_EPOCHS, _CLASS_EPOCHS_OF_FEW = 6.0, 40.0
_FEW = 32  # texts per class below which they are few
_TOKENS = 1 << 15  # tokens of a step in memory at a time: 3 GiB for a small encoder
_LENGTHS = 0.99  # share of the texts that training reads completely, up to the model's limit
_SAMPLE = 20_000  # texts whose tokens are counted


@dataclass(frozen=True, kw_only=True)
class Method:
    """What to train, on which rows."""

    name: str  # classes, parts, neighbors, passages, order
    words: str  # one line of text
    mode: str  # unsup or sup
    data: Any  # arguments of `train_unsup` or `train_sup`
    settings: dict[str, Any] = field(default_factory=dict)


def choose_method(texts: Texts, model: SimCSE, teacher: str | None, start: str, seed: int) -> Method:
    """The method for these texts.

    Classes are used if there are any. Documents of two parts learn to be found by the short part. If the halves of
    texts find each other no worse with averaged vectors of their neighborhoods, texts learn this average, see
    `smoothing`; otherwise each text learns to be found by one of its sentences.
    """
    if texts.labels is not None:
        return _classes(texts, model)
    if texts.parts is not None:
        titles, bodies = (_lengths([pair[i] for pair in texts.parts], model) for i in range(2))
        if np.median(titles) <= _SHORT_PART * np.median(bodies):
            assert texts.part_names is not None
            short, long = texts.part_names
            words = f"{short} and {long}: each {short} learns to find its {long}"
            return _pairs("parts", words, texts.parts, model, teacher or start, bodies)
    looked_at = smoothing(model, texts.texts, _neighborhood(min(len(texts.texts), AMONG)))
    if looked_at is None or looked_at.helps:
        return _neighbors(texts, model, teacher, looked_at)
    pairs = sentence_and_rest(texts.texts, seed)
    if len(pairs) < _PASSAGES * len(texts.texts):
        return _order(texts, model, teacher or start, looked_at)
    lengths = _lengths([rest for _, rest in pairs], model)
    words = f"passages ({looked_at.words}): a sentence learns to find the text around it"
    return _pairs("passages", words, pairs, model, teacher or start, lengths)


def _classes(texts: Texts, model: SimCSE) -> Method:
    """Few texts train with more dropout; a share of the start's weights keeps what they do not cover."""
    assert texts.labels is not None
    count, classes = len(texts.labels), len(set(texts.labels))
    whole = min(_CLASS_EPOCHS, _CLASS_ROWS / count)
    few = count < _FEW * classes
    batch = int(np.clip(4 * classes, _CLASS_BATCH[0], min(_CLASS_BATCH[1], max(SMALLEST, count))))
    longest = _longest(_lengths(texts.texts, model), model)
    return Method(
        name="classes",
        words=f"classes: texts of the same class, one of {classes:,}, are positives of each other (SupCon)",
        mode="sup",
        data=LabelledTexts(texts.texts, texts.labels, texts.source),
        settings={
            "objective": "supcon",
            "batch_size": batch,
            "epochs": float(np.clip(_ROWS / count, whole, _CLASS_EPOCHS_OF_FEW)),
            "learning_rate": 1e-4,
            "start_share": 0.4 if few else 0.1,
            "max_seq_length": longest,
        }
        | ({"dropout": 0.2} if few else {})
        | ({"mini_batch_tokens": _TOKENS} if batch * longest > _TOKENS else {}),
    )


def _neighborhood(count: int) -> Neighbors:
    """Half the square root of the number of texts: 50 neighbors for 10,000 texts."""
    return Neighbors(neighbors=int(np.clip(round(np.sqrt(count) / 2), 5, 100)))


def _neighbors(texts: Texts, model: SimCSE, teacher: str | None, looked_at: Smoothing | None) -> Method:
    whose = "the start model" if teacher is None else teacher
    why = "" if looked_at is None else f" ({looked_at.words})"
    words = f"neighbor distillation: each text learns the mean vector of its nearest texts, from {whose}{why}"
    settings = {"objective": "neighbors", "neighbors": _neighborhood(len(texts.texts)).neighbors}
    return _texts("neighbors", words, texts, model, 2.0, settings | ({} if teacher is None else {"teacher": teacher}))


def _order(texts: Texts, model: SimCSE, teacher: str, looked_at: Smoothing) -> Method:
    """For texts of one sentence that averaging would blur."""
    words = f"RankCSE: each text learns the order of the others in {teacher} ({looked_at.words})"
    return _texts("order", words, texts, model, 1.0, {"recipe": "rankcse", "teacher": teacher})


def _texts(name: str, words: str, texts: Texts, model: SimCSE, most_epochs: float, settings: dict[str, Any]) -> Method:
    """Settings for single texts, `_ROWS` per run and at least `STEPS` steps."""
    count = len(texts.texts)
    epochs = float(np.clip(_ROWS / count, 0.1, most_epochs))
    batch = _batch_size(count, epochs, 64)
    return Method(
        name=name,
        words=words,
        mode="unsup",
        data=texts.texts,
        settings=settings
        | {
            "batch_size": batch,
            "epochs": max(epochs, STEPS * batch / count),
            "max_seq_length": _longest(_lengths(texts.texts, model), model),
        }
        | _prompts(model),
    )


def _pairs(
    name: str, words: str, pairs: list[tuple[str, str]], model: SimCSE, teacher: str, lengths: np.ndarray
) -> Method:
    """Settings for a short text that must find its long text; ``lengths``: those of the long texts."""
    count = len(pairs)
    epochs = float(np.clip(_ROWS / count, 0.1, 1.0))
    batch = _batch_size(count, epochs, 32)
    return Method(
        name=name,
        words=f"{words}, and keeps the order of {teacher}",
        mode="sup",
        data=pairs,
        settings={
            "batch_size": batch,
            "epochs": float(np.clip(STEPS * batch / count, epochs, 3.0)),
            "learning_rate": 2e-5,
            "max_seq_length": _longest(lengths, model),
            "teacher": teacher,
        }
        | _prompts(model),
    )


def _prompts(model: SimCSE) -> dict[str, Any]:
    """The start model's prompts for queries and documents, if it has both: training uses them too."""
    found = [next((name for name in names if name in model.prompts), None) for names in (QUERY, DOCUMENT)]
    if None in found or not any(model.prompts[str(name)] for name in found):  # sentence-transformers saves empty ones
        return {}
    return {"prompts": tuple(found)}


def _batch_size(count: int, epochs: float, most: int) -> int:
    """The largest size that leaves `STEPS` steps, from `SMALLEST` to ``most``."""
    return int(np.clip(2 ** int(np.log2(max(1, count * epochs / STEPS))), min(SMALLEST, count), most))


def _lengths(texts: list[str], model: SimCSE) -> np.ndarray:
    """Token counts of texts, (n,); for many texts, of a sample."""
    step = max(1, len(texts) // _SAMPLE)
    return model.tokenize(texts[::step], max_seq_length=model.max_seq_length).lengths


def _longest(lengths: np.ndarray, model: SimCSE) -> int:
    """The number of tokens that `_LENGTHS` of the texts fit in, a multiple of 8, within the model's limit."""
    wanted = int(-(-np.quantile(lengths, _LENGTHS) // 8) * 8)
    return max(16, min(wanted, model.max_seq_length or wanted))
