"""A model in a process of its own, timed on request: what speed_encode.py compares.

python eval/encode_worker.py OURS|PEER MODEL BACKEND DTYPE; each line of the input names a file of texts (JSON) and
where the vectors go (.npy, or null); each line of the output says how many seconds encoding took, and the peak memory.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Encode = Callable[[list[str]], Any]


def ours(model: str, backend: str, dtype: str) -> Encode:
    """This package's."""
    from simcse_kit import SimCSE

    loaded = SimCSE(model, backend=backend, dtype=dtype)
    return lambda texts: loaded.encode(texts, normalize_embeddings=True)


def peer(model: str, backend: str, dtype: str) -> Encode:
    """sentence-transformers' with its defaults; its OpenVINO backend takes the format as a hint to the device."""
    from sentence_transformers import SentenceTransformer

    more: dict[str, Any] = {}
    if backend == "openvino":
        hint = {"bfloat16": "bf16", "float32": "f32"}[dtype]
        more = {"backend": "openvino", "model_kwargs": {"ov_config": {"INFERENCE_PRECISION_HINT": hint}}}
    loaded = SentenceTransformer(model, device="cpu", **more)
    return lambda texts: loaded.encode(texts, normalize_embeddings=True)


def main() -> None:
    """Answer until the input ends."""
    kind, model, backend, dtype = sys.argv[1:5]
    encode = {"OURS": ours, "PEER": peer}[kind](model, backend, dtype)
    encode(["ready"])
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        with open(request["texts"], encoding="utf-8") as file:
            texts = json.load(file)
        seconds = []
        for one in texts if request["singly"] else [texts]:
            began = time.perf_counter()
            vectors = encode(one)
            seconds.append(time.perf_counter() - began)
        if request["vectors"]:
            np.save(request["vectors"], np.asarray(vectors, np.float32))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": seconds, "peak_bytes": peak}), flush=True)


if __name__ == "__main__":
    main()
