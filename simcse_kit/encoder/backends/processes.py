"""One model in several processes, each on a device of its own."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from simcse_kit.encoder.backends.interface import OnBatch
from simcse_kit.errors import ModelError

_CHUNKS = 8  # for each process: few enough to sort by length, enough to end together
_MOST = 1 << 14  # texts in a chunk


class Pool:
    """Processes that encode together; a context that ends them.

    Args:
        model: a `SimCSE`, which is copied into each.
        devices: one process for each, as ``["cpu", "cpu"]`` or ``["cuda:0", "cuda:1"]``. Those on the CPU share its
            cores.
    """

    def __init__(self, model: Any, devices: Sequence[str | torch.device]) -> None:
        if not devices:
            raise ModelError("several devices: the list is empty")
        context = multiprocessing.get_context("spawn")  # a process that has used CUDA cannot be forked
        waiting = context.Queue()
        for device in devices:
            waiting.put(str(device))
        on_cpu = sum(torch.device(device).type == "cpu" for device in devices)
        threads = max(1, (os.cpu_count() or 1) // max(1, on_cpu))
        self._size = len(devices)
        self._executor = ProcessPoolExecutor(
            self._size, mp_context=context, initializer=_start, initargs=(pickle.dumps(model), waiting, threads)
        )

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(cancel_futures=True)

    def embed(self, texts: Sequence[str], *, on_batch: OnBatch = None, **arguments: Any) -> NDArray[np.float32]:
        """Vectors (N, D) of N texts in their order; ``arguments`` are those of `SimCSE.encode`."""
        numbers: dict[str, int] = {}
        rows = [numbers.setdefault(text, len(numbers)) for text in texts]
        distinct = list(numbers)
        if on_batch is not None:
            on_batch(len(texts) - len(distinct))
        order = sorted(range(len(distinct)), key=lambda i: -len(distinct[i]))
        size = max(1, min(_MOST, -(-len(order) // (_CHUNKS * self._size))))
        chunks = [order[start : start + size] for start in range(0, len(order), size)]
        vectors: NDArray[np.float32] | None = None
        try:
            running = {
                self._executor.submit(_encode, [distinct[i] for i in chunk], arguments): chunk for chunk in chunks
            }
            for future in as_completed(running):
                found = future.result()
                if vectors is None:
                    vectors = np.empty((len(distinct), found.shape[1]), np.float32)
                vectors[running[future]] = found
                if on_batch is not None:
                    on_batch(len(found))
        except BrokenProcessPool as error:
            raise ModelError("a process that encodes has ended: was there too little memory for so many?") from error
        assert vectors is not None
        return vectors[rows]


_model: Any = None


def _start(model: bytes, devices: Any, threads: int) -> None:
    """Take a device and the model, once a process."""
    global _model
    device = torch.device(devices.get())
    if device.type == "cpu":
        torch.set_num_threads(threads)
    _model = pickle.loads(model)
    _model.to(device)


def _encode(texts: list[str], arguments: dict[str, Any]) -> NDArray[np.float32]:
    return np.asarray(_model.encode(texts, **arguments))
