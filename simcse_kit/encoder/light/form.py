"""Light forms in the user's cache: content, lookup and storage."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.numpy import load_file, save_file

from simcse_kit.encoder.asked import ModelRequest
from simcse_kit.encoder.cache import cache_folder, digests
from simcse_kit.encoder.light.arrays import Layers
from simcse_kit.encoder.light.tokenizer import Tokens
from simcse_kit.encoder.pooling import pooling_name
from simcse_kit.encoder.settings import Settings
from simcse_kit.errors import SimCSEKitError
from simcse_kit.files import read_json, staged_folder, write_json
from simcse_kit.types import Vectors

_TOKENIZER, _POST, _FORM = "tokenizer.json", "post.safetensors", "form.json"
_FORMAT = 2  # version of the form and its content
_LIBRARIES = ("simcse-kit", "transformers", "tokenizers")  # a model loaded with another version counts as another model


@dataclass(frozen=True, kw_only=True)
class LightForm:
    """Results of a full load of a model."""

    fingerprint: str
    pooling: str
    dimension: int  # of a vector, before ``truncate_dim``
    settings: Settings
    record: dict[str, Any]  # simcse_kit.json
    tokens: Tokens
    pads: bool  # see `Encoder.pads`
    sound: bool  # see `probing.is_sound`
    layers: Layers | None  # for `ArrayBackend`; None: it does not run this model


class Kept(NamedTuple):
    """A light form with its files."""

    form: LightForm
    tokenizer: str  # text of a ``tokenizer.json``
    post: dict[str, Vectors]  # weights of the modules after the pooling, by number and name


def _place(files: str, pooling: str | None, max_seq_length: int | None, known_pooling: str | None) -> Path:
    """Folder of a form in the user's cache."""
    libraries = {name: version(name) for name in _LIBRARIES}
    pooling = None if pooling is None else pooling_name(pooling)
    said = [_FORMAT, libraries, files, pooling, max_seq_length, known_pooling]
    return cache_folder() / "light" / hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def find_form(asked: ModelRequest, files: str) -> Kept | None:
    """The form of a model, by the checksum of its files; None if no usable one exists."""
    folder = _place(files, asked.pooling, asked.max_seq_length, asked.source.known_pooling)
    try:
        if (folder / _FORM).is_file():
            found = read_json(folder / _FORM)
            if "same_as" in found:
                folder = folder.parent / found["same_as"]
                found = read_json(folder / _FORM)
            if found["files"] == digests(_beside(folder)):
                post = load_file(folder / _POST) if (folder / _POST).is_file() else {}
                return Kept(_read(found["form"]), (folder / _TOKENIZER).read_text(encoding="utf-8"), post)
    except (SimCSEKitError, OSError, KeyError, TypeError, ValueError):  # damaged: make it again
        pass
    return None


def keep_form(kept: Kept, asked: ModelRequest, files: str) -> None:
    """Store a form for these arguments, and for the same with explicit pooling and length, as indexes name them.

    Stores nothing if the cache is not writable.
    """
    form = kept.form
    known = asked.source.known_pooling
    folder = _place(files, form.pooling, form.settings.max_seq_length, known)
    other = _place(files, asked.pooling, asked.max_seq_length, known)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with staged_folder(folder) as staging:
            (staging / _TOKENIZER).write_text(kept.tokenizer, encoding="utf-8")
            if kept.post:
                save_file(kept.post, staging / _POST)
            write_json(staging / _FORM, {"form": dataclasses.asdict(form), "files": digests(_beside(staging))})
        if other != folder:
            with staged_folder(other) as staging:
                write_json(staging / _FORM, {"same_as": folder.name})
    except (SimCSEKitError, OSError):
        return


def _beside(folder: Path) -> list[Path]:
    return [folder / _TOKENIZER, folder / _POST]


def _read(said: dict[str, Any]) -> LightForm:
    layers = said["layers"]
    return LightForm(
        **said
        | {
            "settings": Settings(**said["settings"]),
            "tokens": Tokens(**said["tokens"]),
            "layers": None if layers is None else Layers(**layers),
        }
    )
