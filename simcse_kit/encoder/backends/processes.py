"""Runs a model in several processes, each on its own device."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from simcse_kit.cores import usable_cores
from simcse_kit.encoder.backends.interface import OnBatch
from simcse_kit.encoder.call import Embedded
from simcse_kit.errors import ModelError

_UNGUARDED = """the script starts processes, and each process runs the script again. Put its code below a guard:

    if __name__ == "__main__":
        vectors = model.encode(sentences, device=[...])
"""
_CHUNKS = 8  # chunks per process: few enough to sort by length, enough to end at the same time
_MOST = 1 << 14  # texts in a chunk


class Pool:
    """Processes that encode together; a context that ends them.

    Args:
        model: a `SimCSE`, which is copied to each process.
        devices: one process each, such as ``["cpu", "cpu"]`` or ``["cuda:0", "cuda:1"]``. Processes on the CPU share
            its cores.
    """

    def __init__(self, model: Any, devices: Sequence[str | torch.device]) -> None:
        if not devices:
            raise ModelError("device is an empty list; name at least one device")
        if getattr(multiprocessing.current_process(), "_inheriting", False):  # it is still importing its script
            raise SystemExit(f"simcse_kit: {_UNGUARDED}")
        main = sys.modules["__main__"]
        file = getattr(main, "__file__", None)
        if getattr(main, "__spec__", None) is None and file is not None and not os.path.isfile(file):  # as "<stdin>"
            raise ModelError(
                f"several processes need a script in a file, but this one came from {file}. Save it; then " + _UNGUARDED
            )
        context = multiprocessing.get_context("spawn")  # a process that has used CUDA cannot be forked
        # Passed by queue, not as arguments: arguments are written before a process runs, which never ends if it dies.
        self._waiting = context.Queue()
        self._waiting.cancel_join_thread()  # a copy that no process reads must not delay the end of this one
        copy = pickle.dumps(model)
        for device in devices:
            self._waiting.put((str(device), copy))
        threads = _threads_each(sum(torch.device(device).type == "cpu" for device in devices))
        self._size = len(devices)
        self._works = False  # whether any process has encoded yet
        self._executor = ProcessPoolExecutor(
            self._size, mp_context=context, initializer=_start, initargs=(self._waiting, threads)
        )

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(cancel_futures=True)
        self._waiting.close()

    def embed(self, texts: Sequence[str], *, on_batch: OnBatch = None, **arguments: Any) -> Embedded:
        """Vectors (N, D) of N texts in order; ``arguments`` are those of `SimCSE.embed_here`."""
        numbers: dict[str, int] = {}
        rows = [numbers.setdefault(text, len(numbers)) for text in texts]
        distinct = list(numbers)
        if on_batch is not None:
            on_batch(len(texts) - len(distinct))
        order = sorted(range(len(distinct)), key=lambda i: -len(distinct[i]))
        size = max(1, min(_MOST, -(-len(order) // (_CHUNKS * self._size))))
        chunks = [order[start : start + size] for start in range(0, len(order), size)]
        vectors: NDArray[np.float32] | None = None
        cut, tokens = np.zeros(len(distinct), dtype=bool), np.zeros(len(distinct), dtype=np.int64)
        try:
            running = {
                self._executor.submit(_encode, [distinct[i] for i in chunk], arguments): chunk for chunk in chunks
            }
            for future in as_completed(running):
                found, cut_here, tokens_here = future.result()
                self._works = True
                if vectors is None:
                    vectors = np.empty((len(distinct), found.shape[1]), np.float32)
                vectors[running[future]] = found
                cut[[running[future][number] for number in cut_here]] = True
                tokens[running[future]] = tokens_here
                if on_batch is not None:
                    on_batch(len(found))
        except BrokenProcessPool as error:
            if self._works:
                raise ModelError(
                    "an encoding process has stopped: there may be too little memory for this number of processes"
                ) from error
            raise ModelError(
                f"an encoding process stopped before its first text. A frequent cause: {_UNGUARDED}\nAnother "
                f"cause is too little memory: each process holds a copy of the model ({self._size} here)."
            ) from None
        assert vectors is not None
        return Embedded(torch.from_numpy(vectors[rows]), np.flatnonzero(cut[rows]), tokens[rows])


def _threads_each(processes: int) -> int:
    """Threads for each process on the CPU: a share of this process's threads, at most its cores."""
    return max(1, min(torch.get_num_threads(), usable_cores()) // max(1, processes))


_model: Any = None  # or the error that stopped it


def _start(waiting: Any, threads: int) -> None:
    """Receive device and model, once per process; an error is kept for the caller of the first texts."""
    global _model
    try:
        device, model = waiting.get()
        if torch.device(device).type == "cpu":
            torch.set_num_threads(threads)
        _model = pickle.loads(model)
        _model.to(device)
    except Exception as error:
        _model = error


def _encode(texts: list[str], arguments: dict[str, Any]) -> tuple[NDArray[Any], ...]:
    """Vectors (N, D), numbers of the texts that were cut, and the token count of each text (N,)."""
    if isinstance(_model, Exception):
        raise _model
    done = _model.embed_here(texts, **arguments)
    return np.asarray(done.vectors), done.cut, done.tokens
