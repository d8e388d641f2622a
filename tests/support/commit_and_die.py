"""Dies at every step of changing an index, and looks at what is left: commit_and_die FOLDER WAY [KILLS]

WAY is one of `WAYS`, or build, which is killed KILLS times at steps by chance. Each life is a child that kills itself
at its n-th call to the system, n = 1, 2, ... until one lives to the end. After each the folder is the old commit or the
new one, whole; the same change then goes through, and the folder holds nothing but the files of its commit.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss  # noqa: F401  # before the children, who would each take a tenth of a second for it
import numpy as np

from simcse_kit.index.incoming import RowBatch
from simcse_kit.index.row_source import RowSource
from simcse_kit.index.sync import SyncSettings, one_update, parts_of, sync_parts
from simcse_kit.search import Collection
from simcse_kit.search.exchanging import exchange_rows
from support.replace_and_die import die_at

Rows = dict[int | str, tuple[str, bytes]]
DIMENSION = 8


def vectors(texts: list[str]) -> np.ndarray:
    """(N, D), each of its text alone."""
    return np.array(
        [np.random.default_rng(zlib.crc32(text.encode())).normal(size=DIMENSION) for text in texts], dtype=np.float32
    )


def filled(count: int, kind: str = "auto") -> Collection:
    made = Collection(DIMENSION, kind, hybrid=True)
    texts = [f"text {i}" for i in range(count)]
    made.add(texts, vectors(texts))
    return made


def rows(folder: Path) -> Rows:
    """The content of an index with intact files."""
    index = Collection.open(folder)
    index.verify()
    found = {row.id: (row.text, vector.tobytes()) for row, vector in index.rows()}
    if index.keywords is not None:  # each text has one of these words
        by_words = index.search_words(["text new changed"], k=len(found) + 1)[0]
        assert {hit.id: hit.text for hit in by_words} == {id_: text for id_, (text, _) in found.items()}
    return found


def only_its_files(folder: Path) -> None:
    index = Collection.open(folder)
    named = {"manifest.json", *(file.name for file in index._content.files())}
    assert {path.name for path in folder.iterdir()} == named, sorted(path.name for path in folder.iterdir())


def add(folder: Path) -> None:
    index = Collection.open(folder)
    index.add(["new 1", "new 2"], vectors(["new 1", "new 2"]))
    index.save()


def update(folder: Path) -> None:
    index = Collection.open(folder)
    index.update(["changed"], vectors(["changed"]), [3])
    index.save()


def delete(folder: Path) -> None:
    index = Collection.open(folder)
    index.delete([3, 4])
    index.save()


class Encoder:
    """What a model is for `sync_parts`."""

    name, max_seq_length = "encoder", None

    def fingerprint(self) -> str:
        return "encoder"

    def encode_document(self, texts: list[str], batch_size: int | None = None) -> np.ndarray:
        return vectors(texts).reshape(-1, DIMENSION)


def sync(folder: Path) -> None:
    """Texts 2 to 20 are as they were, three change, two are new, all others are missing."""
    index = Collection.open(folder)
    ids = [*range(2, 24), 400, 401]
    texts = [f"text {i}" if i < 21 else f"new {i}" for i in ids]
    how = SyncSettings(source=RowSource(), delete_missing=True, max_delete=1)
    with one_update(folder):
        sync_parts(index, Encoder(), parts_of(RowBatch(texts, ids, None)), how)  # type: ignore[arg-type]


def compact(folder: Path) -> None:
    Collection.open(folder).compact()


def exchange(folder: Path) -> None:
    """Twenty rows take the place of all."""
    aside = folder.with_name("made")
    shutil.rmtree(aside, ignore_errors=True)
    made = filled(20)
    made.save(aside)
    exchange_rows(Collection.open(folder), made, lambda: None)


def structure(folder: Path) -> None:
    Collection.open(folder).save()


WAYS: dict[str, Callable[[Path], None]] = {
    "add": add,
    "update": update,
    "delete": delete,
    "compact": compact,
    "sync": sync,
    "exchange": exchange,
    "structure": structure,
    "first": lambda folder: filled(30).save(folder) and None,
    "copy": lambda folder: Collection.open(folder.with_name("before")).save(folder) and None,
}


def life(change: Callable[[], Any], step: int) -> bool:
    """Whether a child that makes a change lived to its end."""
    child = os.fork()
    if child == 0:
        try:
            die_at(step)
            change()
            os._exit(0)
        finally:
            os._exit(1)  # with the traceback on stderr
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code <= 0, "the child failed without being killed"
    return code == 0


def start(place: Path, way: str) -> Path:
    """The folder of an index to change, or for a new one, in an emptied place."""
    shutil.rmtree(place, ignore_errors=True)
    made = filled(300, "ivf" if way == "structure" else "auto")
    made.model = {"fingerprint": "encoder"}
    made.save(place / "before", structure=False)
    made.delete([0, 1])
    made.save(structure=False)
    if way not in ("first", "copy"):
        shutil.copytree(place / "before", place / "i")
    return place / "i"


def try_all(place: Path, way: str) -> int:
    """How many steps there are."""
    change, folder = WAYS[way], start(place, way)
    before = rows(folder) if folder.exists() else None
    change(folder)
    after = rows(folder)
    step, lived = 1, False
    while not lived:
        shutil.rmtree(folder)
        if before is not None:
            shutil.copytree(place / "before", folder)
        lived = life(lambda: change(folder), step)
        found = rows(folder) if before is not None or (folder / "manifest.json").exists() else None
        assert found in (before, after), f"step {step}: other rows than were written"
        if found != after or way in ("compact", "structure", "sync"):
            change(folder)
        if way == "sync" or (found == after and way not in ("compact", "structure")):  # any later commit tidies up
            index = Collection.open(folder)
            index.update([after[5][0]], vectors([after[5][0]]), [5])
            index.save()
        assert rows(folder) == after, f"step {step}: going on"
        only_its_files(folder)
        step += 1
    return step - 1


def try_build(place: Path, kills: int) -> int:
    """Kill builds at steps by chance; the next one is the index of an undisturbed build."""
    import torch

    from simcse_kit import SimCSE, build_index
    from support.tiny import SENTENCES, make_model

    torch.set_num_threads(1)
    place.mkdir()
    (place / "texts.txt").write_text("\n".join(SENTENCES) + "\n", encoding="utf-8")
    model = SimCSE(make_model("bert", place / "model"), pooling="mean", device="cpu")

    def build(name: str) -> None:
        build_index(model, place / "texts.txt", place / name)

    build("whole")
    expected, draw, died, steps = rows(place / "whole"), random.Random(0), 0, 400  # there are fewer
    while died < kills:
        folder, step = place / f"i{died}-{steps}", draw.randint(1, steps)
        lived = life(lambda name=folder.name: build(name), step)  # type: ignore[misc]
        died, steps = died + (not lived), min(steps, step) if lived else steps
        assert lived or not folder.exists() or rows(folder) == expected  # it appears whole
        if not folder.exists():
            build(folder.name)
        assert rows(folder) == expected
        only_its_files(folder)
    left = sorted(path.name for path in place.iterdir() if path.name.startswith("."))
    assert not left, left
    return steps


def main() -> None:
    place, way, *kills = Path(sys.argv[1]), *sys.argv[2:]
    os.fsync = lambda fd: None  # a killed process loses nothing written, and disks are slow
    print(try_build(place, int(kills[0])) if way == "build" else try_all(place, way))


if __name__ == "__main__":
    main()
