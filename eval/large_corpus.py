"""Corpora beyond memory: python eval/large_corpus.py [--gigabytes 1 3 10] [--millions 1 3 10] [--work FOLDER]

`simcse-kit prepare sentences` over N GB of text, made of halves of the shared Wikipedia sentences, and
`simcse-kit index build` over N million distinct short texts with the tiny model of encode_corpus.py. Each is a
process of its own, whose own memory (RssAnon: what no other process shares, libraries and model included) is read
every half second. The smallest of each is then killed half-way and started again: what is written must be the same.
The folder needs six times the largest text. Writes results/large_corpus.json.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from encode_corpus import corpus, tiny_model
from lib.record import data_folder, write_result

from simcse_kit.data import read_sentences
from simcse_kit.search import Collection
from simcse_kit.search.blocks import file_checksum

_EVERY = 0.5  # seconds
_SENTENCES = 5  # of a line


class Watched(NamedTuple):
    """A command that has ended."""

    seconds: float
    own_bytes: int  # the most that it had
    profile: list[int]  # bytes, about thirty points
    killed: bool


def documents(path: Path, size: int, sentences: Sequence[str], seed: int = 0) -> None:
    """Lines of five sentences, each half of one and half of another, until there are ``size`` bytes.

    Nearly all differ; a few are repeated, as in any text.
    """
    draw = random.Random(seed)
    halves = [(words[: len(words) // 2], words[len(words) // 2 :]) for words in map(str.split, sentences)]
    written = 0
    with path.open("w", encoding="utf-8") as file:
        while written < size:
            chosen = draw.choices(halves, k=_SENTENCES + 1)
            made = [" ".join((*first, *second)) for (first, _), (_, second) in pairwise(chosen)]
            line = " ".join(text[:1].upper() + text[1:].rstrip(" .") + "." for text in made) + "\n"
            written += file.write(line)


def own_bytes(process: int) -> int:
    """RssAnon; 0 where it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    _, found, rest = status.partition("RssAnon:")
    return 1024 * int(rest.split()[0]) if found else 0


def watched(arguments: Sequence[str | Path], *, kill_after: float | None = None) -> Watched:
    """Run the command line; ``kill_after``: kill it after that many seconds."""
    command = [sys.executable, "-m", "simcse_kit", *map(str, arguments)]
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:  # no pipe: bars fill it
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, text=True)
        points, killed = [], False
        while process.poll() is None:
            points.append(own_bytes(process.pid))
            if kill_after is not None and time.perf_counter() - began >= kill_after and not killed:
                process.send_signal(signal.SIGKILL)
                killed = True
            time.sleep(_EVERY)
        said.seek(0)
        if process.returncode and not killed:
            raise SystemExit(f"{' '.join(command)}\n{said.read()[-2000:]}")
    return Watched(time.perf_counter() - began, max(points), points[:: max(1, len(points) // 30)], killed)


def again(command: Sequence[str | Path], whole: Watched, output: Path, content: Callable[[], Any]) -> dict[str, Any]:
    """Kill the command half-way, start it again, and compare what it writes with what the whole run wrote."""
    before = content()
    shutil.rmtree(output) if output.is_dir() else output.unlink()
    first = watched(command, kill_after=whole.seconds / 2)
    left = output.exists()
    second = watched(command)
    return {
        "killed_after_seconds": first.seconds,
        "killed": first.killed,
        "half_written_output": left,
        "whole_seconds": whole.seconds,
        "second_seconds": second.seconds,
        "the_same": content() == before,
    }


def prepare(work: Path, gigabytes: Sequence[float], sentences: Sequence[str]) -> dict[str, Any]:
    """`prepare sentences` at each size, and killed at the smallest."""
    lines, killed = [], None
    source, output = work / "documents.txt", work / "sentences.txt"
    for size in sorted(gigabytes):
        documents(source, int(size * 1e9), sentences)
        command = ["prepare", "sentences", source, output, "--line-paragraphs", "--overwrite"]
        whole = watched(command)
        lines.append(
            {
                "bytes": source.stat().st_size,
                "megabytes_per_second": source.stat().st_size / 1e6 / whole.seconds,
                "output_bytes": output.stat().st_size,
                **whole._asdict(),
            }
        )
        print("prepare", lines[-1], flush=True)
        killed = killed or again(command, whole, output, lambda: file_checksum(output))
    source.unlink()
    output.unlink()
    return {"sizes": lines, "killed": killed}


def index(work: Path, millions: Sequence[float]) -> dict[str, Any]:
    """`index build` at each size, and killed at the smallest."""
    model = tiny_model(work / "model")
    lines, killed = [], None
    source, output = work / "texts.txt", work / "index"

    def content() -> list[tuple[Any, str]]:
        rows, _ = Collection.open(output).sample(1000)
        return [(row.id, row.text) for row in rows]

    for size in sorted(millions):
        count = int(size * 1e6)
        corpus(source, count)
        shutil.rmtree(output, ignore_errors=True)
        command = ["index", "build", model, source, output, "--pooling", "mean"]
        whole = watched(command)
        info = Collection.open(output).info()
        assert info.count == count
        lines.append(
            {
                "rows": count,
                "dimension": info.dimension,
                "bytes": source.stat().st_size,
                "rows_per_second": count / whole.seconds,
                "megabytes_per_second": source.stat().st_size / 1e6 / whole.seconds,
                "kind": None if info.structure is None else info.structure.kind,
                "disk_bytes": info.bytes,
                **whole._asdict(),
            }
        )
        print("index", lines[-1], flush=True)
        killed = killed or again(command, whole, output, content)
    return {"sizes": lines, "killed": killed}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, nargs="*", default=[1, 3, 10])
    parser.add_argument("--millions", type=float, nargs="*", default=[1, 3, 10])
    parser.add_argument("--work", type=Path, help="folder to make a folder in: 60 GB")
    parser.add_argument("--out", type=Path, help="write there instead")
    arguments = parser.parse_args()
    sentences = read_sentences(data_folder() / "train/wiki_sentences.txt").column(0)
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=arguments.work) as temporary:
        if arguments.gigabytes:
            result["prepare"] = prepare(Path(temporary), arguments.gigabytes, sentences)
        if arguments.millions:
            result["index"] = index(Path(temporary), arguments.millions)
    print(write_result("large_corpus", result, arguments.out))


if __name__ == "__main__":
    main()
