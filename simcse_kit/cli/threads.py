"""Thread settings of a command; they must be in the environment before torch is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping

from simcse_kit.cores import THREADS, allowed_cores, threads_asked, usable_cores
from simcse_kit.errors import say_once

# An OpenMP thread that waits for its team polls for 5 to 200 ms by default. On a busy machine this takes the core from
# the thread it waits for. With these values it polls for at most 1 ms, about the pause between two products of a model;
# then it sleeps.
_WAITING = {
    "GOMP_SPINCOUNT": "2000",  # GNU OpenMP (torch and FAISS on Linux); iterations
    "KMP_BLOCKTIME": "1",  # LLVM and Intel OpenMP (torch on macOS, in conda); milliseconds
}
_OPENBLAS = {"OPENBLAS_THREAD_TIMEOUT": "18"}  # numpy; 2^18 cycles
# Variables of libraries that count threads on their own; OpenVINO and onnxruntime get THREADS from this package
_COUNTS = (
    "OMP_NUM_THREADS",  # torch and FAISS
    "MKL_NUM_THREADS",  # products in torch
    "OPENBLAS_NUM_THREADS",  # products in numpy
    "RAYON_NUM_THREADS",  # tokenizers
)


def thread_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables to add to ``environment`` so that a process leaves cores for other programs.

    Values set by the user stay. OMP_WAIT_POLICY stands for every kind of OpenMP, SIMCSE_KIT_THREADS for the thread
    count of every library.

    Raises:
        ValueError: SIMCSE_KIT_THREADS is not a number of threads.
    """
    wanted = dict(_OPENBLAS)
    if "OMP_WAIT_POLICY" not in environment:
        wanted |= _WAITING
    cores = usable_cores()
    if cores < allowed_cores():  # the libraries read the affinity, but not the quota
        wanted["OMP_NUM_THREADS"] = str(cores)
    missing = {name: value for name, value in wanted.items() if name not in environment}
    asked = threads_asked(environment)
    return missing if asked is None else missing | dict.fromkeys(_COUNTS, str(min(asked, cores)))


def limit_threads(threads: int) -> None:
    """Limit to ``threads`` threads: libraries of this process that are not loaded yet, and new processes."""
    os.environ[THREADS] = str(threads)
    os.environ.update(thread_settings(os.environ))
    if threads > usable_cores():
        say_once(f"--threads {threads}: this process may use only {usable_cores()} cores and runs that many threads")
