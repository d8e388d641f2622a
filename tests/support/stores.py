"""Where the tests store indexes: in folders, or, with SIMCSE_KIT_STORE=milvus, in one file of Milvus Lite.

The tests of `tests/search` and `tests/index` that take the fixture ``store`` are about either; `tests/milvus` runs them
over Milvus in a process of its own, whose threads no other test's processes inherit.
"""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from simcse_kit.search import BaseCollection, Collection

MILVUS = os.environ.get("SIMCSE_KIT_STORE") == "milvus"
_numbers = itertools.count()


@cache
def milvus_uri() -> str:
    """A file of Milvus Lite that lives as long as the process: starting one takes a second."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(Path(folder) / "milvus.db")


class Store:
    """New collections, and places for them, of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefix = f"test{next(_numbers)}_"
        self.options: dict[str, Any] = {"store": "milvus", "uri": milvus_uri()} if MILVUS else {}  # of our functions
        self.arguments = [f"--{name}={value}" for name, value in self.options.items()]  # of our commands
        self.taken = 0

    def new(self, dimension: int, kind: str = "auto", **options: Any) -> BaseCollection:
        if MILVUS:
            from simcse_kit.search.milvus import MilvusCollection

            return MilvusCollection(dimension, kind, uri=milvus_uri(), **options)
        return Collection(dimension, kind, **options)

    def place(self, name: str | None = None) -> Path:
        """Where an index of this name is; None: a new one."""
        if name is None:
            name, self.taken = f"_{self.taken}", self.taken + 1
        return Path(self.prefix + name) if MILVUS else self.folder / name

    def open(self, name: str | Path) -> BaseCollection:
        """Open by name, or by a place."""
        place = name if isinstance(name, Path) else self.place(name)
        if MILVUS:
            from simcse_kit.search.milvus import MilvusCollection

            return MilvusCollection.open(place, uri=milvus_uri())
        return Collection.open(place)

    def close(self) -> None:
        """Throw all away."""
        if MILVUS:
            from pymilvus import MilvusClient

            client = MilvusClient(milvus_uri())
            for name in client.list_collections():
                if name.startswith(self.prefix):
                    client.drop_collection(name)
