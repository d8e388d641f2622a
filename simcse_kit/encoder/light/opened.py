"""A model opened from its light form."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from simcse_kit.encoder.asked import ModelRequest
from simcse_kit.encoder.backends.interface import Backend
from simcse_kit.encoder.backends.part import BACKENDS
from simcse_kit.encoder.light.files import FileStamp, files_digest, stamps_of
from simcse_kit.encoder.light.form import LightForm, find_form
from simcse_kit.encoder.light.request import LightRequest
from simcse_kit.encoder.light.tokenizer import LightTokenizer
from simcse_kit.encoder.settings import Settings
from simcse_kit.encoder.speed import is_plain
from simcse_kit.errors import ModelError
from simcse_kit.parts import is_named

_CHARACTERS = 4000  # texts per call of numpy
_TEXTS = 256  # texts for numpy in total: beyond them, loading the full model is worth its time


@dataclass
class Light:
    """A model that answers from its light form; `SimCSE` replaces it by the full model when needed."""

    form: LightForm
    tokenizer: LightTokenizer
    backend: Backend
    few: bool  # whether it supports only a few texts
    stamps: tuple[FileStamp, ...]
    files: str  # checksum of the model's files
    taken: int = 0  # texts so far

    @property
    def pooling(self) -> str:
        """Name of the pooling."""
        return self.form.pooling

    @property
    def dimension(self) -> int:
        """Dimension of the encoder's vectors."""
        return self.form.dimension

    def own_settings(self) -> Settings:
        """A copy, which the user may change."""
        return replace(self.form.settings, prompts=dict(self.form.settings.prompts))

    def takes(self, texts: Sequence[str]) -> bool:
        """Whether it can encode these texts."""
        self.taken += len(texts)
        return not self.few or (self.taken <= _TEXTS and sum(map(len, texts)) <= _CHARACTERS)

    def check_same_files(self, folder: Path) -> None:
        """Raise a `ModelError` if the model's files have changed: the rest would come from another model."""
        stamps = stamps_of(folder)
        if stamps != self.stamps and files_digest(folder, stamps) != self.files:
            raise ModelError(f"{folder}: the model's files have changed since it was opened; open it again")


def is_cold() -> bool:
    """Whether transformers is not imported yet: saving its import is the only gain of a light form."""
    return "transformers" not in sys.modules


def light_for(asked: ModelRequest) -> bool:
    """Whether a light form can answer these arguments at all."""
    return (
        is_cold()
        and not is_plain()
        and asked.device in (None, "cpu")
        and not asked.trust_remote_code
        and not (asked.pooling is not None and is_named(asked.pooling))
        and not is_named(asked.backend)
    )


def open_light(asked: ModelRequest) -> Light | None:
    """The model from its light form; None if there is none, or it does not suit the arguments."""
    if not light_for(asked):
        return None
    folder = asked.source.folder
    stamps = stamps_of(folder)
    files = files_digest(folder, stamps)
    found = find_form(asked, files)
    if found is None:
        return None
    request = LightRequest(
        fingerprint=found.form.fingerprint,
        pooling=found.form.pooling,
        pad_id=found.form.tokens.pad_token_id,
        pads=found.form.pads,
        sound=found.form.sound,
        layers=found.form.layers,
        post=found.post,
        folder=folder,
        dtype=asked.dtype,
        calibration=asked.calibration,
    )
    run = BACKENDS.get(asked.backend)().make_light(request)
    if run is None or stamps_of(folder) != stamps:  # replaced during the read
        return None
    tokenizer = LightTokenizer(found.tokenizer, found.form.tokens)
    return Light(found.form, tokenizer, run.backend, run.few, stamps, files)
