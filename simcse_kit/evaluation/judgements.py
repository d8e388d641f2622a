"""Relevance judgements of two systems' hits in a folder: saved after every mark, resumable, readable as BEIR data.

The folder holds `judge.json` (what is judged), `marks.jsonl` (every change of a query; the last line of each query
counts) and BEIR's layout (Thakur et al., 2021) for other tools: `corpus.jsonl`, `queries.jsonl`, `qrels/test.tsv`. A
line of `marks.jsonl` is on the disk before the next question. A line truncated by a kill is dropped.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, get_args

from simcse_kit.data.judged import QRELS
from simcse_kit.errors import DataError
from simcse_kit.files import (
    at_work,
    disk_full_named,
    only_writer,
    read_json,
    staged_file,
    staged_folder,
    write_json,
    write_json_lines,
)

ABOUT, MARKS, USED = "judge.json", "marks.jsonl", "used_queries.jsonl"
FORMAT = 1

QueryState = Literal["open", "judged", "skipped"]
T = TypeVar("T")


def text_id(text: str) -> str:
    """The id of a text, equal in every folder; runs of white space count as one space.

    A query and a document with equal text have the same id: BEIR's measures do not count such a document as an answer.

    >>> text_id(" A  cat. ") == text_id("A cat.")
    True
    """
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:16]


class System(NamedTuple):
    """One of the two systems compared."""

    name: str  # as named by the user
    identity: str  # of its model and its kind of search


@dataclass(frozen=True, kw_only=True)
class JudgedSystems:
    """Subject of a folder's judgements; another subject needs another folder."""

    systems: tuple[System, System]
    hits: int  # of each system
    texts: int  # distinct ones
    digest: str  # of the texts' ids, independent of their order
    seed: int  # of the order of queries and hits

    def check_same(self, other: JudgedSystems, folder: Path) -> None:
        """Raise a `DataError` if the requested ``other`` differs from this subject of the folder."""
        own, asked = ([system.identity for system in pair.systems] for pair in (self, other))
        names, wanted = (" and ".join(system.name for system in pair.systems) for pair in (self, other))
        if own == asked[::-1]:
            raise DataError(f"{folder} holds judgements of {names}, in this order; name them in the same order")
        if own != asked:
            raise DataError(f"{folder} holds judgements of {names}, not of {wanted}; name another folder")
        if (self.texts, self.digest) != (other.texts, other.digest):
            raise DataError(
                f"{folder} holds judgements of other texts ({self.texts:,} then, {other.texts:,} now); "
                "name another folder"
            )
        for name in ("hits", "seed"):
            if getattr(self, name) != getattr(other, name):
                raise DataError(
                    f"{folder} was started with {name} {getattr(self, name)}, not {getattr(other, name)}; use "
                    "the same value, or name another folder"
                )


class JudgedQuery(NamedTuple):
    """A query with the hits of both systems and the marks."""

    id: str
    text: str
    first: tuple[str, ...]  # ids of the first system's hits, best first
    second: tuple[str, ...]
    relevant: frozenset[str] = frozenset()  # hits of both systems; if the query is judged, other hits are not relevant
    state: QueryState = "open"

    @property
    def pool(self) -> tuple[str, ...]:
        """The hits of both systems, without duplicates."""
        return tuple(dict.fromkeys((*self.first, *self.second)))


class Judgements(NamedTuple):
    """Content of a folder; queries by id, in the order of their last change."""

    about: JudgedSystems
    queries: dict[str, JudgedQuery]


class UsedQuery(NamedTuple):
    """A query that a model was trained or selected with."""

    id: str
    text: str
    purpose: str  # training, selection
    by: str  # the run's folder


def read_judgements(folder: str | Path) -> Judgements:
    """The judgements so far.

    Raises:
        DataError: the folder holds no judgements, or is damaged; the text names file and line.
    """
    root = Path(folder)
    if not (root / ABOUT).is_file():
        raise DataError(f"{root} is not a folder of judgements ({ABOUT} is missing); create one with simcse-kit judge")
    said = read_json(root / ABOUT, DataError)
    try:
        if said["format"] != FORMAT:
            raise DataError(f"{root} has format {said['format']}; this version reads format {FORMAT}")
        first, second = (System(*system) for system in said["systems"])
        rest = {field.name: said[field.name] for field in fields(JudgedSystems) if field.name != "systems"}
        about = JudgedSystems(systems=(first, second), **rest)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{root / ABOUT} is damaged: {error!r}") from error
    queries: dict[str, JudgedQuery] = {}
    for query in _rows(root / MARKS, _query_of):
        queries.pop(query.id, None)
        queries[query.id] = query
    return Judgements(about, queries)


def _query_of(row: dict[str, Any]) -> JudgedQuery:
    first, second, relevant = (row[name] for name in ("first", "second", "relevant"))
    if row["state"] not in get_args(QueryState):
        raise ValueError(f"state {row['state']!r}")
    return JudgedQuery(row["id"], row["text"], tuple(first), tuple(second), frozenset(relevant), row["state"])


class JudgementFolder:
    """A folder locked for this process; made by `open_judgements`."""

    def __init__(self, folder: Path, judgements: Judgements) -> None:
        self.folder = folder
        self.about, self.queries = judgements
        self._end = _whole(folder / MARKS)
        self._write_queries()
        self._write_qrels()

    def save(self, query: JudgedQuery) -> None:
        """Write a new or changed query to the disk, and BEIR's files if its judgement has changed."""
        before = self.queries.pop(query.id, None)
        self.queries[query.id] = query
        row = query._asdict() | {"relevant": sorted(query.relevant)}
        self._end = _append(self.folder / MARKS, [row], at=self._end)
        if before is None:
            self._write_queries()
        if "judged" in (query.state, before and before.state):
            self._write_qrels()

    def _write_queries(self) -> None:
        write_json_lines(
            self.folder / "queries.jsonl", ({"_id": query.id, "text": query.text} for query in self.queries.values())
        )

    def _write_qrels(self) -> None:
        lines = ["query-id\tcorpus-id\tscore\n"]
        for query in self.queries.values():
            if query.state == "judged":
                lines += [f"{query.id}\t{name}\t{int(name in query.relevant)}\n" for name in query.pool]
        with staged_file(self.folder / QRELS) as folder:
            (folder / QRELS.name).write_text("".join(lines), encoding="utf-8")


@contextmanager
def open_judgements(folder: str | Path, about: JudgedSystems, corpus: Mapping[str, str]) -> Iterator[JudgementFolder]:
    """Continue a folder of judgements, or start one.

    Args:
        folder: a folder of judgements about ``about``; or one that does not exist, or is empty.
        about: the subject of the judgements.
        corpus: all texts by `text_id`; the whole corpus is written, so that recall and nDCG over it can be measured.

    Raises:
        DataError: the folder holds other files or judgements of another subject, or another process writes to it.
    """
    root = Path(folder)
    if root.is_file():
        raise DataError(f"{root} is a file; name a folder")
    if not (root / ABOUT).is_file():
        if root.is_dir() and not all(map(at_work, root.iterdir())):
            raise DataError(f"{root} is not empty and holds no judgements ({ABOUT} is missing); name another folder")
        _begin(root, about, corpus)
    with only_writer(root, DataError(f"another process is judging in {root}")):
        found = read_judgements(root)
        found.about.check_same(about, root)
        yield JudgementFolder(root, found)


def _begin(root: Path, about: JudgedSystems, corpus: Mapping[str, str]) -> None:
    with staged_folder(root) as staging:
        (staging / QRELS).parent.mkdir()
        (staging / QRELS).touch()
        with (staging / "corpus.jsonl").open("w", encoding="utf-8") as file:
            for name, text in corpus.items():
                file.write(json.dumps({"_id": name, "title": "", "text": text}, ensure_ascii=False) + "\n")
        (staging / MARKS).touch()
        write_json(staging / ABOUT, {"format": FORMAT, **asdict(about)})


def digest_of(ids: Iterable[str]) -> str:
    """Checksum of a set of ids."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()


def used_queries(folder: str | Path) -> dict[str, UsedQuery]:
    """The queries with which a model was trained or selected, by `text_id`; empty if nothing is recorded.

    ``folder`` is one of judgements, which lists uses of its queries, or a model's, which lists the queries it used.
    Such a query never counts in a verdict.
    """
    return {query.id: query for query in _rows(Path(folder) / USED, lambda row: UsedQuery(**row))}


def record_use(
    run: str | Path,
    queries: Iterable[str],
    *,
    purpose: Literal["training", "selection"],
    folder: str | Path | None = None,
    start: str | Path | None = None,
    by: str | Path | None = None,
) -> None:
    """Record that a run uses queries, for `used_queries` of the run's folder and of the folder of judgements.

    Args:
        run: its existing folder.
        queries: texts of the queries.
        purpose: training or selection.
        folder: the folder of judgements with these queries.
        start: folder of the run's start model, whose used queries count for the run too.
        by: the folder that the run's model will have, if it is another one.
    """
    name = str(Path(by or run).absolute())
    used = [UsedQuery(text_id(text), text, purpose, name) for text in dict.fromkeys(queries)]
    if folder is not None and (Path(folder) / ABOUT).is_file():
        _add_used(Path(folder), used)
    _add_used(Path(run), [*used, *(used_queries(start).values() if start is not None else ())])


def _add_used(folder: Path, used: Iterable[UsedQuery]) -> None:
    known, path = used_queries(folder), folder / USED
    new = {query.id: query._asdict() for query in used if query.id not in known}
    if new:
        _append(path, new.values(), at=_whole(path))


def _append(path: Path, rows: Iterable[Mapping[str, Any]], *, at: int) -> int:
    """Write JSON lines to the disk at a position in a file, over a truncated line; returns the end position."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    path.touch()
    with disk_full_named(path), path.open("r+b") as file:
        file.truncate(at)
        file.seek(at)
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())
    return at + len(lines)


def _whole(path: Path) -> int:
    """Bytes of a file up to the end of its last complete line; 0 if the file is missing."""
    return path.read_bytes().rfind(b"\n") + 1 if path.exists() else 0


def _rows(path: Path, make: Callable[[dict[str, Any]], T]) -> Iterator[T]:
    """Content of the complete lines of a file; empty if it is missing."""
    content = path.read_bytes()[: _whole(path)] if path.exists() else b""
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            yield make(json.loads(line))
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"{path}, line {number} is damaged: {error!r}") from error
