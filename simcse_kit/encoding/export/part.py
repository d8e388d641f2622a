"""Description of an export format. Importing this and the parts loads no torch: the command's help reads them."""

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
    """A format for another runtime. Name your own as ``module:class``."""

    name: ClassVar[str] = ""
    help: ClassVar[str] = ""  # one line
    source: ClassVar[str] = ""
    order: ClassVar[int] = 100  # position in lists
    calibrated: ClassVar[bool] = False  # whether it takes calibration sentences
    loads_as: ClassVar[tuple[str, str] | None] = (
        None  # backend and dtype of `SimCSE` that load it; None: it cannot load it
    )

    @abstractmethod
    def write(self, model: SimCSE, target: Path, calibration: Sequence[str] | None) -> EncodeFn:
        """Write the model to the folder ``target``, created if missing; returns the `encode` function of the result.

        Raises:
            ModelError: the model cannot be converted.
            MissingExtraError: the format's library is not installed.
        """


EXPORT_FORMATS: Family[type[ExportFormat]] = Family(
    "export format", "simcse_kit.encoding.export.formats", ModelError, ExportFormat
)
"""Export formats by name."""
