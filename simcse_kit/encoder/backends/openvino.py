"""Runs the encoder with OpenVINO: asynchronous streams on a CPU, in float32, bfloat16 or int8."""

from __future__ import annotations

import math
import threading
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcse_kit.cores import GRAIN, usable_cores
from simcse_kit.encoder.backends.interface import OnBatch
from simcse_kit.encoder.backends.runtime import core, import_openvino, openvino_multiplies_bfloat16
from simcse_kit.encoder.tokens import TokenTable, length_batches, padded

BATCH_SIZE = 32  # sentences per stream at a time: more are not faster, and streams end together


class OpenVinoBackend:
    """A converted encoder, compiled for this CPU. Calls from several threads wait for each other.

    Compiled twice, each at first use: with streams, one core per batch, and with all cores per batch, for few texts
    with much work. A short query uses one stream and leaves the other cores free.

    Args:
        model: from `conversion.convert`, perhaps quantized: ids, mask and pooling mask (B, L) to vectors (B, D).
        pad_id: pads shorter sentences.
        dtype: float32, bfloat16 or int8. Layers of an int8 model that stay in float multiply in bfloat16 if the
            processor supports it.
        pads: whether a batch may hold texts of different lengths, see `Encoder.pads`.
    """

    name = "openvino"

    def __init__(self, model: Any, pad_id: int, dtype: str, *, pads: bool = True) -> None:
        self.pad_id = pad_id
        self._pads = pads
        self.dtype = dtype
        self._half = dtype == "bfloat16" or (dtype == "int8" and openvino_multiplies_bfloat16())
        self._model = model
        self._inputs = inputs_of(model)
        self._products = products_of_graph(model)
        self._lock = threading.Lock()

    @cached_property
    def _streams(self) -> Any:
        return import_openvino().AsyncInferQueue(self._compiled("THROUGHPUT"))

    @cached_property
    def _one(self) -> Any:
        return self._compiled("LATENCY").create_infer_request()

    def _compiled(self, hint: str) -> Any:
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if self._half else "f32",
            "PERFORMANCE_HINT": hint,
            "INFERENCE_NUM_THREADS": usable_cores(),
        }
        return core().compile_model(self._model, "CPU", settings)

    def embed(
        self,
        tokens: TokenTable,
        out: Any,
        *,
        batch_size: int | None = None,
        prompt_length: int = 0,
        on_batch: OnBatch = None,
    ) -> None:
        """See `Backend.embed`; ``out`` is on the CPU, a tensor or an array."""
        target = out if isinstance(out, np.ndarray) else out.numpy()

        def take(request: Any, indices: NDArray[np.int64]) -> None:
            target[indices] = request.get_output_tensor(0).data
            if on_batch is not None:
                on_batch(len(indices))

        with self._lock:
            if self._takes_all_cores(tokens):
                for indices in length_batches(tokens.lengths, batch_size, pads=self._pads):
                    self._one.infer(feed(tokens, indices, self.pad_id, self._inputs, prompt_length))
                    take(self._one, indices)
                return
            share = -(-len(tokens.lengths) // len(self._streams))  # texts per stream
            size = max(1, min(batch_size or BATCH_SIZE, share))
            batches = length_batches(tokens.lengths, size, pads=self._pads)
            self._streams.set_callback(take)
            try:
                for indices in batches:
                    self._streams.start_async(feed(tokens, indices, self.pad_id, self._inputs, prompt_length), indices)
            finally:
                self._streams.wait_all()  # also after Ctrl-C: pending requests would write into the next call's vectors

    def _takes_all_cores(self, tokens: TokenTable) -> bool:
        """Whether there are fewer texts than cores, each with more work than one core should do."""
        texts = len(tokens.lengths)
        return texts < usable_cores() and len(tokens.flat) * self._products > texts * GRAIN


def products_of_graph(model: Any) -> int:
    """Multiplications of an OpenVINO model per token: the matrices of its products."""
    shapes = [op.input(1).get_partial_shape() for op in model.get_ops() if op.get_type_name() == "MatMul"]
    return sum(math.prod(shape.to_shape()) for shape in shapes if shape.is_static and len(shape) == 2)


def inputs_of(model: Any) -> set[str]:
    """Input names of a model; a trace drops unused inputs."""
    return {name for port in model.inputs for name in port.names}


def feed(
    tokens: TokenTable, indices: NDArray[np.int64], pad_id: int, inputs: set[str], prompt_length: int = 0
) -> dict[str, NDArray[Any]]:
    """A batch of token sequences as the model's inputs, (B, L) each; tokens of a prompt are left out of the pooling."""
    ids, mask = padded(tokens.rows(indices), pad_id)
    mask = np.ones_like(ids) if mask is None else mask
    pool_mask = mask
    if prompt_length:
        pool_mask = mask.copy()
        pool_mask[:, :prompt_length] = 0
    given = {"input_ids": ids, "attention_mask": mask, "pool_mask": pool_mask}
    return {name: value for name, value in given.items() if name in inputs}
