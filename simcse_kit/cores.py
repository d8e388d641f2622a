"""Number of CPU cores that this process may use."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

GRAIN = 1 << 29  # multiplications that justify a thread: about 10 ms of one core
THREADS = "SIMCSE_KIT_THREADS"  # environment variable: most threads


@cache
def one_thread_after_a_fork(set_threads: Callable[[int], object]) -> None:
    """Limit an OpenMP library to one thread in forked processes: they lack the other threads and would hang."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: set_threads(1))


def usable_cores(root: Path = Path("/")) -> int:
    """Cores in this process's affinity, limited by the container's CPU quota (rounded up) and SIMCSE_KIT_THREADS.

    ``root`` holds Linux's ``proc/self/cgroup`` and ``sys/fs/cgroup``; other systems have no quota.

    Raises:
        ValueError: SIMCSE_KIT_THREADS is not a number of threads.
    """
    there = min(allowed_cores(), math.ceil(cpu_quota(root)))
    return min(there, threads_asked(os.environ) or there)


def threads_asked(environment: Mapping[str, str]) -> int | None:
    """SIMCSE_KIT_THREADS, or None if it is not set.

    Raises:
        ValueError: it is not a number of threads.
    """
    text = environment.get(THREADS, "")
    if text and not (text.isascii() and text.isdigit() and int(text)):
        raise ValueError(f"{THREADS} must be a number of threads, at least 1; got {text!r}")
    return int(text) if text else None


def allowed_cores() -> int:
    """Cores in this process's affinity: those that ``taskset`` and cpusets allow."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_quota(root: Path = Path("/")) -> float:
    """The smallest quota of this process's cgroup and its parents, in cores; without a limit, all cores."""
    return min(_quotas(root), default=float(os.cpu_count() or 1))


def _quotas(root: Path) -> Iterator[float]:
    mounted = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2: one file of "max 100000" or "150000 100000"
            for place in (*_upwards(mounted, path), *_upwards(mounted / "unified", path)):
                yield from _ratio(_text(place / "cpu.max").split())
        elif "cpu" in controllers.split(","):  # version 1: two files, -1 for no limit
            for place in (*_upwards(mounted / controllers, path), *_upwards(mounted / "cpu", path)):
                yield from _ratio([_text(place / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")])


def _upwards(mounted: Path, path: str) -> Iterator[Path]:
    """A cgroup's folder and its parents; each may have a limit. In a container the path may be the host's."""
    names = path.strip("/").split("/")
    for length in range(len(names), -1, -1):
        yield mounted.joinpath(*names[:length])


def _ratio(words: list[str]) -> Iterator[float]:
    """Quota divided by period, if both are numbers above 0."""
    if len(words) == 2 and all(word.isdigit() and int(word) for word in words):
        yield int(words[0]) / int(words[1])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
