"""How a model is adapted to texts: chosen, with every number, by what the texts are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simcse_kit.data import LabelledTexts
from simcse_kit.encoder.call import DOCUMENT, QUERY
from simcse_kit.model import SimCSE
from simcse_kit.training.fitted import SMALLEST, STEPS
from simcse_kit.workflows.texts import Texts

_SHORT_PART = 0.5  # a title is less than half as long as its body, or it is no question for it
_ROWS = 20_000  # texts in a run over all epochs
_LENGTHS = 0.99  # share of the texts that are read whole in training, as far as the model reads them
_SAMPLE = 20_000  # texts whose tokens are counted


@dataclass(frozen=True, kw_only=True)
class Method:
    """What is trained, on what."""

    name: str  # neighbors, parts, classes
    words: str  # in a line
    mode: str  # unsup or sup
    data: Any  # what `train_unsup` or `train_sup` takes
    settings: dict[str, Any] = field(default_factory=dict)


def choose_method(texts: Texts, model: SimCSE, teacher: str | None, start: str) -> Method:
    """The method for these texts.

    Classes teach where there are some. Documents of two parts learn to be found by the short one. All other texts learn
    the mean of their neighbourhoods.
    """
    if texts.labels is not None:
        return _classes(texts, model)
    if texts.parts is not None:
        titles, bodies = (_lengths([pair[i] for pair in texts.parts], model) for i in range(2))
        if np.median(titles) <= _SHORT_PART * np.median(bodies):
            return _parts(texts, model, teacher or start, bodies)
    return _neighbors(texts, model, teacher)


def _classes(texts: Texts, model: SimCSE) -> Method:
    assert texts.labels is not None
    classes = len(set(texts.labels))
    return Method(
        name="classes",
        words=f"classes: texts of one of the {classes:,} classes are positives of each other (SupCon)",
        mode="sup",
        data=LabelledTexts(texts.texts, texts.labels, texts.source),
        settings={"objective": "supcon", "max_seq_length": _longest(_lengths(texts.texts, model), model)},
    )


def _neighbors(texts: Texts, model: SimCSE, teacher: str | None) -> Method:
    count = len(texts.texts)
    epochs = float(np.clip(_ROWS / count, 0.1, 2.0))
    batch = _batch_size(count, epochs, 64)
    whose = "their own model's" if teacher is None else f"{teacher}'s"
    return Method(
        name="neighbors",
        words=f"neighbour distillation: each text learns the mean of its nearest texts' vectors, {whose}",
        mode="unsup",
        data=texts.texts,
        settings={
            "objective": "neighbors",
            "neighbors": int(np.clip(round(np.sqrt(count) / 2), 5, 100)),  # 50 of 10,000 texts
            "batch_size": batch,
            "epochs": max(epochs, STEPS * batch / count),
            "max_seq_length": _longest(_lengths(texts.texts, model), model),
        }
        | ({} if teacher is None else {"teacher": teacher})
        | _prompts(model),
    )


def _parts(texts: Texts, model: SimCSE, teacher: str, lengths: np.ndarray) -> Method:
    assert texts.parts is not None
    assert texts.part_names is not None
    count = len(texts.parts)
    batch = _batch_size(count, 1.0, 32)
    short, long = texts.part_names
    return Method(
        name="parts",
        words=f"{short} and {long}: each {short} learns to find its {long}, in the order of {teacher}",
        mode="sup",
        data=texts.parts,
        settings={
            "batch_size": batch,
            "epochs": float(np.clip(STEPS * batch / count, 1.0, 3.0)),
            "learning_rate": 2e-5,
            "max_seq_length": _longest(lengths, model),
            "teacher": teacher,
        }
        | _prompts(model),
    )


def _prompts(model: SimCSE) -> dict[str, Any]:
    """The start model's prompts for queries and documents, where it has both: training keeps them apart, too."""
    found = [next((name for name in names if name in model.prompts), None) for names in (QUERY, DOCUMENT)]
    if None in found or not any(model.prompts[str(name)] for name in found):  # sentence-transformers saves empty ones
        return {}
    return {"prompts": tuple(found)}


def _batch_size(count: int, epochs: float, most: int) -> int:
    """As large as leaves `STEPS` steps, from `SMALLEST` to ``most``."""
    return int(np.clip(2 ** int(np.log2(max(1, count * epochs / STEPS))), min(SMALLEST, count), most))


def _lengths(texts: list[str], model: SimCSE) -> np.ndarray:
    """Tokens of texts, (n,); of many, of a part."""
    step = max(1, len(texts) // _SAMPLE)
    return model.tokenize(texts[::step], max_seq_length=model.max_seq_length).lengths


def _longest(lengths: np.ndarray, model: SimCSE) -> int:
    """Tokens that `_LENGTHS` of the texts fit into, a multiple of 8; no more than the model reads."""
    wanted = int(-(-np.quantile(lengths, _LENGTHS) // 8) * 8)
    return max(16, min(wanted, model.max_seq_length or wanted))
