"""From the encoder to an OpenVINO model: traced, checked against PyTorch, quantized, kept for the next time."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from simcse_kit.backends.openvino import feed, inputs_of
from simcse_kit.encoder.modules import Encoder
from simcse_kit.errors import MissingExtraError, ModelError
from simcse_kit.files import read_json, staged_folder, write_json
from simcse_kit.tokens import TokenTable, length_batches

MODEL = "encoder.xml"  # pooling and head included, unlike the openvino_model.xml of sentence-transformers
FOLDER = "openvino"
_RECORD = "simcse_kit.json"
_FORMAT = 2
_TOLERANCE = 1e-4  # greatest difference of unit vectors between a converted model and the encoder
_SHAPES = ((1, 5), (3, 9), (2, 30))  # batches on which they are compared; the trace saw another
_NO_STATISTICS = {"CI": "true", "NNCF_CI": "1"}
_BATCH = 8  # sentences in a batch of calibration


class Kept(NamedTuple):
    """Where a converted model is looked for, and what has to be the same."""

    folders: tuple[Path, ...]  # the last one is where a new one is written
    key: dict[str, Any]


def require_openvino(dtype: str = "float32") -> None:
    """A `MissingExtraError` where the extra is not installed."""
    needed = ["openvino"] + (["nncf"] if dtype == "int8" else [])
    if not all(map(find_spec, needed)):
        raise MissingExtraError(f"backend openvino in {dtype} needs: pip install 'simcse-kit[openvino]'")


def cache_folder() -> Path:
    """The user's cache: ``$XDG_CACHE_HOME/simcse-kit``, else ``~/.cache/simcse-kit``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "simcse-kit"


def kept_model(fingerprint: str, model_folder: Path, calibration: Sequence[str] | None) -> Kept:
    """Where the model of this fingerprint is kept: exported inside its own folder, else in the user's cache.

    ``calibration``: the sentences of an int8 model.
    """
    key: dict[str, Any] = {"format": _FORMAT, "model": fingerprint, "openvino": version("openvino")}
    if calibration is not None:
        key |= {"nncf": version("nncf"), "calibration": _digest(list(calibration))}
    return Kept((model_folder / FOLDER, cache_folder() / FOLDER / _digest(key)[:32]), key)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def load(kept: Kept) -> Any:
    """The kept model, None where there is none of this key, or its files are not as they were written."""
    import openvino

    for folder in kept.folders:
        if (folder / _RECORD).is_file():
            record = read_json(folder / _RECORD, ModelError)
            if record["key"] == kept.key and record["files"] == _files(folder):
                return openvino.Core().read_model(folder / MODEL)
    return None


def keep(model: Any, kept: Kept, folder: Path | None = None) -> None:
    """Write the model whole or not at all, to ``folder`` or where `load` looks last."""
    import openvino

    target = folder or kept.folders[-1]
    target.parent.mkdir(parents=True, exist_ok=True)
    with staged_folder(target) as staging:
        openvino.save_model(model, staging / MODEL, compress_to_fp16=False)
        write_json(staging / _RECORD, {"key": kept.key, "files": _files(staging)})


def _files(folder: Path) -> dict[str, str]:
    """sha256 of the model's files."""
    found = {}
    for path in (folder / MODEL, (folder / MODEL).with_suffix(".bin")):
        if path.is_file():
            with path.open("rb") as file:
                found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


class _Traced(nn.Module):
    """The encoder with one signature whatever the pooling."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pool_mask: Tensor) -> Tensor:
        """(B, L) each -> (B, D)."""
        vectors: Tensor = self.encoder(input_ids, attention_mask, pool_mask)
        return vectors


def convert(encoder: Encoder, *, name: str) -> Any:
    """An OpenVINO model of the encoder for any batch and length, in float32.

    Raises:
        ModelError: the architecture cannot be converted, or its vectors differ from the encoder's.
    """
    backbone: Any = encoder.backbone
    was_training, attention = encoder.training, backbone.config._attn_implementation
    encoder.eval()
    reasons = []
    try:
        for implementation in ("sdpa", "eager"):  # a trace of the first, which is faster, may hold for one shape alone
            try:
                backbone.set_attn_implementation(implementation)
                with _quiet(), torch.no_grad():
                    return _converted(encoder)
            except Exception as error:  # a tracer and a converter fail in many ways
                reasons.append((str(error).strip() or type(error).__name__).splitlines()[0])
    finally:
        encoder.train(was_training)
        backbone.set_attn_implementation(attention)
    raise ModelError(f"{name} does not run with OpenVINO: {'; '.join(dict.fromkeys(reasons))}")


def _converted(encoder: Encoder) -> Any:
    import openvino

    traced = _Traced(encoder)
    ids, mask = _example(encoder, 2, 17)
    model = openvino.convert_model(traced, example_input={"input_ids": ids, "attention_mask": mask, "pool_mask": mask})
    _check(model, traced)
    return model


def _example(encoder: Encoder, size: int, width: int) -> tuple[Tensor, Tensor]:
    """Random ids (B, L), their mask (B, L) with one sentence cut short, the mask token where one is needed."""
    generator = torch.Generator().manual_seed(size * 1000 + width)
    vocabulary = int(encoder.backbone.get_input_embeddings().num_embeddings)  # type: ignore[operator]
    ids = torch.randint(vocabulary // 2, vocabulary, (size, width), generator=generator)
    mask = torch.ones_like(ids)
    mask[-1, width - width // 3 :] = 0
    if encoder.mask_id is not None:
        ids[ids == encoder.mask_id] = vocabulary // 2
        ids[:, 1] = encoder.mask_id
    return ids, mask


def _check(model: Any, traced: _Traced) -> None:
    """A trace may hold for the shape that it saw alone: compare others."""
    import openvino

    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    inputs = inputs_of(compiled)
    for size, width in _SHAPES:
        ids, mask = _example(traced.encoder, size, width)
        given = {"input_ids": ids, "attention_mask": mask, "pool_mask": mask}
        found = torch.from_numpy(compiled({key: value.numpy() for key, value in given.items() if key in inputs})[0])
        wanted = traced(**given)
        both = [nn.functional.normalize(vectors, dim=-1) for vectors in (found, wanted)]
        difference = float((both[0] - both[1]).abs().max())
        if not difference < _TOLERANCE:
            raise ModelError(
                f"the converted model's vectors differ by {difference:.2g} from PyTorch's (batch of {size}, "
                f"{width} tokens)"
            )


def quantize(model: Any, encoder: Encoder, tokens: TokenTable, pad_id: int) -> Any:
    """The model in int8 by post-training quantization, calibrated on N token sequences.

    The layers that shrink the feed-forward block again stay in float in the first half of the backbone: their inputs
    have the widest range, and what is lost early is lost for all that follows. They take MiniLM's mean cosine with
    float32 from 0.9974 to 0.9987; those of the second half would add 0.0004 and cost a tenth of the speed.
    """
    inputs = inputs_of(model)
    batches = [feed(tokens, indices, pad_id, inputs) for indices in length_batches(tokens.lengths, _BATCH)]
    order = np.random.default_rng(0).permutation(len(batches))
    narrowing = [
        name
        for name, module in _Traced(encoder).named_modules()
        if isinstance(module, nn.Linear) and module.in_features > module.out_features
    ]
    kept = narrowing[: (len(narrowing) + 1) // 2]
    patterns = [rf"__module\.{re.escape(name)}/.*" for name in kept]
    with _quiet():
        import nncf

        return nncf.quantize(
            model,
            nncf.Dataset([batches[i] for i in order]),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(batches),
            ignored_scope=nncf.IgnoredScope(patterns=patterns, validate=False) if patterns else None,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the tracer's warnings and NNCF's log, for what can go wrong is checked afterwards; and without the usage
    statistics that both tools send, unless they take themselves to be in CI.
    """
    log = logging.getLogger("nncf")
    level, before = log.level, {name: os.environ.get(name) for name in _NO_STATISTICS}
    log.setLevel(logging.ERROR)
    os.environ |= _NO_STATISTICS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
