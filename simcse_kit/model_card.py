"""The README of a saved model."""

from __future__ import annotations

from importlib.resources import files
from pathlib import PurePath
from typing import Any

# The pooling as a reader of the card would write it, over states: hidden states (B, L, D) by layer, mask (B, L, 1)
POOLED = {
    "cls_before_pooler": "states[-1][:, 0]",
    "mean": "(states[-1] * mask).sum(1) / mask.sum(1)",
    "avg_top2": "((states[-1] + states[-2]) / 2 * mask).sum(1) / mask.sum(1)",
    "avg_first_last": "((states[1] + states[-1]) / 2 * mask).sum(1) / mask.sum(1)",
    "max": 'states[-1].masked_fill(mask == 0, float("-inf")).amax(1)',
    "last_token": "states[-1][torch.arange(len(sentences)), mask[:, :, 0].sum(1) - 1]",
}
_TASKS = {"transfer": "text-classification", "retrieval": "text-retrieval"}
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
    source = (files("simcse_kit") / "model_card.md.j2").read_text(encoding="utf-8")
    template = Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True).from_string(source)
    training = {name: value for name, value in record.get("training", {}).items() if name not in _NOT_SHOWN}
    return template.render(
        record=record,
        dimension=dimension,
        length=length,
        pooled=POOLED.get(pooling) if plain and not adapters else None,
        why="LoRA adapters have to be put onto their base model first"
        if adapters
        else f"this model's way from them to the sentence vector ({pooling}) has parts that it does not load",
        adapters=adapters,
        data=PurePath(str(record.get("data", {}).get("source", ""))).name,  # not where it lay
        settings={
            name.replace("_", " "): value for name, value in training.items() if value not in (None, False, [], 0.0)
        },
        measured=[
            {"task": _TASKS.get(entry["suite"], "sentence-similarity"), **entry}
            for entry in record.get("evaluation", [])
        ],
    )
