"""Vectors with their ids and texts, searched by cosine with FAISS."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from simcse_kit.errors import SearchIndexError
from simcse_kit.search.store import MANIFEST, Manifest, checked_file, commit, one_writer, read_manifest
from simcse_kit.types import Vectors


class Hit(NamedTuple):
    """One answer: the stored id and text, and the cosine with the query."""

    id: int | str
    text: str
    score: float


class Collection:
    """N texts with ids and unit vectors (N, D) in memory; `save` commits to a folder, `open` reads the last commit.

    Search is exact: FAISS's inner product over unit vectors.
    """

    def __init__(self, dimension: int) -> None:
        import faiss

        self.dimension = dimension
        self.ids: list[int | str] = []
        self.texts: list[str] = []
        self.model: dict[str, Any] = {}  # what the owner wants to know about the model, kept in the manifest
        self._known: set[int | str] = set()
        self._vectors: Any = faiss.IndexFlatIP(dimension)
        self._folder: Path | None = None
        self._generation = 0  # of the commit in `_folder` that this content started from

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, texts: Sequence[str], vectors: Vectors, ids: Sequence[int | str] | None = None) -> None:
        """Add N texts with vectors (N, D), of any length but zero, under new ids (None: integers that go on).

        Raises:
            SearchIndexError: an id that is taken, no integer or string, or not of the others' type; a wrong shape.
        """
        import faiss

        vectors = np.array(vectors, dtype=np.float32, order="C", ndmin=2)
        if vectors.shape != (len(texts), self.dimension) and len(texts):
            raise SearchIndexError(
                f"{len(texts)} texts need vectors of ({len(texts)}, {self.dimension}); got {vectors.shape}"
            )
        if not np.isfinite(vectors).all():
            raise SearchIndexError(
                f"the vector of text number {int(np.argmin(np.isfinite(vectors).all(1)))} is not finite"
            )
        new = self._new_ids(len(texts), ids)
        if not len(texts):
            return
        faiss.normalize_L2(vectors)
        self._vectors.add(vectors)
        self.ids += new
        self.texts += list(texts)
        self._known.update(new)

    def _new_ids(self, count: int, ids: Sequence[int | str] | None) -> list[int | str]:
        if ids is None:
            if self.ids and isinstance(self.ids[0], str):
                raise SearchIndexError("this index has string ids; name the ids of what is added")
            start = 1 + max((i for i in self.ids if isinstance(i, int)), default=-1)
            return list(range(start, start + count))
        if len(ids) != count:
            raise SearchIndexError(f"{count} texts need {count} ids; got {len(ids)}")
        new: list[int | str] = []
        for value in ids:
            if isinstance(value, bool) or not isinstance(value, str | Integral):
                raise SearchIndexError(f"an id is an integer or a string; got {value!r}")
            new.append(value if isinstance(value, str) else int(value))
        kinds = {type(i) for i in [*self.ids[:1], *new]}
        if len(kinds) > 1:
            raise SearchIndexError("ids are all integers or all strings; got both")
        seen = set(self._known)
        for value in new:
            if value in seen:
                raise SearchIndexError(f"id {value!r} is taken")
            seen.add(value)
        return new

    def search(self, vectors: Vectors, k: int = 5, threshold: float | None = None) -> list[list[Hit]]:
        """The ``k`` nearest texts of each query vector (Q, D), best first, with a cosine of at least ``threshold``."""
        import faiss

        if k < 1:
            raise SearchIndexError(f"k must be at least 1; got {k}")
        if threshold is not None and not -1 <= threshold <= 1:
            raise SearchIndexError(f"threshold is a cosine, from -1 to 1; got {threshold}")
        queries = np.array(vectors, dtype=np.float32, order="C", ndmin=2)
        if queries.shape[1] != self.dimension and len(queries):
            raise SearchIndexError(
                f"the index holds vectors of {self.dimension} dimensions; the query has {queries.shape[1]}"
            )
        if not len(self) or not len(queries):
            return [[] for _ in queries]
        faiss.normalize_L2(queries)
        scores, places = self._vectors.search(queries, min(k, len(self)))
        return [
            [
                Hit(self.ids[place], self.texts[place], float(score))
                for score, place in zip(row, found, strict=True)
                if place >= 0 and (threshold is None or score >= threshold)
            ]
            for row, found in zip(scores, places, strict=True)
        ]

    def save(self, folder: str | Path | None = None) -> Path:
        """Commit to ``folder`` (None: where it was opened or saved last); on any failure the last commit stays."""
        if folder is None and self._folder is None:
            raise SearchIndexError("this index has no folder yet; name one")
        target = Path(folder) if folder is not None else self._folder
        assert target is not None
        if target.is_file():
            raise SearchIndexError(f"{target} is a file; an index is a folder")
        with one_writer(target):
            generation = self._next_generation(target)
            manifest = Manifest(
                generation=generation,
                dimension=self.dimension,
                count=len(self),
                id_type="str" if self.ids and isinstance(self.ids[0], str) else "int",
                metric="cosine",
                model=self.model,
                files={},
            )
            commit(target, manifest, {"vectors.faiss": self._write_vectors, "sentences.parquet": self._write_sentences})
        self._folder, self._generation = target, generation
        return target

    def _next_generation(self, target: Path) -> int:
        if (target / MANIFEST).is_file():
            on_disk = read_manifest(target).generation
            if self._folder is None or target.absolute() != self._folder.absolute():
                raise SearchIndexError(
                    f"{target} already holds an index; open it and add to it, or choose another folder"
                )
            if on_disk != self._generation:
                raise SearchIndexError(
                    f"{target} was changed by somebody else since it was opened (commit {on_disk}, opened at "
                    f"{self._generation}); open it again"
                )
            return on_disk + 1
        if target.is_dir() and any(target.iterdir()):
            raise SearchIndexError(f"{target} is not empty and not an index; choose another folder")
        return 1

    def _write_vectors(self, path: Path) -> None:
        import faiss

        path.write_bytes(faiss.serialize_index(self._vectors).tobytes())

    def _write_sentences(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table(
            {"id": pa.array([str(i) for i in self.ids], pa.string()), "text": pa.array(self.texts, pa.string())}
        )
        pq.write_table(table, path, compression="zstd")

    @classmethod
    def open(cls, folder: str | Path) -> Collection:
        """Read the last commit of a folder into memory; a damaged file is an error by name."""
        target = Path(folder)
        while True:
            manifest = read_manifest(target)
            try:
                return cls._read(target, manifest)
            except (SearchIndexError, OSError):
                if read_manifest(target).generation == manifest.generation:
                    raise  # else a writer committed meanwhile, and took the old files away

    @classmethod
    def _read(cls, target: Path, manifest: Manifest) -> Collection:
        import faiss
        import pyarrow.parquet as pq

        collection = cls(manifest.dimension)
        raw = np.fromfile(checked_file(target, manifest, "vectors"), dtype=np.uint8)
        collection._vectors = faiss.deserialize_index(raw)
        table = pq.read_table(checked_file(target, manifest, "sentences"))
        ids = table.column("id").to_pylist()
        collection.ids = list(ids) if manifest.id_type == "str" else [int(i) for i in ids]
        collection.texts = table.column("text").to_pylist()
        if not manifest.count == len(collection.ids) == collection._vectors.ntotal:
            raise SearchIndexError(
                f"{target}: the manifest counts {manifest.count} sentences, the files hold {len(collection.ids)} texts "
                f"and {collection._vectors.ntotal} vectors"
            )
        if collection._vectors.d != manifest.dimension:
            raise SearchIndexError(
                f"{target}: the manifest says {manifest.dimension} dimensions, the vectors have {collection._vectors.d}"
            )
        collection._known = set(collection.ids)
        collection.model = manifest.model
        collection._folder, collection._generation = target, manifest.generation
        return collection
