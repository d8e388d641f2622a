"""A table of token vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simcse_kit.encoding.export.part import EXPORT_FORMATS, ExportFormat

if TYPE_CHECKING:
    from simcse_kit.model import SimCSE
    from simcse_kit.types import EncodeFn


@EXPORT_FORMATS.register
@dataclass(frozen=True, kw_only=True)
class Static(ExportFormat):
    """Token vectors by Model2Vec's distillation, for model2vec and sentence-transformers."""

    name = "static"
    help = "A table of token vectors (model2vec): much faster, less exact."
    source = "Tulkens & van Dongen (2024)"
    order = 4

    def write(self, model: SimCSE, target: Path, calibration: Sequence[str] | None) -> EncodeFn:
        from simcse_kit.encoding.export.static import distill, load_static
        from simcse_kit.errors import require_extra

        require_extra("static", ["model2vec", "skeletoken"], "export to static")
        distill(model, target)
        return load_static(target)
