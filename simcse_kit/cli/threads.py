"""How the threads of a command share the machine: what has to be in the environment before torch is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping

from simcse_kit.cores import THREADS, allowed_cores, threads_asked, usable_cores
from simcse_kit.errors import say_once

# A thread that waits for another one of its team first looks again and again, 5 to 200 ms long if nothing is set. Where
# other programs use the cores too, that takes the core from the thread it waits for. With these numbers it looks about
# as long as a model's pause between two products is, at most 1 ms; then it sleeps.
_WAITING = {
    "GOMP_SPINCOUNT": "2000",  # GNU's OpenMP (torch and FAISS on Linux); turns
    "KMP_BLOCKTIME": "1",  # LLVM's and Intel's OpenMP (torch on macOS, in conda); milliseconds
}
_OPENBLAS = {"OPENBLAS_THREAD_TIMEOUT": "18"}  # numpy's products; 2^18 cycles
# Variables of the libraries that count threads by themselves; OpenVINO and onnxruntime get THREADS from this package
_COUNTS = (
    "OMP_NUM_THREADS",  # torch and FAISS
    "MKL_NUM_THREADS",  # torch's products
    "OPENBLAS_NUM_THREADS",  # numpy's products
    "RAYON_NUM_THREADS",  # tokenizers
)


def thread_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that ``environment`` lacks, for a process that is to leave other programs their share of the cores.

    Whatever the user has set stays. OMP_WAIT_POLICY speaks for all kinds of OpenMP, SIMCSE_KIT_THREADS for the number
    of threads of all libraries.

    Raises:
        ValueError: SIMCSE_KIT_THREADS is no number of threads.
    """
    wanted = dict(_OPENBLAS)
    if "OMP_WAIT_POLICY" not in environment:
        wanted |= _WAITING
    cores = usable_cores()
    if cores < allowed_cores():  # the libraries see the affinity by themselves, not the quota
        wanted["OMP_NUM_THREADS"] = str(cores)
    missing = {name: value for name, value in wanted.items() if name not in environment}
    asked = threads_asked(environment)
    return missing if asked is None else missing | dict.fromkeys(_COUNTS, str(min(asked, cores)))


def limit_threads(threads: int) -> None:
    """Let every library of this process that is not loaded yet, and new processes, run ``threads`` threads at most."""
    os.environ[THREADS] = str(threads)
    os.environ.update(thread_settings(os.environ))
    if threads > usable_cores():
        say_once(f"--threads {threads}: this process may use {usable_cores()} cores, so it runs that many threads")
