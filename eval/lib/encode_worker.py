"""A model in its own process, timed on request by speed_encode.py.

python eval/lib/encode_worker.py LIBRARY MODEL BACKEND DTYPE; each line of the input names a file of texts (JSON) and
where the vectors go (.npy, or null); each line of the output says how many seconds encoding took, and the peak memory.
A peer's environment needs that library, numpy and tokenizers only.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Encode = Callable[[list[str]], Any]
BATCH_SIZE = 32  # runtimes without a library around them


def ours(model: str, backend: str, dtype: str) -> Encode:
    """This package's."""
    from simcse_kit import SimCSE

    loaded = SimCSE(model, backend=backend, dtype=dtype, device="cpu")
    return lambda texts: loaded.encode(texts, normalize_embeddings=True)


def sentence_transformers(model: str, backend: str, dtype: str) -> Encode:
    """sentence-transformers' with its defaults; its OpenVINO backend takes the format as a hint to the device."""
    from sentence_transformers import SentenceTransformer

    more: dict[str, Any] = {}
    if backend == "openvino":
        hint = {"bfloat16": "bf16", "float32": "f32"}[dtype]
        more = {"backend": "openvino", "model_kwargs": {"ov_config": {"INFERENCE_PRECISION_HINT": hint}}}
    loaded = SentenceTransformer(model, device="cpu", **more)
    return lambda texts: loaded.encode(texts, normalize_embeddings=True)


def fastembed(model: str, backend: str, dtype: str) -> Encode:
    """fastembed's custom model with its defaults; the pooling is in the graph, which is faster than its own."""
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    width = json.loads((Path(model) / "config.json").read_text(encoding="utf-8"))["hidden_size"]
    TextEmbedding.add_custom_model(
        model="measured",
        pooling=PoolingType.DISABLED,
        normalization=True,
        sources=ModelSource(hf="measured"),
        dim=width,
        model_file=graph_of(dtype),
        output_name="sentence_embedding",
    )
    loaded = TextEmbedding("measured", specific_model_path=model)
    return lambda texts: np.stack(list(loaded.embed(texts)))


def onnxruntime(model: str, backend: str, dtype: str) -> Encode:
    """A session of onnxruntime, texts sorted by length."""
    from onnxruntime import InferenceSession

    session = InferenceSession(str(Path(model) / graph_of(dtype)), providers=["CPUExecutionProvider"])

    def run(batch: list[list[int]]) -> Any:
        ids, mask = padded(batch)
        return session.run(["sentence_embedding"], {"input_ids": ids, "attention_mask": mask})[0]

    return by_hand(model, run)


def ctranslate2(model: str, backend: str, dtype: str) -> Encode:
    """CTranslate2's encoder on all cores, texts sorted by length; the mean of the tokens is numpy's."""
    from ctranslate2 import Encoder

    encoder = Encoder(model, device="cpu", compute_type=dtype, intra_threads=len(os.sched_getaffinity(0)))

    def run(batch: list[list[int]]) -> Any:
        states = np.asarray(encoder.forward_batch(batch).last_hidden_state)  # (B, L, D)
        mask = padded(batch)[1][:, :, None].astype(np.float32)
        return (states * mask).sum(1) / mask.sum(1)

    return by_hand(model, run)


def graph_of(dtype: str) -> str:
    """The file in the folder that encode_peers.py writes."""
    return "onnx/model_int8.onnx" if dtype == "int8" else "onnx/model.onnx"


def by_hand(model: str, run: Callable[[list[list[int]]], Any]) -> Encode:
    """Tokens by tokenizers, batches of like lengths, unit vectors; ``run`` takes ids to vectors (B, D)."""
    from tokenizers import Tokenizer

    folder = Path(model)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    longest = json.loads((folder / "sentence_bert_config.json").read_text(encoding="utf-8"))["max_seq_length"]
    tokenizer.no_padding()
    tokenizer.enable_truncation(longest)

    def encode(texts: list[str]) -> Any:
        ids = [found.ids for found in tokenizer.encode_batch(texts)]
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        vectors = np.concatenate([run([ids[i] for i in part]) for part in parts(order)])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        out = np.empty_like(vectors)
        out[order] = vectors
        return out

    return encode


def parts(order: list[int]) -> Iterator[list[int]]:
    """Batches."""
    for start in range(0, len(order), BATCH_SIZE):
        yield order[start : start + BATCH_SIZE]


def padded(batch: list[list[int]]) -> tuple[Any, Any]:
    """Ids and mask, (B, L) each; masked positions are not read."""
    mask = np.zeros((len(batch), max(map(len, batch))), np.int64)
    ids = np.ones_like(mask)
    for row, own in enumerate(batch):
        ids[row, : len(own)] = own
        mask[row, : len(own)] = 1
    return ids, mask


LIBRARIES = {
    "ours": ours,
    "sentence-transformers": sentence_transformers,
    "fastembed": fastembed,
    "onnxruntime": onnxruntime,
    "ctranslate2": ctranslate2,
}


def main() -> None:
    """Answer until the input ends."""
    library, model, backend, dtype = sys.argv[1:5]
    encode = LIBRARIES[library](model, backend, dtype)
    encode(["ready"])
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        with open(request["texts"], encoding="utf-8") as file:
            texts = json.load(file)
        seconds = []
        for one in [[text] for text in texts] if request["singly"] else [texts]:
            began = time.perf_counter()
            vectors = encode(one)
            seconds.append(time.perf_counter() - began)
        if request["vectors"]:
            np.save(request["vectors"], np.asarray(vectors, np.float32))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": seconds, "peak_bytes": peak}), flush=True)


if __name__ == "__main__":
    main()
