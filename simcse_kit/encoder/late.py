"""Lazy loading of a model: its light form first, the full model when a call needs more."""

from __future__ import annotations

import copy
import dataclasses
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from simcse_kit.encoder.asked import ModelRequest
from simcse_kit.encoder.backends.interface import Backend
from simcse_kit.encoder.light.opened import Light, light_for, open_light
from simcse_kit.encoder.settings import Settings

if TYPE_CHECKING:
    import torch

    from simcse_kit.encoder.load import Loaded
    from simcse_kit.encoder.modules import Encoder
    from simcse_kit.encoder.whole import WholeModel

_loading = threading.RLock()  # threads of a process load one model at a time


class LoadsLate:
    """Encoder, tokenizer and backend of a model, and their properties; `SimCSE` inherits them."""

    settings: Settings
    record: dict[str, Any]
    _asked: ModelRequest | None  # None: built in this process
    _parts: Light | WholeModel

    def _open(self, asked: ModelRequest) -> None:
        cold = light_for(asked)
        light = open_light(asked) if cold else None
        self._asked = asked
        if light is not None:
            self._parts, self.settings, self.record = light, light.own_settings(), dict(light.form.record)
            return
        from simcse_kit.encoder.whole import load_whole

        self._parts, self.settings, self.record = load_whole(asked, keep_light=cold)

    def _wrap(self, loaded: Loaded, device: str | torch.device) -> None:
        from simcse_kit.encoder.whole import whole_of_loaded

        self._asked, self.settings, self.record = None, loaded.settings, loaded.record
        self._parts = whole_of_loaded(loaded, device)

    def load(self) -> Self:
        """Load now what a later call would load, so that no call waits; servers use it. Returns the model."""
        if not self._runs_light():
            self._whole()
        return self

    def _runs_light(self) -> bool:
        """Whether the light form encodes all texts."""
        return isinstance(self._parts, Light) and not self._parts.few

    def _for_texts(
        self, texts: Sequence[str], output_device: torch.device | None
    ) -> tuple[Light | WholeModel, torch.device | None]:
        """The model form that encodes these texts, and the output device; None is an array."""
        parts = self._parts
        if isinstance(parts, Light) and output_device is None and parts.takes(texts):
            return parts, None
        import torch

        return self._whole(), output_device or torch.device("cpu")

    def _whole(self) -> WholeModel:
        """The full model, loaded at first use."""
        if isinstance(self._parts, Light):
            with _loading:
                if isinstance(self._parts, Light):
                    from simcse_kit.encoder.whole import load_whole

                    assert self._asked is not None
                    whole = load_whole(self._asked, keep_light=False, kept=self.settings)[0]
                    self._parts.check_same_files(self._asked.source.folder)
                    self._parts = whole
        return self._parts

    def __getstate__(self) -> dict[str, Any]:
        self._whole()
        return self.__dict__

    @property
    def encoder(self) -> Encoder:
        """Backbone, pooling and head as a torch module."""
        return self._whole().encoder

    def with_encoder(self, encoder: Encoder) -> Self:
        """The same model with another encoder."""
        other = copy.copy(self)
        other._parts = dataclasses.replace(self._whole(), encoder=encoder)
        return other

    @property
    def tokenizer(self) -> Any:
        """The transformers tokenizer."""
        return self._whole().tokenizer

    @tokenizer.setter
    def tokenizer(self, value: Any) -> None:
        self._whole().tokenizer = value

    @property
    def backend(self) -> Backend:
        """The backend that runs the encoder."""
        return self.load()._parts.backend

    @property
    def pooling(self) -> str:
        """Name of the pooling, a key of ``POOLERS``."""
        return self._parts.pooling

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        import torch

        return torch.device("cpu") if self._runs_light() else self._whole().device

    def to(self, device: str | torch.device) -> Self:
        """Move the weights. Raises a `ModelError` for a device that does not exist or does not suit the backend."""
        self._whole().to(device)
        return self

    @property
    def max_seq_length(self) -> int | None:
        """Longest input in tokens, with special ones; longer texts are cut, with one notice."""
        return self.settings.max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, value: int | None) -> None:
        self.settings.max_seq_length = self._whole().checked_length(value)

    @contextmanager
    def full_length(self) -> Iterator[None]:
        """Raise the length limit to the backbone's positions: the STS protocol does not cut sentences."""
        before = self.settings.max_seq_length
        self.settings.max_seq_length = self._whole().longest
        try:
            yield
        finally:
            self.settings.max_seq_length = before

    def fingerprint(self) -> str:
        """sha256 over weights, pooling, head, length and prompts: equal models give equal vectors."""
        parts = self._parts
        if isinstance(parts, Light) and self.settings == parts.form.settings:
            return parts.form.fingerprint
        return self._whole().fingerprint(self.settings)
