"""An encoder as a graph of another library: traced, then compared with PyTorch on other inputs."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from simcse_kit.encoder.backbone import quiet_transformers, word_table
from simcse_kit.encoder.modules import Encoder
from simcse_kit.errors import ModelError

_TOLERANCE = 1e-4  # largest allowed difference of unit vectors between graph and encoder
_SHAPES = ((1, 5), (3, 9), (2, 30))  # batch shapes for the comparison; the trace used another
_CHARACTERS = 128  # vocabulary size for a backbone without a word table, which reads characters
_NO_STATISTICS = {"CI": "true", "NNCF_CI": "1"}
_LOGGERS = ("nncf", "torch.onnx", "onnxscript", "onnx_ir")

Graph = TypeVar("Graph")
Run = Callable[[dict[str, NDArray[Any]]], NDArray[Any]]
"""Ids, mask and pooling mask by name, (B, L) each, to vectors (B, D)."""


class Traced(nn.Module):
    """The encoder with the same signature for every pooling."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pool_mask: Tensor) -> Tensor:
        """(B, L) each -> (B, D)."""
        vectors: Tensor = self.encoder(input_ids, attention_mask, pool_mask)
        return vectors


def trace(encoder: Encoder, convert: Callable[[Encoder], tuple[Graph, Run]], *, name: str, tool: str) -> Graph:
    """The graph that ``convert`` makes from the encoder in evaluation mode, if its vectors match the encoder's.

    Args:
        encoder: the encoder to trace.
        convert: makes a graph, and returns how to run it.
        name: name of the model, for errors.
        tool: name of the library, for errors.

    Raises:
        ModelError: the architecture cannot be converted, or the vectors differ.
    """
    backbone: Any = encoder.backbone
    was_training, attention = encoder.training, backbone.config._attn_implementation
    encoder.eval()
    reasons = []
    try:
        for implementation in ("sdpa", "eager"):  # tracing the fast path, which may be valid for one shape only
            try:
                backbone.set_attn_implementation(implementation)
                with quiet(), torch.no_grad():
                    graph, run = convert(encoder)
                    _compare(run, encoder)
                    return graph
            except Exception as error:  # tracers and converters fail in many ways
                reasons.append((str(error).strip() or type(error).__name__).splitlines()[0])
    finally:
        encoder.train(was_training)
        backbone.set_attn_implementation(attention)
    raise ModelError(f"cannot convert {name} with {tool}: {'; '.join(dict.fromkeys(reasons))}")


def example(encoder: Encoder, size: int = 2, width: int = 17) -> tuple[Tensor, Tensor]:
    """Random ids (B, L) with mask (B, L), one sentence shorter; with a mask token if the pooling needs one."""
    generator = torch.Generator().manual_seed(size * 1000 + width)
    table = word_table(encoder.backbone)
    vocabulary = _CHARACTERS if table is None else table.num_embeddings
    ids = torch.randint(vocabulary // 2, vocabulary, (size, width), generator=generator)
    mask = torch.ones_like(ids)
    mask[-1, width - width // 3 :] = 0
    if encoder.mask_id is not None:
        ids[ids == encoder.mask_id] = vocabulary // 2
        ids[:, 1] = encoder.mask_id
    return ids, mask


def _compare(run: Run, encoder: Encoder) -> None:
    """Compare on other shapes: a trace may be valid only for the shape it saw."""
    for size, width in _SHAPES:
        ids, mask = example(encoder, size, width)
        given = {"input_ids": ids, "attention_mask": mask, "pool_mask": mask}
        found = torch.from_numpy(run({key: value.numpy() for key, value in given.items()}))
        both = [nn.functional.normalize(vectors, dim=-1) for vectors in (found, encoder(ids, mask, mask))]
        difference = float((both[0] - both[1]).abs().max())
        if not difference < _TOLERANCE:
            raise ModelError(
                f"the converted model's vectors differ by {difference:.2g} from PyTorch's (batch of {size}, "
                f"{width} tokens)"
            )


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the tracers' warnings and logs, because errors are checked afterwards, and turn off usage statistics of
    OpenVINO's and NNCF's tools, which they do not send in CI.
    """
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    before = {name: os.environ.get(name) for name in _NO_STATISTICS}
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ |= _NO_STATISTICS
    try:
        with warnings.catch_warnings(), quiet_transformers():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
