"""The first second: what a user waits for in a new process: python eval/first_second.py [--turns N] [--texts N]

An index of N texts with MiniLM, its folder in the page cache, is searched by new processes: with the default install
(torch) and with OpenVINO, each after one process has opened the model before, and once without that (the first
search on a machine). One text is encoded in a new process by this package and by sentence-transformers, in pairs.
Mistakes and the help of every command are timed too. All take turns; the figures are medians. Writes
results/first_second.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lib.record import write_result
from typer.main import get_command

from simcse_kit.cli import app
from simcse_kit.data.sample import sample_sentences
from simcse_kit.encoder.known import MINILM, packaged_minilm

TEXTS, TURNS = 100_000, 15
QUERY = "cannot log in to my account"
OURS = f"from simcse_kit import SimCSE; SimCSE({MINILM!r}).encode(['x'])"
PEER = """
import sys
from sentence_transformers import SentenceTransformer
SentenceTransformer(sys.argv[1], device="cpu").encode(["x"])
"""
MISTAKES = {
    "a missing index": ["search", "missing", QUERY],
    "a filter that is no JSON": ["search", "index", QUERY, "--filter", "{bad"],
    "an unknown backend": ["search", "index", QUERY, "--backend", "tensorrt"],
    "a missing file to index": ["index", "build", MINILM, "missing.txt", "other"],
    "a missing file to encode": ["encode", MINILM, "missing.txt", "vectors.npy"],
    "a missing file to train on": ["train", "unsup", "missing.txt", "--model", MINILM, "--output-dir", "run"],
    "equal seeds": ["train", "unsup", "texts.txt", "--model", MINILM, "--output-dir", "r", "--seeds", "1,1"],
    "a missing model": ["eval", "missing/x/y", "--suite", "pairs"],
}  # fmt: skip
"""Commands that end in an error."""


def command(*arguments: str) -> list[str]:
    """The command line of ``simcse-kit``."""
    return [sys.executable, "-m", "simcse_kit", *arguments]


def seconds(line: Sequence[str], folder: Path, cache: Path, *, fails: bool = False) -> float:
    """Wall-clock seconds of a process, which ends in an error where it ``fails``."""
    environment = os.environ | {"XDG_CACHE_HOME": str(cache), "HF_HUB_OFFLINE": "1"}
    start = time.perf_counter()
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True)
    taken = time.perf_counter() - start
    if (done.returncode != 0) != fails:
        sys.exit(f"{' '.join(line)}: exit status {done.returncode}\n{done.stderr}")
    return taken


def in_turns(works: dict[str, Callable[[], float]], turns: int) -> dict[str, list[float]]:
    """Seconds of each work, one after the other in each turn, every second turn from behind; the first warms up."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(turns + 1):
        for name in sorted(works, reverse=turn % 2 == 1):
            one = works[name]()
            if turn:
                taken[name].append(one)
    return taken


def helps(inner: Any, names: list[str]) -> Iterator[list[str]]:
    """``--help`` of a command and of those in it."""
    yield [*names, "--help"]
    for name, one in getattr(inner, "commands", {}).items():
        yield from helps(one, [*names, name])


def summary(taken: dict[str, list[float]]) -> dict[str, Any]:
    """Median, slowest and all of each."""
    return {
        name: {"median": statistics.median(own), "slowest": max(own), "seconds": own} for name, own in taken.items()
    }


def main() -> None:
    """Measure, and write the figures down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--texts", type=int, default=TEXTS)
    parser.add_argument("--output", type=Path, help="another file than results/first_second.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name), Path(name) / "cache"
        sentences = sample_sentences()
        rows = (f"{sentences[i % len(sentences)]} ({i})" for i in range(given.texts))
        (folder / "texts.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
        seconds(command("index", "build", MINILM, "texts.txt", "index"), folder, cache)
        search = command("search", "index", QUERY)
        peer = [sys.executable, "-c", PEER, str(packaged_minilm())]
        new = iter(range(10**6))
        works: dict[str, Callable[[], float]] = {
            "search, torch": lambda: seconds(search, folder, cache),
            "search, openvino": lambda: seconds([*search, "--backend", "openvino"], folder, cache),
            "search, torch, a model that is new here": lambda: seconds(search, folder, folder / f"cache-{next(new)}"),
            "encode one text, ours": lambda: seconds([sys.executable, "-c", OURS], folder, cache),
            "encode one text, sentence-transformers": lambda: seconds(peer, folder, cache),
        }
        found = in_turns(works, given.turns)
        pairs = zip(*(found[f"encode one text, {who}"] for who in ("ours", "sentence-transformers")), strict=True)
        mistakes = in_turns(
            {
                what: partial(seconds, command(*arguments), folder, cache, fails=True)
                for what, arguments in MISTAKES.items()
            },
            given.turns,
        )
        texts = in_turns(
            {
                " ".join(arguments): partial(seconds, command(*arguments), folder, cache)
                for arguments in helps(get_command(app), [])
            },
            given.turns,
        )
    result = {
        "texts": given.texts,
        "turns": given.turns,
        "processes": summary(found),
        "ours_to_sentence_transformers": statistics.median(one / other for one, other in pairs),
        "mistakes": summary(mistakes),
        "helps": summary(texts),
    }
    print(write_result("first_second", result, given.output))


if __name__ == "__main__":
    main()
