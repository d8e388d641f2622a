"""Time of OpenVINO's encoding by operation: python eval/profile_encode.py

The 6,000 short sentences of speed_encode.py, by kind of operation (OpenVINO's own counters, one stream), and the whole
call: tokens, forward passes on all streams, the rest. Writes results/profile_encode.json.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from typing import Any

import openvino
import torch
from lib.arguments import parser
from lib.record import data_folder, write_result
from lib.sizes import Size, limit
from speed_encode import corpora

from simcse_kit import SimCSE
from simcse_kit.encoder.backends.openvino import BATCH_SIZE, feed
from simcse_kit.encoder.known import packaged_minilm
from simcse_kit.encoder.tokens import length_batches

KINDS = {
    "FullyConnected": "matrix products",
    "FullyConnectedQuantizedLegacy": "matrix products",
    "Subgraph": "attention",
}
ROUNDS = 3


def operations(model: SimCSE, texts: list[str]) -> dict[str, float]:
    """Seconds by kind of operation in one stream."""
    backend: Any = model.backend
    half = backend.dtype != "float32"
    settings = {"INFERENCE_PRECISION_HINT": "bf16" if half else "f32", "PERFORMANCE_HINT": "THROUGHPUT"}
    compiled = openvino.Core().compile_model(backend._model, "CPU", settings | {"PERF_COUNT": "YES"})
    request, tokens = compiled.create_infer_request(), model.tokenize(texts)
    for turn in (0, 1):  # the first compiles the kernels of each shape
        seconds: Counter[str] = Counter()
        for indices in length_batches(tokens.lengths, BATCH_SIZE):
            request.infer(feed(tokens, indices, backend.pad_id, backend._inputs))
            for part in request.profiling_info if turn else ():
                seconds[KINDS.get(part.node_type, "normalization, sums, layout")] += part.real_time.total_seconds()
    return dict(seconds)


def call(model: SimCSE, texts: list[str]) -> dict[str, float]:
    """Median seconds of the whole call, of its tokens, and of its forward passes."""
    found: dict[str, list[float]] = {"whole call": [], "tokens": [], "forward passes": []}
    out = torch.empty(len(texts), model.get_embedding_dimension())
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        model.encode(texts, normalize_embeddings=True)
        whole = time.perf_counter()
        tokens = model.tokenize(texts)
        tokenized = time.perf_counter()
        model.backend.embed(tokens, out)
        found["whole call"].append(whole - began)
        found["tokens"].append(tokenized - whole)
        found["forward passes"].append(time.perf_counter() - tokenized)
    return {name: statistics.median(seconds[1:]) for name, seconds in found.items()}


def main() -> None:
    """Measure and write."""
    parser(__doc__).parse_args()
    texts = corpora(data_folder())["short"]
    size = Size.of(str(packaged_minilm()))
    limits = {"bfloat16": limit(torch.bfloat16, size), "int8": limit(torch.int8, size)}
    result: dict[str, Any] = {"matrix_product_gflops": limits}
    for dtype in ("bfloat16", "int8"):
        model = SimCSE(packaged_minilm(), backend="openvino", dtype=dtype)
        count = int(model.tokenize(texts).lengths.sum())
        seconds = operations(model, texts)
        whole = call(model, texts)
        products = seconds["matrix products"] / sum(seconds.values())
        gflops = count * size.mflop / 1e3 / (whole["forward passes"] * products)
        result[dtype] = {
            "share_of_operations": {name: value / sum(seconds.values()) for name, value in seconds.items()},
            "seconds": whole,
            "gflops_in_the_products": gflops,
        }
        print(dtype, result[dtype])
    write_result("profile_encode", result)


if __name__ == "__main__":
    main()
