"""The part of a model that loads it: by its light form where that does, and in full when something asks for more."""

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

_loading = threading.RLock()  # the threads of a process load one model after the other


class LoadsLate:
    """Encoder, tokenizer and backend of a model, and what is read off them; `SimCSE` is one."""

    settings: Settings
    record: dict[str, Any]
    _asked: ModelRequest | None  # None: it was built in this process
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
        """Load now what a later call would load, so that none waits for it; a server does. Returns the model."""
        if not self._runs_light():
            self._whole()
        return self

    def _runs_light(self) -> bool:
        """Whether all texts are encoded by the light form."""
        return isinstance(self._parts, Light) and not self._parts.few

    def _for_texts(
        self, texts: Sequence[str], output_device: torch.device | None
    ) -> tuple[Light | WholeModel, torch.device | None]:
        """What encodes these texts, and where to: None is an array."""
        parts = self._parts
        if isinstance(parts, Light) and output_device is None and parts.takes(texts):
            return parts, None
        import torch

        return self._whole(), output_device or torch.device("cpu")

    def _whole(self) -> WholeModel:
        """The model in full, loaded when it is first asked for."""
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
        """Backbone, pooling and head, a module of torch."""
        return self._whole().encoder

    def with_encoder(self, encoder: Encoder) -> Self:
        """The same model around another encoder."""
        other = copy.copy(self)
        other._parts = dataclasses.replace(self._whole(), encoder=encoder)
        return other

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of transformers."""
        return self._whole().tokenizer

    @tokenizer.setter
    def tokenizer(self, value: Any) -> None:
        self._whole().tokenizer = value

    @property
    def backend(self) -> Backend:
        """What runs the encoder."""
        return self.load()._parts.backend

    @property
    def pooling(self) -> str:
        """Name of the pooling, a key of ``POOLERS``."""
        return self._parts.pooling

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        import torch

        return torch.device("cpu") if self._runs_light() else self._whole().device

    def to(self, device: str | torch.device) -> Self:
        """Move the weights; a device that is not there, or not for this backend, is a `ModelError`."""
        self._whole().to(device)
        return self

    @property
    def max_seq_length(self) -> int | None:
        """Longest input in tokens, special ones included; longer texts are cut, and it is said once."""
        return self.settings.max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, value: int | None) -> None:
        self.settings.max_seq_length = self._whole().checked_length(value)

    @contextmanager
    def full_length(self) -> Iterator[None]:
        """Lift the length limit to the backbone's positions: the STS protocol does not cut sentences."""
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
