"""The README of a saved model."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any

from simcse_kit.evaluation.suite import task_of

# The pooling as a reader of the card would write it, over states: hidden states (B, L, D) by layer, mask (B, L, 1)
POOLED = {
    "cls_before_pooler": "states[-1][:, 0]",
    "mean": "(states[-1] * mask).sum(1) / mask.sum(1)",
    "avg_top2": "((states[-1] + states[-2]) / 2 * mask).sum(1) / mask.sum(1)",
    "avg_first_last": "((states[1] + states[-1]) / 2 * mask).sum(1) / mask.sum(1)",
    "max": 'states[-1].masked_fill(mask == 0, float("-inf")).amax(1)',
    "last_token": "states[-1][torch.arange(len(sentences)), mask[:, :, 0].sum(1) - 1]",
}
_PACKAGED = {"all-MiniLM-L6-v2": "sentence-transformers/all-MiniLM-L6-v2"}  # its name on the hub
# settings that say nothing unless another is set
_BELONGS = {
    "hardness_strength": "hardness_mode",
    "teacher_weight": "teacher",
    "teacher_temperature": "teacher",
    "ranking": "teacher",
    "template_denoising": "template",
}
_HUB = "hf:"  # before the name of a data set there
_NOT_SHOWN = ("pooling", "device", "report_to", "eval_steps", "select", "merge", "gradient_checkpointing")


def model_card(
    record: dict[str, Any],
    dimension: int,
    *,
    length: int | None = None,
    plain: bool = False,
    adapters: bool = False,
) -> str:
    """README text for a folder whose ``simcse_kit.json`` is ``record``.

    Args:
        record: its ``evaluation`` holds the scores with their intervals, its ``license`` the model's licence.
        dimension: width of the vectors.
        length: longest input in tokens.
        plain: nothing comes before the backbone or after the pooling but a scaling to length 1, so that transformers
            alone gives the same vectors.
        adapters: of LoRA, without their base.
    """
    from jinja2 import Environment

    pooling = str(record.get("pooling"))
    source = (files("simcse_kit") / "encoder" / "card.md.j2").read_text(encoding="utf-8")
    template = Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True).from_string(source)
    start, data = str(record.get("model") or ""), str(record.get("data", {}).get("source", ""))
    dataset = _dataset(data)
    return template.render(
        record=record,
        dimension=dimension,
        length=length,
        pooled=POOLED.get(pooling) if plain and not adapters else None,
        why="LoRA adapters have to be put onto their base model first"
        if adapters
        else f"this model's way from them to the sentence vector ({pooling}) has parts that it does not load",
        adapters=adapters,
        data=data if dataset else PurePath(data).name,  # not where it lay
        dataset=dataset,
        start=PurePath(start).name if PurePath(start).is_absolute() else start,
        base=_on_the_hub(start),
        settings=_settings(record.get("training", {})),
        measured=[{"task": task_of(entry["suite"]), **entry} for entry in record.get("evaluation", [])],
    )


def _settings(training: dict[str, Any]) -> dict[str, str]:
    """What a reader would want to know of a run, by name."""
    shown = {}
    for name, value in training.items():
        told = name not in _NOT_SHOWN and (name not in _BELONGS or training.get(_BELONGS[name]))
        if told and value not in (None, False, [], 0.0):
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            shown[name.replace("_", " ")] = PurePath(text).name if PurePath(text).is_absolute() else text
    return shown


def _dataset(source: str) -> str | None:
    """The hub's name of a data set; None for files and folders."""
    name = source.removeprefix(_HUB).partition("#")[0].partition(":")[0]
    known = source.startswith(_HUB) and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) and not Path(name).exists()
    return name if known else None


def _on_the_hub(model: str) -> str | None:
    """The hub's name of a start model; None for a folder."""
    name = _PACKAGED.get(model, model)
    return name if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not Path(name).exists() else None
