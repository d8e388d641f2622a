"""Kills a writer of an index repeatedly, and checks what it left: python kill_writer.py FOLDER KILLS SEED

The writer is a child process that goes from step to step: each adds, updates and deletes rows that follow from the
step's number, and commits once; every ninth compacts. It says each finished step into a pipe. The parent kills it
(SIGKILL) after a random while, opens the folder, and compares every row, and what its words find, with what must be
there.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import zlib
from pathlib import Path

import faiss  # noqa: F401  # before the children, who would each take a tenth of a second for it
import numpy as np

from simcse_kit.search import Collection

DIMENSION = 8
Rows = dict[int | str, str]


def vector(text: str) -> np.ndarray:
    return np.random.default_rng(zlib.crc32(text.encode())).normal(size=DIMENSION).astype(np.float32)


def step(number: int, rows: Rows, collection: Collection | None = None) -> None:
    """One step in a dictionary and, where one is given, in a collection."""
    if number % 9 == 0:
        if collection is not None:
            collection.compact()
        return
    draw = random.Random(number)
    new = {number * 100 + i: f"step {number} row {i}" for i in range(draw.randint(1, 40))}
    changed = {key: f"step {number} changes {key}" for key in draw.sample(sorted(rows, key=int), min(3, len(rows)))}
    gone = draw.sample(
        sorted(rows.keys() - changed.keys(), key=int), min(draw.randint(0, 20), len(rows) - len(changed))
    )
    if collection is not None:
        collection.add(list(new.values()), np.array([vector(text) for text in new.values()]), list(new))
        if changed:
            texts = list(changed.values())
            collection.update(texts, np.array([vector(text) for text in texts]), list(changed))
        if gone:
            collection.delete(gone)
        collection.save()
    for key in gone:
        del rows[key]
    rows |= new | changed


def write(folder: Path, pipe: int, rows: Rows) -> None:
    collection = Collection.open(folder)
    number = collection.info().generation
    while True:
        step(number, rows, collection)
        number += 1
        os.write(pipe, f"{number}\n".encode())


def main() -> None:
    folder, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    draw = random.Random(seed)
    Collection(DIMENSION, hybrid=True).save(folder)  # commit 1
    rows: Rows = {}
    at, leftovers, unsaid = 1, 0, 0
    for _ in range(kills):
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(ours)
            write(folder, theirs, rows)
        os.close(theirs)
        time.sleep(draw.uniform(0.002, 0.12))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        said = b"".join(iter(lambda: os.read(ours, 1 << 16), b"")).split()  # noqa: B023
        os.close(ours)
        last = int(said[-1]) if said else at
        named = len(list(folder.iterdir()))
        collection = Collection.open(folder)
        generation = collection.info().generation
        assert last <= generation <= last + 1, f"commit {last} was said, the folder has {generation}"
        while at < generation:
            step(at, rows)
            at += 1
        found = {row.id: row.text for row, _ in collection.rows()}
        assert found == rows, f"commit {generation}: other rows than were written"
        for row, unit in collection.rows():
            wanted = vector(row.text)
            np.testing.assert_allclose(unit, wanted / np.linalg.norm(wanted), atol=1e-6)
        by_words = collection.search_words(["step"], k=len(rows) + 1)[0]  # every text has this word
        assert sorted(hit.id for hit in by_words) == sorted(rows), f"commit {generation}: words of other rows"
        collection.verify()
        info = collection.info()
        leftovers += named > 1 + 2 * info.segments
        unsaid += generation > last
    print(
        f"{kills} kills, {at} commits, {len(rows)} rows; {leftovers} left files behind, {unsaid} came after the commit"
    )


if __name__ == "__main__":
    main()
