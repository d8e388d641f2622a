"""`export_model`: write a model for another runtime, and compare it with the original."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from simcse_kit.data.sample import sample_pairs_path
from simcse_kit.data.scored import read_scored_pairs
from simcse_kit.encoding.export.check import ExportCheck, check_export
from simcse_kit.encoding.export.part import EXPORT_FORMATS
from simcse_kit.errors import ModelError
from simcse_kit.files import follow_umask
from simcse_kit.model import SimCSE
from simcse_kit.types import ScoredPairs


def export_model(
    model: SimCSE,
    output: str | Path,
    *,
    to: str,
    calibration: Sequence[str] | None = None,
    check_pairs: ScoredPairs | str | Path | None = None,
    announce: Callable[[str], object] = lambda _: None,
) -> ExportCheck:
    """Write a model for another runtime into a folder, and compare it with the original.

    ``onnx``: the saved model with ``onnx/model.onnx``: ``input_ids`` and ``attention_mask`` (B, L) to
    ``last_hidden_state`` (B, L, D) and ``sentence_embedding`` (B, D), with pooling and head; for ``SimCSE(output,
    backend="onnx")``. ``openvino`` and ``openvino-int8``: the saved model with its converted form, which
    ``SimCSE(output, backend="openvino")`` uses without converting (``dtype="int8"`` for the second). ``static``: a
    table of token vectors by Model2Vec's distillation, for ``model2vec`` and sentence-transformers; hundreds of times
    faster, with different vectors.

    Args:
        model: on the CPU, backend torch, float32.
        output: a folder that does not exist, or is empty.
        to: a name of `EXPORT_FORMATS`, or ``module:class`` for a format of your own.
        calibration: calibration sentences (``openvino-int8``); None: those of this package.
        check_pairs: scored pairs for the comparison; None: those of this package.
        announce: called with a line of text before each slow step.

    Returns:
        The comparison: cosines, Spearman's correlation before and after, speed, size.

    Raises:
        ModelError: an unknown format, an output that exists, or a model that cannot be converted.
        MissingExtraError: the format's library is not installed.
    """
    form = EXPORT_FORMATS.get(to)
    if calibration is not None and not form.calibrated:
        those = ", ".join(part.name for part in EXPORT_FORMATS if part.calibrated)
        raise ModelError(f"calibration sentences need {those}; got {to}")
    if model.backend.name != "torch" or model.backend.dtype != "float32" or model.device.type != "cpu":
        raise ModelError("export needs a model with backend torch in float32 on the CPU; load it this way")
    target = Path(output)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ModelError(f"{target} already exists; name a new folder")
    if not isinstance(check_pairs, ScoredPairs):
        check_pairs = read_scored_pairs(sample_pairs_path() if check_pairs is None else check_pairs)
    existed = target.exists()
    try:
        sample = ", quantized by the package's sample of sentences" if form.calibrated and calibration is None else ""
        announce(f"writing {target} as {to}{sample}")
        encode = form().write(model, target, calibration)
        follow_umask(target)
        announce("measuring the vectors, the quality and the speed of both")
        return check_export(model.encoder_fn(), encode, target, check_pairs)
    except BaseException:
        if not existed:
            shutil.rmtree(target, ignore_errors=True)
        raise
