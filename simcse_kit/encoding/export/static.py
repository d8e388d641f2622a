"""A model as a table of token vectors (Model2Vec, Tulkens and van Dongen, 2024), with the package ``model2vec``."""

from __future__ import annotations

import tempfile
from pathlib import Path

from simcse_kit.encoder.lora import has_lora
from simcse_kit.errors import ModelError
from simcse_kit.model import SimCSE
from simcse_kit.types import EncodeFn


def distill(model: SimCSE, target: Path) -> None:
    """Write the static model: each token is encoded alone, then PCA and weights are applied.

    Raises:
        ModelError: the package does not support the tokenizer or the architecture.
    """
    from model2vec.distill import distill as distill_table

    if has_lora(model.encoder):
        raise ModelError("static: merge the adapters first (merge_lora)")
    pooling = model.encoder.pooler.model2vec_mode
    if pooling is None:
        raise ModelError(f"static: model2vec does not support pooling {model.pooling}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        model.save(folder)
        try:
            table = distill_table(str(folder), device="cpu", pooling=pooling)
        except Exception as error:  # its tokenizer library may not support the tokenizer
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(f"model2vec cannot convert {model.name}: {reason}") from error
    table.save_pretrained(target)


def load_static(folder: Path) -> EncodeFn:
    """The `encode` function of a static model."""
    from model2vec import StaticModel

    table = StaticModel.from_pretrained(folder)
    return lambda sentences: table.encode(list(sentences))
