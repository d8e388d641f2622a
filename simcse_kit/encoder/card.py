"""README of a saved model: its model card."""

from __future__ import annotations

import re
from dataclasses import fields
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any

from simcse_kit.encoder.poolers import POOLERS
from simcse_kit.encoder.used_parts import unused_settings
from simcse_kit.evaluation.suite import task_of
from simcse_kit.objectives import OBJECTIVES, TERMS
from simcse_kit.parts import is_named

_PACKAGED = {"all-MiniLM-L6-v2": "sentence-transformers/all-MiniLM-L6-v2"}  # its name on the hub
_HUB = "hf:"  # prefix of a data set's name on the hub
_NOT_SHOWN = ("pooling", "device", "report_to", "eval_steps", "select", "merge", "gradient_checkpointing")


def model_card(
    record: dict[str, Any],
    dimension: int,
    *,
    length: int | None = None,
    plain: bool = False,
    portable: bool = True,
    adapters: bool = False,
) -> str:
    """README text for a folder whose ``simcse_kit.json`` is ``record``.

    Args:
        record: with scores and intervals in ``evaluation``, the model's licence in ``license``, and the result of
            `used_parts` in ``parts``.
        dimension: dimension of the vectors.
        length: longest input in tokens.
        plain: there is only a scaling to length 1 after the pooling, so that transformers alone gives the same vectors.
        portable: sentence-transformers reads the backbone correctly.
        adapters: LoRA adapters without their base.
    """
    from jinja2 import Environment

    pooling = str(record.get("pooling"))
    pooler = POOLERS.known(pooling)  # a record alone never runs code
    source = (files("simcse_kit") / "encoder" / "card.md.j2").read_text(encoding="utf-8")
    template = Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True).from_string(source)
    start, data = str(record.get("model") or ""), str(record.get("data", {}).get("source", ""))
    dataset = _dataset(data)
    parts = record.get("parts", [])
    return template.render(
        record=record,
        dimension=dimension,
        length=length,
        pooled=pooler.snippet if pooler is not None and plain and not adapters else None,
        portable=portable and (pooler is None or pooler.st_mode is not None),
        own=pooling if is_named(pooling) else None,
        why="LoRA adapters must first be added to their base model"
        if adapters
        else f"it lacks modules that this model's pooling ({pooling}) needs",
        adapters=adapters,
        data=data if dataset else PurePath(data).name,  # without its local path
        dataset=dataset,
        start=PurePath(start).name if PurePath(start).is_absolute() else start,
        base=_on_the_hub(start),
        settings=_settings(record),
        parts=parts,
        citations=list(dict.fromkeys(part["citation"] for part in parts if part["citation"])),
        measured=[{"task": task_of(entry["suite"]), **entry} for entry in record.get("evaluation", [])],
    )


def _settings(record: dict[str, Any]) -> dict[str, str]:
    """What a reader wants to know of a run, by name: general settings, and those of the parts in use."""
    training, shown, needed, unused = record.get("training", {}), {}, _needed(), unused_settings(record)
    for name, value in training.items():
        if name in unused:
            continue
        says_something = name not in _NOT_SHOWN and (name not in needed or training.get(needed[name]))
        if says_something and value not in (None, False, [], 0.0):
            value = float(f"{value:.4g}") if isinstance(value, float) else value
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            shown[name.replace("_", " ")] = PurePath(text).name if PurePath(text).is_absolute() else text
    return shown


def _needed() -> dict[str, str]:
    """Settings of objectives and terms that have no effect without another one, and the name of that one."""
    parts = [field for part in (*OBJECTIVES, *TERMS) for field in fields(part)]
    return {field.name: field.metadata["needs"] for field in parts if field.metadata["needs"]}


def _dataset(source: str) -> str | None:
    """Hub name of a data set; None for files and folders."""
    name = source.removeprefix(_HUB).partition("#")[0].partition(":")[0]
    known = source.startswith(_HUB) and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) and not Path(name).exists()
    return name if known else None


def _on_the_hub(model: str) -> str | None:
    """Hub name of a start model; None for a folder."""
    name = _PACKAGED.get(model, model)
    return name if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not Path(name).exists() else None
