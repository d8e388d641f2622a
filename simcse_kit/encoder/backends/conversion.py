"""From the encoder to an OpenVINO model: traced, checked against PyTorch, quantized, kept for the next time."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from simcse_kit.encoder.backends.openvino import feed, inputs_of
from simcse_kit.encoder.backends.runtime import core, guest, import_openvino
from simcse_kit.encoder.backends.tracing import Run, Traced, example, quiet, trace
from simcse_kit.encoder.cache import cache_folder
from simcse_kit.encoder.modules import Encoder
from simcse_kit.encoder.tokens import TokenTable, length_batches
from simcse_kit.errors import ModelError, require_extra, say_once
from simcse_kit.files import DiskFullError, as_written, read_json, staged_folder, write_json

MODEL = "encoder.xml"  # pooling and head included, unlike the openvino_model.xml of sentence-transformers
FOLDER = "openvino"
_RECORD = "simcse_kit.json"
_FORMAT = 3
_SMOOTH = 0.8  # how much of an outlying activation goes into the weights, 0 to 1
_BATCH = 8  # sentences in a batch of calibration


class ConversionCache(NamedTuple):
    """Where a converted model is looked for, and what has to be the same."""

    exported: Path  # inside the model's own folder, by `export_model`
    cached: Path  # where a new one is written
    key: dict[str, Any]
    by_calibration: bool  # whether one of other calibration sentences will not do


def require_openvino(dtype: str = "float32") -> None:
    """A `MissingExtraError` where the extra is not installed."""
    needed = ["openvino"] + (["nncf"] if dtype == "int8" else [])
    require_extra("openvino", needed, f"backend openvino in {dtype}")


def conversion_cache(
    fingerprint: str, model_folder: Path, calibration: Sequence[str] | None, *, by_calibration: bool = False
) -> ConversionCache:
    """Where the model of this fingerprint is kept: exported inside its own folder, else in the user's cache.

    ``calibration``: the sentences of an int8 model; ``by_calibration``: an exported one must be of these.
    """
    key: dict[str, Any] = {"format": _FORMAT, "model": fingerprint, "openvino": version("openvino")}
    if calibration is not None:
        key |= {"nncf": version("nncf"), "calibration": _digest(list(calibration))}
    exported = exported_folder(model_folder, int8=calibration is not None)
    return ConversionCache(exported, cache_folder() / FOLDER / _digest(key)[:32], key, by_calibration)


def exported_folder(model_folder: Path, *, int8: bool) -> Path:
    """Where a model's folder holds its converted form."""
    return model_folder / FOLDER / ("int8" if int8 else "float")


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def load(cache: ConversionCache) -> Any:
    """The kept model, None where there is none of this key, or its files are not as they were written.

    An exported one may come from other versions of the libraries; one in the cache is made again.
    """
    exported = {"format", "model"} | ({"calibration"} if cache.by_calibration else set())
    for folder, names in ((cache.exported, exported), (cache.cached, set(cache.key))):
        if os.path.isfile(folder / _RECORD):  # False where the cache may not be looked into, too
            record = read_json(folder / _RECORD, ModelError)
            with as_written(folder / _RECORD, ModelError):
                same = all(record["key"].get(name) == cache.key[name] for name in names)
                same = same and record["files"] == _files(folder)
            if same:
                return core().read_model(folder / MODEL)
    return None


def save(model: Any, cache: ConversionCache, target: Path | None = None) -> None:
    """Write the model whole or not at all, to ``target`` or into the cache."""
    openvino = import_openvino()
    target = target or cache.cached
    target.parent.mkdir(parents=True, exist_ok=True)
    with staged_folder(target) as staging:
        openvino.save_model(model, staging / MODEL, compress_to_fp16=False)
        write_json(staging / _RECORD, {"key": cache.key, "files": _files(staging)})


def keep(model: Any, cache: ConversionCache) -> None:
    """`save` into the cache; where it cannot be written, that is said, and the next process converts again."""
    try:
        save(model, cache)
    except DiskFullError:
        raise
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
        say_once(
            f"the converted model cannot be kept in {cache.cached.parent} ({reason}), so each process converts it "
            "again. Set XDG_CACHE_HOME to a folder that can be written"
        )


def _files(folder: Path) -> dict[str, str]:
    """sha256 of the model's files."""
    found = {}
    for path in (folder / MODEL, (folder / MODEL).with_suffix(".bin")):
        if path.is_file():
            with path.open("rb") as file:
                found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def make(encoder: Encoder, *, name: str, pad_id: int, calibration: TokenTable | None = None) -> Any:
    """`convert`, and `quantize` by the token sequences of the calibration sentences where they are given."""
    model = convert(encoder, name=name)
    return model if calibration is None else quantize(model, encoder, calibration, pad_id)


def convert(encoder: Encoder, *, name: str) -> Any:
    """An OpenVINO model of the encoder for any batch and length, in float32.

    Raises:
        ModelError: the architecture cannot be converted, or its vectors differ from the encoder's.
    """
    return trace(encoder, _converted, name=name, tool="OpenVINO")


def _converted(encoder: Encoder) -> tuple[Any, Run]:
    openvino = import_openvino()
    ids, mask = example(encoder)
    given = {"input_ids": ids, "attention_mask": mask, "pool_mask": mask}
    with guest():
        model = openvino.convert_model(Traced(encoder), example_input=given)
    compiled = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    inputs = inputs_of(compiled)
    return model, lambda values: compiled({key: value for key, value in values.items() if key in inputs})[0]


def quantize(model: Any, encoder: Encoder, tokens: TokenTable, pad_id: int) -> Any:
    """The model in int8 by post-training quantization, calibrated on N token sequences.

    Two things keep it faithful. Outlying activations go into the weights (SmoothQuant, Xiao et al., 2023) with
    strength 0.8, where nncf's 0.95 leaves the weights too little. And the layers that shrink the feed-forward block
    again, whose inputs have the widest range, stay in float in the first sixth of the backbone: what is lost early is
    lost for all that follows. Together they take MiniLM's mean cosine with float32 from 0.9974 to 0.9987 (0.95 and the
    first half in float: as much, and slower by 7 %).
    """
    inputs = inputs_of(model)
    batches = [
        feed(tokens, indices, pad_id, inputs) for indices in length_batches(tokens.lengths, _BATCH, pads=encoder.pads)
    ]
    order = np.random.default_rng(0).permutation(len(batches))
    narrowing = [
        name
        for name, module in Traced(encoder).named_modules()
        if isinstance(module, nn.Linear) and module.in_features > module.out_features
    ]
    kept = narrowing[: -(-len(narrowing) // 6)]
    patterns = [rf"__module\.{re.escape(name)}/.*" for name in kept]
    with quiet(), guest():
        import nncf

        return nncf.quantize(
            model,
            nncf.Dataset([batches[i] for i in order]),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(batches),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=_SMOOTH)
            ),
            ignored_scope=nncf.IgnoredScope(patterns=patterns, validate=False) if patterns else None,
        )
