"""What an export format says of itself. Importing this and the parts loads no torch: the command's help reads them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from simcse_kit.errors import ModelError
from simcse_kit.parts import Family

if TYPE_CHECKING:
    from simcse_kit.model import SimCSE
    from simcse_kit.types import EncodeFn


@dataclass(frozen=True, kw_only=True)
class ExportFormat(ABC):
    """A form that a model is written in for another runtime. One of your own is named ``module:class``."""

    name: ClassVar[str] = ""
    help: ClassVar[str] = ""  # one line
    source: ClassVar[str] = ""
    order: ClassVar[int] = 100  # its place in lists
    calibrated: ClassVar[bool] = False  # whether sentences can be given to quantize by
    loads_as: ClassVar[tuple[str, str] | None] = None  # backend and dtype of `SimCSE` that take it; None: none does

    @abstractmethod
    def write(self, model: SimCSE, target: Path, calibration: Sequence[str] | None) -> EncodeFn:
        """Write the model into the folder ``target``, which need not be there; returns how what was written encodes.

        Raises:
            ModelError: the model cannot be converted.
            MissingExtraError: the format's library is not installed.
        """


EXPORT_FORMATS: Family[type[ExportFormat]] = Family(
    "export format", "simcse_kit.encoding.export.formats", ModelError, ExportFormat
)
"""What a model can be exported to, by name."""
