"""A fully loaded model. Importing this loads torch and transformers; see `encoder.light`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from simcse_kit.encoder.asked import ModelRequest
from simcse_kit.encoder.backbone import max_positions
from simcse_kit.encoder.backends.choice import make_backend
from simcse_kit.encoder.backends.interface import Backend
from simcse_kit.encoder.backends.part import check_backend_device, default_device
from simcse_kit.encoder.backends.torch import TorchBackend
from simcse_kit.encoder.device import pick_device
from simcse_kit.encoder.fingerprint import fingerprint
from simcse_kit.encoder.folder import write_modules
from simcse_kit.encoder.light.files import stamps_of
from simcse_kit.encoder.light.recording import record_light
from simcse_kit.encoder.load import Loaded, checked_length, load_encoder
from simcse_kit.encoder.lora import check_target
from simcse_kit.encoder.modules import Encoder
from simcse_kit.encoder.saving import write_card
from simcse_kit.encoder.settings import Settings, is_model_file
from simcse_kit.encoder.tokens import tokenize_by
from simcse_kit.errors import notices
from simcse_kit.files import staged_folder


@dataclass
class WholeModel:
    """Encoder, tokenizer and backend."""

    encoder: Encoder
    tokenizer: Any
    backend: Backend
    _fingerprint: tuple[tuple[object, ...], str] | None = field(default=None, repr=False)

    @property
    def pooling(self) -> str:
        """Name of the pooling."""
        return self.encoder.pooling

    @property
    def dimension(self) -> int:
        """Dimension of the encoder's vectors."""
        return self.encoder.dimension

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.encoder.parameters()).device

    def to(self, device: str | torch.device) -> None:
        """Move the weights. Raises a `ModelError` for a device that does not exist or does not suit the backend."""
        chosen = pick_device(device)
        check_backend_device(self.backend.name, chosen)
        self.encoder.to(chosen)

    @property
    def longest(self) -> int | None:
        """The backbone's positions; None if it has no limit."""
        return max_positions(self.encoder.backbone)

    def checked_length(self, value: int | None) -> int | None:
        """A length limit that the model allows; None is the longest."""
        return checked_length(value, self.longest, self.tokenizer.num_special_tokens_to_add() + 1)

    def fingerprint(self, settings: Settings) -> str:
        """See `SimCSE.fingerprint`."""
        around = tuple(self.tokenizer("", verbose=False)["input_ids"])  # a template changes it
        state = (self.encoder.version(), repr(settings), self.pooling, around)
        if self._fingerprint is None or self._fingerprint[0] != state:
            self._fingerprint = (state, fingerprint(self.encoder, self.tokenizer, settings))
        return self._fingerprint[1]

    def save(self, target: Path, settings: Settings, record: dict[str, Any], dimension: int) -> None:
        """See `SimCSE.save`."""
        check_target(self.encoder, target)
        with staged_folder(target, replaces=is_model_file) as staging:
            self.write(staging, settings, record, dimension)

    def write(self, folder: Path, settings: Settings, record: dict[str, Any], dimension: int) -> None:
        """Write the files of `save` into an existing empty folder."""
        write_modules(folder, self.encoder, self.tokenizer, settings)
        self.write_card(folder, settings, record, dimension)

    def write_card(self, folder: Path, settings: Settings, record: dict[str, Any], dimension: int) -> None:
        """Write only the record and the README."""
        write_card(folder, self.encoder, settings, record, dimension)


def whole_of_loaded(loaded: Loaded, device: str | torch.device) -> WholeModel:
    """An encoder that is already built, run by PyTorch in float32."""
    encoder = loaded.encoder.to(device)
    return WholeModel(encoder, loaded.tokenizer, TorchBackend(encoder, loaded.tokenizer.pad_token_id))


def load_whole(
    asked: ModelRequest, *, keep_light: bool, kept: Settings | None = None
) -> tuple[WholeModel, Settings, dict[str, Any]]:
    """The model, its settings and its record, as requested.

    Args:
        asked: arguments of the model.
        keep_light: whether to store its light form for the next process.
        kept: settings that override the folder's, from a model that was opened from its light form.
    """
    device = pick_device(default_device(asked.backend, asked.device))
    said = notices()
    folder = asked.source.folder
    stamps = stamps_of(folder) if keep_light else ()
    loaded = load_encoder(
        asked.source,
        pooling=asked.pooling,
        local_files_only=asked.local_files_only,
        trust_remote_code=asked.trust_remote_code,
    )
    whole = whole_of_loaded(loaded, device)
    settings = kept or loaded.settings
    if kept is None and asked.max_seq_length is not None:
        settings.max_seq_length = whole.checked_length(asked.max_seq_length)
    if keep_light and notices() == said:  # notices of each load come only from loading
        record_light(asked, loaded, stamps, lambda: whole.fingerprint(settings))
    whole.backend = make_backend(
        asked.backend,
        asked.dtype,
        whole.encoder,
        whole.tokenizer,
        model_name=asked.source.name,
        folder=folder,
        fingerprint=lambda: whole.fingerprint(settings),
        tokenize=lambda texts: tokenize_by(settings, whole.tokenizer, texts),
        calibration=asked.calibration,
    )
    return whole, settings, loaded.record
