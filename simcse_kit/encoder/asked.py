"""Arguments that describe a model, with the checks that are possible before loading. No heavy import."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from simcse_kit.encoder.backends.part import check_backend_device, check_dtype
from simcse_kit.encoder.hub import ModelSource
from simcse_kit.encoder.pooling import pooling_name
from simcse_kit.errors import ModelError

if TYPE_CHECKING:
    import torch


class ModelRequest(NamedTuple):
    """The arguments of `SimCSE`."""

    source: ModelSource
    pooling: str | None = None
    device: str | torch.device | None = None
    backend: str = "torch"
    dtype: str = "float32"
    calibration: Sequence[str] | None = None
    max_seq_length: int | None = None
    local_files_only: bool = False
    trust_remote_code: bool = False

    def check(self) -> None:
        """Raise a `ModelError` for a value that no model accepts."""
        if self.pooling is not None:
            pooling_name(self.pooling)
        check_dtype(self.backend, self.dtype, self.calibration)
        if self.device is not None:
            check_backend_device(self.backend, self.device)
        if self.max_seq_length is not None and self.max_seq_length < 1:
            raise ModelError(f"max_seq_length must be a number of tokens, at least 1; got {self.max_seq_length}")
