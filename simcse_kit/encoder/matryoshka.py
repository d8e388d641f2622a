"""Whether a model was trained with Matryoshka: the first numbers of its vectors work as shorter vectors."""

from __future__ import annotations

from typing import Any

from simcse_kit.encoder.hub import resolve
from simcse_kit.errors import ModelError


def is_matryoshka(name: str, record: dict[str, Any], config: Any) -> bool:
    """Whether its record, its configuration or the text of its card show that a model is trained with Matryoshka.

    Args:
        name: its folder or hub name; reads only files on the disk.
        record: content of ``simcse_kit.json``.
        config: config of the backbone; ``is_matryoshka`` and ``matryoshka_dimensions`` are vLLM's names.
    """
    if record.get("training", {}).get("matryoshka_dims"):
        return True
    if getattr(config, "is_matryoshka", False) or getattr(config, "matryoshka_dimensions", None):
        return True
    try:
        card = (resolve(name, local_files_only=True).folder / "README.md").read_text(encoding="utf-8")
    except (ModelError, OSError, UnicodeDecodeError):
        return False
    return "matryoshka" in card.lower()
