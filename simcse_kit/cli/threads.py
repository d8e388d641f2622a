"""How the threads of a command share the machine: what has to be in the environment before torch is loaded."""

from __future__ import annotations

from collections.abc import Mapping

from simcse_kit.cores import allowed_cores, usable_cores

# A thread that waits for another one of its team first looks again and again, 5 to 200 ms long if nothing is set. Where
# other programs use the cores too, that takes the core from the thread it waits for. With these numbers it looks about
# as long as a model's pause between two products is, at most 1 ms; then it sleeps.
_WAITING = {
    "GOMP_SPINCOUNT": "2000",  # GNU's OpenMP (torch and FAISS on Linux); turns
    "KMP_BLOCKTIME": "1",  # LLVM's and Intel's OpenMP (torch on macOS, in conda); milliseconds
}
_OPENBLAS = {"OPENBLAS_THREAD_TIMEOUT": "18"}  # numpy's products; 2^18 cycles


def thread_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that ``environment`` lacks, for a process that is to leave other programs their share of the cores.

    Whatever the user has set stays; OMP_WAIT_POLICY is the user's word on all kinds of OpenMP.
    """
    wanted = dict(_OPENBLAS)
    if "OMP_WAIT_POLICY" not in environment:
        wanted |= _WAITING
    if (cores := usable_cores()) < allowed_cores():  # the libraries see the affinity by themselves, not the quota
        wanted["OMP_NUM_THREADS"] = str(cores)
    return {name: value for name, value in wanted.items() if name not in environment}
