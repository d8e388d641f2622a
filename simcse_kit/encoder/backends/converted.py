"""Converted OpenVINO models, stored for reuse and found by the model's fingerprint. No torch here."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from simcse_kit.encoder.backends.runtime import core, import_openvino
from simcse_kit.encoder.cache import cache_folder, digests
from simcse_kit.errors import ModelError, require_extra, say_once
from simcse_kit.files import DiskFullError, as_written, read_json, staged_folder, write_json

MODEL = "encoder.xml"  # includes pooling and head, unlike the openvino_model.xml of sentence-transformers
FOLDER = "openvino"
_RECORD = "simcse_kit.json"
_FORMAT = 3


class ConversionCache(NamedTuple):
    """Where to look for a converted model, and what must match."""

    exported: Path  # inside the model's own folder, from `export_model`
    cached: Path  # path for a new one
    key: dict[str, Any]
    by_calibration: bool  # whether the calibration sentences must match too


def require_openvino(dtype: str = "float32") -> None:
    """Raise a `MissingExtraError` if the extra is not installed."""
    needed = ["openvino"] + (["nncf"] if dtype == "int8" else [])
    require_extra("openvino", needed, f"backend openvino in {dtype}")


def conversion_cache(
    fingerprint: str, model_folder: Path, calibration: Sequence[str] | None, *, by_calibration: bool = False
) -> ConversionCache:
    """Path for a model with this fingerprint: exported inside its own folder, else in the user's cache.

    ``calibration``: sentences of an int8 model. ``by_calibration``: an exported model must use the same ones.
    """
    key: dict[str, Any] = {"format": _FORMAT, "model": fingerprint, "openvino": version("openvino")}
    if calibration is not None:
        key |= {"nncf": version("nncf"), "calibration": _digest(list(calibration))}
    exported = exported_folder(model_folder, int8=calibration is not None)
    return ConversionCache(exported, cache_folder() / FOLDER / _digest(key)[:32], key, by_calibration)


def exported_folder(model_folder: Path, *, int8: bool) -> Path:
    """Path of the converted model in a model's folder."""
    return model_folder / FOLDER / ("int8" if int8 else "float")


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def load(cache: ConversionCache) -> Any:
    """The stored model; None if there is none with this key, or its files have changed since they were written.

    An exported model may come from other versions of the libraries; a cached one is then made again.
    """
    exported = {"format", "model"} | ({"calibration"} if cache.by_calibration else set())
    for folder, names in ((cache.exported, exported), (cache.cached, set(cache.key))):
        if os.path.isfile(folder / _RECORD):  # also False if the cache may not be read
            record = read_json(folder / _RECORD, ModelError)
            with as_written(folder / _RECORD, ModelError):
                same = all(record["key"].get(name) == cache.key[name] for name in names)
                same = same and record["files"] == digests(_paths(folder))
            if same:
                return core().read_model(folder / MODEL)
    return None


def save(model: Any, cache: ConversionCache, target: Path | None = None) -> None:
    """Write the model atomically to ``target`` or into the cache."""
    openvino = import_openvino()
    target = target or cache.cached
    target.parent.mkdir(parents=True, exist_ok=True)
    with staged_folder(target) as staging:
        openvino.save_model(model, staging / MODEL, compress_to_fp16=False)
        write_json(staging / _RECORD, {"key": cache.key, "files": digests(_paths(staging))})


def keep(model: Any, cache: ConversionCache) -> None:
    """`save` into the cache. If it is not writable, gives a notice; the next process converts again."""
    try:
        save(model, cache)
    except DiskFullError:
        raise
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
        say_once(
            f"cannot store the converted model in {cache.cached.parent} ({reason}), so each process converts it "
            "again. Set XDG_CACHE_HOME to a writable folder"
        )


def _paths(folder: Path) -> list[Path]:
    return [folder / MODEL, (folder / MODEL).with_suffix(".bin")]
