"""Runs the encoder with onnxruntime on a CPU, from a graph that `export --to onnx` wrote into the model's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcse_kit.cores import usable_cores
from simcse_kit.encoder.backends.interface import OnBatch
from simcse_kit.encoder.backends.openvino import feed
from simcse_kit.encoder.cache import digests
from simcse_kit.encoder.tokens import TokenTable, length_batches
from simcse_kit.errors import ModelError
from simcse_kit.files import as_written, read_json, write_json
from simcse_kit.types import Vectors

GRAPH = "onnx/model.onnx"  # sentence-transformers looks for it here
INPUTS = ("input_ids", "attention_mask")
OUTPUTS = ("last_hidden_state", "sentence_embedding")  # the first is the output that sentence-transformers pools itself
_RECORD = "onnx/simcse_kit.json"
_BATCH_SIZE = 32


class OnnxBackend:
    """A graph from `export_model`: ids and mask (B, L) to vectors (B, D), on as many threads as the process may use.

    Args:
        graph: the file.
        pad_id: pads shorter sentences.
        pads: whether a batch may hold texts of different lengths, see `Encoder.pads`.
    """

    name = "onnx"
    dtype = "float32"

    def __init__(self, graph: Path, pad_id: int, *, pads: bool = True) -> None:
        self.pad_id = pad_id
        self._pads = pads
        self._session = open_session(graph)

    def embed(
        self,
        tokens: TokenTable,
        out: Any,
        *,
        batch_size: int | None = None,
        prompt_length: int = 0,
        on_batch: OnBatch = None,
    ) -> None:
        """Write the vectors, see `Backend.embed`; ``out`` is a tensor on the CPU, or an array."""
        if prompt_length:
            raise ModelError(
                "this model leaves its prompts out of the pooling, which an ONNX graph cannot do; use backend "
                "torch or openvino"
            )
        target = out if isinstance(out, np.ndarray) else out.numpy()
        for indices in length_batches(tokens.lengths, batch_size or _BATCH_SIZE, pads=self._pads):
            target[indices] = vectors_of(self._session, feed(tokens, indices, self.pad_id, set(INPUTS)))
            if on_batch is not None:
                on_batch(len(indices))


def open_session(graph: Path) -> Any:
    """The graph, opened in onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def vectors_of(session: Any, given: dict[str, NDArray[Any]]) -> Vectors:
    """Run the graph on its `INPUTS`, (B, L) each: (B, D)."""
    vectors: Vectors = session.run([OUTPUTS[1]], given)[0]
    return vectors


def record_graph(folder: Path, fingerprint: str) -> None:
    """Record the model from which the graph in a folder was made."""
    write_json(folder / _RECORD, {"model": fingerprint, "files": digests(_files(folder))})


def find_graph(folder: Path, fingerprint: str, name: str) -> Path:
    """The graph in a model's folder.

    Raises:
        ModelError: there is no graph, or it was made from other weights or settings, or has changed since.
    """
    remedy = f"to make one: simcse-kit export {name} FOLDER --to onnx; then load FOLDER"
    if not (folder / GRAPH).is_file():
        raise ModelError(f"{name} holds no ONNX graph ({GRAPH}), which backend onnx needs; {remedy}")
    if not (folder / _RECORD).is_file():
        raise ModelError(f"{name}: no record of the weights of its ONNX graph ({_RECORD}); {remedy}")
    record = read_json(folder / _RECORD, ModelError)
    with as_written(folder / _RECORD, ModelError):
        of_model, files = record["model"] == fingerprint, record["files"]
    if not of_model:
        raise ModelError(f"{name}: its ONNX graph was made from other weights, length, pooling or prompts; {remedy}")
    if files != digests(_files(folder)):
        raise ModelError(f"{name}: its ONNX graph has changed since it was written; {remedy}")
    return folder / GRAPH


def _files(folder: Path) -> list[Path]:
    """The graph, and its weights if they are in a separate file."""
    there = (folder / GRAPH).parent
    return sorted(path for path in there.iterdir() if path != folder / _RECORD)
