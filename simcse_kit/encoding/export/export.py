"""`export_model`: write a model for another runtime, and measure what the change of form costs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from simcse_kit.data.sample import sample_pairs_path, sample_sentences
from simcse_kit.data.scored import read_scored_pairs
from simcse_kit.encoder.backends import conversion
from simcse_kit.encoding.export.check import ExportCheck, compare
from simcse_kit.encoding.export.onnx import OnnxModel, write_onnx
from simcse_kit.encoding.export.static import distill, load_static
from simcse_kit.errors import ModelError, require_extra
from simcse_kit.model import SimCSE
from simcse_kit.types import EncodeFn, ScoredPairs

ONNX_FILE = "onnx/model.onnx"  # where sentence-transformers looks for it


def export_model(
    model: SimCSE,
    output: str | Path,
    *,
    to: str,
    calibration: Sequence[str] | None = None,
    check_pairs: ScoredPairs | str | Path | None = None,
) -> ExportCheck:
    """Write a model for another runtime into a folder, and compare it with the original.

    ``onnx``: the saved model with ``onnx/model.onnx``: ``input_ids`` and ``attention_mask`` (B, L) to
    ``last_hidden_state`` (B, L, D) and ``sentence_embedding`` (B, D), pooling and head included. ``openvino`` and
    ``openvino-int8``: the saved model with its converted form, which ``SimCSE(output, backend="openvino")`` takes
    without converting (``dtype="int8"`` for the second). ``static``: a table of token vectors by Model2Vec's
    distillation, for ``model2vec`` and sentence-transformers; hundreds of times faster, and no longer the same vectors.

    Args:
        model: on the CPU, backend torch, float32.
        output: a folder that is not there yet, or is empty.
        to: a key of `FORMS`.
        calibration: sentences to quantize by (``openvino-int8``); None takes those of this package.
        check_pairs: scored pairs to measure by; None takes those of this package.

    Returns:
        What was measured: cosines, Spearman's correlation before and after, speed, size.

    Raises:
        ModelError: an unknown form, an output in use, or a model that cannot be converted.
        MissingExtraError: the form's library is not installed.
    """
    if to not in FORMS:
        raise ModelError(f"to must be one of {', '.join(FORMS)}; got {to!r}")
    if calibration is not None and to != "openvino-int8":
        raise ModelError(f"calibration sentences are for openvino-int8; got {to}")
    if model.backend.name != "torch" or model.backend.dtype != "float32" or model.device.type != "cpu":
        raise ModelError("a model is exported from backend torch in float32 on the CPU; load it so")
    target = Path(output)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ModelError(f"{target} is there already; name a new folder")
    if not isinstance(check_pairs, ScoredPairs):
        check_pairs = read_scored_pairs(sample_pairs_path() if check_pairs is None else check_pairs)
    existed = target.exists()
    try:
        encode = FORMS[to](model, target, calibration)
        return compare(model.encoder_fn(), encode, target, check_pairs)
    except BaseException:
        if not existed:
            shutil.rmtree(target, ignore_errors=True)
        raise


def _onnx(model: SimCSE, target: Path, calibration: Sequence[str] | None) -> EncodeFn:
    require_extra("onnx", ["onnx", "onnxscript", "onnxruntime"], "export to onnx")
    model.save(target)
    write_onnx(model, target / ONNX_FILE)
    return OnnxModel(model, target / ONNX_FILE).encode


def _openvino(model: SimCSE, target: Path, calibration: Sequence[str] | None, *, dtype: str = "float32") -> EncodeFn:
    conversion.require_openvino(dtype)
    model.save(target)
    if dtype == "int8" and calibration is None:
        calibration = sample_sentences()
    graph = conversion.make(
        model.encoder,
        name=model.name,
        pad_id=model.tokenizer.pad_token_id,
        calibration=None if calibration is None else model.tokenize(calibration),
    )
    kept = conversion.kept_model(model.fingerprint(), target, calibration)
    conversion.keep(graph, kept, kept.exported)
    return SimCSE(target, backend="openvino", dtype=dtype).encoder_fn()


def _static(model: SimCSE, target: Path, calibration: Sequence[str] | None) -> EncodeFn:
    require_extra("static", ["model2vec", "skeletoken"], "export to static")
    distill(model, target)
    return load_static(target)


FORMS: dict[str, Callable[[SimCSE, Path, Any], EncodeFn]] = {
    "onnx": _onnx,
    "openvino": _openvino,
    "openvino-int8": partial(_openvino, dtype="int8"),
    "static": _static,
}
"""What a model can be exported to: each writes a folder and returns how it encodes."""
