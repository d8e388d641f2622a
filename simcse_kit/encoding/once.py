"""`encode`: vectors in one call, with a model that is loaded once."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simcse_kit.encoder.known import MINILM
from simcse_kit.model import SimCSE
from simcse_kit.parts import check_keywords, keywords_of


def encode(sentences: str | Sequence[str], model: SimCSE | str | Path | None = None, **arguments: Any) -> Any:
    """Vectors of sentences in one call: one string gives (D,), N strings (N, D); arguments as in `SimCSE.encode`.

    ``model``: a `SimCSE`, or a folder or name, which is loaded once; None is all-MiniLM-L6-v2, from the extra
    ``offline`` if installed, else from the hub.

    Raises:
        TypeError, ValueError: as in `SimCSE.encode`; an unknown argument raises before any model is loaded.
        ModelError: the model cannot be loaded.
    """
    check_keywords(arguments, (*keywords_of(SimCSE.encode), "model"), "encode", TypeError)
    loaded = model if isinstance(model, SimCSE) else _load_once(str(model or MINILM))
    return loaded.encode(sentences, **arguments)


@functools.lru_cache(maxsize=4)
def _load_once(name: str) -> SimCSE:
    return SimCSE(name)
