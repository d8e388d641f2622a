"""Speed beside a busy neighbour, with the command's settings for threads and without: python eval/busy.py

Training, encoding and one query, quiet and beside a process with as many busy threads as there are cores; also where
the process may use one core only (as by taskset). Processes with the settings and without them take turns, round by
round. --spins N... adds processes that differ from "settings" in GOMP_SPINCOUNT. Writes results/busy.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import cycle, islice
from typing import Any
from unittest.mock import patch

from lib.record import write_result

from simcse_kit.cli.threads import thread_settings
from simcse_kit.cores import allowed_cores

MODEL = "all-MiniLM-L6-v2"
NEIGHBOUR = """
import hashlib, sys, threading
data = bytes(1 << 22)
def work():
    while True:
        hashlib.sha256(data)  # without Python's lock
for _ in range(int(sys.argv[1])):
    threading.Thread(target=work).start()
"""
WORKS = ("train", "encode", "query")


@contextmanager
def neighbour() -> Iterator[None]:
    """A process that keeps every core busy."""
    process = subprocess.Popen([sys.executable, "-c", NEIGHBOUR, str(allowed_cores())])
    time.sleep(1)  # it has begun
    try:
        yield
    finally:
        process.kill()
        process.wait()


class Worker:
    """A process that does one work after the other, as it is asked to, and says how fast."""

    def __init__(self, arguments: list[str], environment: dict[str, str], *, one_core: bool) -> None:
        core = {min(os.sched_getaffinity(0))}
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--worker", *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=(lambda: os.sched_setaffinity(0, core)) if one_core else None,
        )

    def ask(self, work: str) -> float:
        """Texts a second; of a query the median of its milliseconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(work, file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the process that was to {work} has ended")
        return float(json.loads(line))

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def work_on(arguments: argparse.Namespace) -> None:
    """What a worker does: a line of a work's name in, a line of its speed out."""
    from speed_train import Task, ours

    from simcse_kit import SimCSE
    from simcse_kit.data.sample import sample_sentences
    from simcse_kit.encoder.known import packaged_minilm

    texts = sample_sentences()
    model = SimCSE(MODEL, dtype=arguments.dtype, backend=arguments.backend, device="cpu")
    rows = [*islice(cycle(texts), 64 * (arguments.steps + 4))]

    def encode() -> float:
        began, done = time.perf_counter(), 0
        while time.perf_counter() < began + arguments.seconds:
            model.encode(texts[: arguments.texts])
            done += arguments.texts
        return done / (time.perf_counter() - began)

    def query() -> float:
        taken = []
        for text in islice(cycle(texts), arguments.queries):
            time.sleep(0.02)  # a user's pause, in which threads go to sleep
            began = time.perf_counter()
            model.encode(text)
            taken.append(time.perf_counter() - began)
        return 1e3 * statistics.median(taken)

    def train() -> float:
        return ours(Task("unsup", rows, 64), str(packaged_minilm()), arguments.steps, "cpu")

    works: dict[str, Callable[[], float]] = {"train": train, "encode": encode, "query": query}
    model.encode(texts[: arguments.texts])
    whole = patch("simcse_kit.encoder.backends.torch.threads_for", lambda work: nullcontext())
    with whole if arguments.without else nullcontext(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answers, sys.stdout = sys.stdout, sys.stderr  # what a run prints is no answer
        for line in sys.stdin:
            print(json.dumps(works[line.strip()]()), file=answers, flush=True)


def workers(stack: ExitStack, spins: list[int]) -> dict[str, Worker]:
    """Processes that differ in their settings, by name."""
    given = sys.argv[1:]
    lacking = thread_settings({})
    plain = {name: value for name, value in os.environ.items() if name not in {*lacking, "OMP_WAIT_POLICY"}}
    made = plain | lacking
    ways: dict[str, tuple[list[str], dict[str, str], bool]] = {
        "settings": (given, made, False),
        "without": ([*given, "--without"], plain, False),
        "settings, one core": (given, made, True),
        "without, one core": ([*given, "--without"], plain, True),
    }
    ways |= {f"spin {count}": (given, made | {"GOMP_SPINCOUNT": str(count)}, False) for count in spins}
    found = {}
    for name, (arguments, environment, one_core) in ways.items():
        found[name] = Worker(arguments, environment, one_core=one_core)
        stack.callback(found[name].close)
    return found


def summary(speeds: dict[str, dict[str, dict[str, list[float]]]]) -> dict[str, Any]:
    """Medians, and ratios taken round by round: what is kept beside the neighbour, and the settings to without."""

    def ratio(one: list[float], other: list[float]) -> float:
        return statistics.median(a / b for a, b in zip(one, other, strict=True))

    result: dict[str, Any] = {}
    for work, ways in speeds.items():
        result[work] = {
            "unit": "milliseconds" if work == "query" else "texts a second",
            "medians": {
                way: {where: statistics.median(values) for where, values in own.items()} for way, own in ways.items()
            },
            "busy_to_quiet": {way: ratio(own["busy"], own["quiet"]) for way, own in ways.items()},
            "settings_to_without_quiet": ratio(ways["settings"]["quiet"], ways["without"]["quiet"]),
            "one_core_settings_to_without_quiet": ratio(
                ways["settings, one core"]["quiet"], ways["without, one core"]["quiet"]
            ),
            "rounds": ways,
        }
    return result


def main() -> None:
    """Measure and write; with --worker, be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of encoding in a turn")
    parser.add_argument("--texts", type=int, default=512, help="in one call of encode")
    parser.add_argument("--steps", type=int, default=6, help="of training in a turn, timed")
    parser.add_argument("--queries", type=int, default=60, help="in a turn")
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--spins", type=int, nargs="*", default=[], metavar="N", help="more values of GOMP_SPINCOUNT")
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--without", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work_on(arguments)
        return
    with ExitStack() as stack:
        made = workers(stack, arguments.spins)
        speeds: dict[str, dict[str, dict[str, list[float]]]] = {
            work: {way: {"quiet": [], "busy": []} for way in made} for work in arguments.works
        }
        for turn in range(-1, arguments.rounds):  # the first turn warms up
            for where in ("quiet", "busy"):
                with neighbour() if where == "busy" else nullcontext():
                    for work in arguments.works:
                        for way, worker in made.items():
                            speed = worker.ask(work)
                            print(f"round {turn + 1}, {where}: {work} {way} {speed:.1f}", flush=True)
                            if turn >= 0:
                                speeds[work][way][where].append(speed)
    cores = allowed_cores()
    settings = {"settings": thread_settings({}), "neighbour_threads": cores, "backend": arguments.backend}
    result = {"model": MODEL, "dtype": arguments.dtype, **settings, "works": summary(speeds)}
    for work, found in result["works"].items():
        print(work, json.dumps({name: value for name, value in found.items() if name != "rounds"}, indent=1))
    write_result("busy", result)


if __name__ == "__main__":
    main()
