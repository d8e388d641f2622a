"""A collection in Milvus: saved rows are on the server, unsaved changes in memory."""

from __future__ import annotations

import secrets
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from simcse_kit.errors import IndexChangedError, SearchIndexError, say_once
from simcse_kit.search.address import check_name
from simcse_kit.search.checks import check_same_model
from simcse_kit.search.milvus.overlay import Overlay
from simcse_kit.search.milvus.remote import BATCH_ROWS, MOST_HITS, Connection, Remote
from simcse_kit.search.milvus.schema import FIELDS, WORDS, State, is_as_written, milvus_index, record_of, written_words
from simcse_kit.search.milvus.searching import beside, drawn, tune_effort
from simcse_kit.search.snapshot import IndexInfo
from simcse_kit.search.structure import TARGET_RECALL

_AGAIN = 4  # a kind is tuned again when the rows have grown by this factor


class MilvusCollection(Overlay):
    """N texts with ids, metadata and unit vectors (N, D) in a named collection of Milvus.

    Like `Collection`: `add`, `update` and `delete` change memory, `save` sends the changes, and `open` reads what was
    saved. Differences:

    - A save is not atomic. Rows are sent in batches, then deletions; other readers see each batch when it arrives.
      After a failed save (which retries for a while), call it again: it continues with what is not confirmed, and
      sending a row twice changes nothing. If the process dies, part of the changes are stored; `verify` and the next
      `open` report it. Of two writers, the second to save gets an error; but if both begin at the same moment, both may
      succeed.
    - A search goes to the server and sees what others have saved; `rows`, the count and new numbers are those at
      opening or at the last `refresh`.
    - Saving under another name copies the collection; an interrupted copy does not resume.
    """

    def __init__(
        self,
        dimension: int,
        kind: str = "auto",
        target_recall: float = TARGET_RECALL,
        *,
        uri: str,
        token: str | None = None,
        hybrid: bool = False,
    ) -> None:
        super().__init__(dimension, kind, target_recall, hybrid=hybrid, uri=uri, token=token)
        self._connection: Connection | None = None  # made when needed
        self._name: str | None = None  # target of the first save, unless it names another
        self._building: str | None = None  # fingerprint of a build in progress
        self._claimed = False  # a save has started and has not finished

    @property
    def most_hits(self) -> int:
        """See `BaseCollection.most_hits`."""
        return MOST_HITS

    # Opening

    @classmethod
    def open(cls, name: str | Path, *, uri: str, token: str | None = None) -> MilvusCollection:
        """Open a saved collection.

        Raises:
            SearchIndexError: no such collection, one that is not ours, a newer format, or an unfinished build.
        """
        remote = Remote(Connection(uri, token, new=False), str(name))
        collection = cls._of(remote, remote.state(), token)
        if collection._building is not None:
            raise SearchIndexError(f"{remote} is not complete: its build was interrupted; run the same build again")
        return collection

    @classmethod
    def _of(cls, remote: Remote, state: State, token: str | None) -> MilvusCollection:
        if state.state == "saving":
            say_once(
                f"a save to {remote} has started and not finished: part of it is stored. Ignore this if another "
                "process is saving now",
                key=f"saving: {remote}",
            )
        collection = cls(state.dimension, state.kind, state.target_recall, uri=remote.connection.uri, token=token)
        collection._connection, collection._remote, collection._name = remote.connection, remote, remote.name
        remote.load()
        collection._take_over(state)
        return collection

    def _take_over(self, state: State) -> None:
        """Take over the current state of the collection."""
        assert self._remote is not None
        self._state = state
        self._building = state.build if state.state == "building" else None
        self._stored = self._remote.count()
        self._snapshot = replace(
            self._snapshot,
            model=state.model,
            next_id=state.next_id,
            fields=state.fields,
            keywords=state.keyword_entry,
            source=state.source,
            id_type={"int": int, "str": str}[state.id_type] if self._stored else None,
        )
        self._reset(state.next_number)

    def refresh(self, *, discard: bool = False) -> bool:
        """See `BaseCollection.refresh`; it asks the server."""
        if self._remote is None or self._state is None:
            return False
        changed = self._changed or self._claimed
        if changed and not discard:
            return False
        state = self._remote.state()
        if not changed and _commit_of(state) == _commit_of(self._state):
            return False
        check_same_model(self._snapshot, state.model, state.dimension, self._remote)
        if changed:
            self.abandon()
        self._claimed = False
        self._take_over(state)
        return True

    def reopened(self) -> MilvusCollection:
        """See `BaseCollection.reopened`."""
        assert self._name is not None
        return MilvusCollection.open(self._name, uri=self._uri, token=self._token)

    def abandon(self) -> None:
        """See `BaseCollection.abandon`."""
        if self._remote is not None and self._claimed:  # no other row will use these numbers
            self._remote.delete(range(self._base, self._base + self._pending.pending.count))
            self._sent = 0

    # Building

    @classmethod
    def build(
        cls,
        name: str,
        dimension: int,
        kind: str,
        target_recall: float,
        model: dict[str, Any],
        fingerprint: str,
        *,
        hybrid: bool = False,
        uri: str,
        token: str | None = None,
    ) -> MilvusCollection:
        """A new collection, which the first `save` creates, or the rest of an interrupted build with this
        ``fingerprint``.

        Until `finish`, only a build can open it.

        Raises:
            SearchIndexError: the name is taken, by a complete index or by another build.
        """
        new = cls(dimension, kind, target_recall, hybrid=hybrid, uri=uri, token=token)
        new.model, new._building = model, fingerprint
        remote = Remote(new._connected(), name)
        if not remote.exists():
            new._name = name
            return new
        state = remote.state()
        if state.state != "building":
            raise SearchIndexError(f"{remote} already exists; choose another name, or add to it")
        if (state.build, state.model.get("fingerprint")) != (fingerprint, model.get("fingerprint")):
            raise SearchIndexError(
                f"{remote} is an unfinished build of other files, with other options or another model; repeat "
                "that build, choose another name, or drop the collection with pymilvus"
            )
        found = cls._of(remote, state, token)
        found._trim()
        return found

    def _trim(self) -> None:
        """Keep the rows before the first one that did not arrive: rows are numbered from 0 as they are read."""
        assert self._remote is not None
        whole = self._stored
        if self._remote.count(f"number < {whole}") != whole:
            whole = 0
            for found in self._remote.windows(self._base, ["number"]):
                numbers = np.array([int(record["number"]) for record in found])
                fits = int((numbers == np.arange(whole, whole + len(numbers))).sum())
                whole += fits
                if fits < len(numbers):
                    break
            for found in self._remote.windows(self._base, ["number"], f"number >= {whole}"):
                self._remote.delete([int(record["number"]) for record in found])
            self._stored = whole
        self._reset(whole)

    def finish(self) -> None:
        """End a build: from now on it is a normal index."""
        self._building = None
        self.save()

    # Saving

    def save(self, folder: str | Path | None = None, *, structure: bool = True) -> Path:
        """Send the changes to the collection of this name (None: the one opened or saved last); returns the name.

        After a failure, what was not confirmed stays pending: call it again. ``structure=False`` leaves measuring the
        recall to a later save.

        Raises:
            SearchIndexError: no name yet, other data there, a save by another process since opening, or no answer from
                the server.
        """
        named = self._name if folder is None else str(folder)
        if named is None:
            raise SearchIndexError("this index has no collection yet; name one")
        self._name = name = check_name(named)
        if self._remote is None or name != self._remote.name:
            self._create(Remote(self._connected(), name))
        elif not self._claim():
            return Path(name)
        self._send()
        self._finish(structure)
        return Path(name)

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = Connection(self._uri, self._token)
        return self._connection

    def _noted(self, state: str, generation: int, commit: str) -> State:
        before = self._state
        return State(
            commit=commit,
            state=state if self._building is None else "building",
            generation=generation,
            dimension=self.dimension,
            kind=self.kind,
            target_recall=self.target_recall,
            id_type="str" if self._id_type is str else "int",
            next_id=self._next_id,
            next_number=self._base + self._pending.pending.count,
            model=self.model,
            build=self._building,
            searched=None if before is None else before.searched,
            fields=None if self.fields is None else dict(self.fields),
            keywords=None if self.keywords is None else asdict(self.keywords),
            source=self.source,
        )

    def _create(self, remote: Remote) -> None:
        """Create a collection, and copy the rows of the one that this comes from."""
        state = self._noted("saving", 1, secrets.token_hex(8))
        remote.create(state, milvus_index(self.kind))
        for found in self._windows(FIELDS):
            for _ in remote.upsert(self._with_words(found)):
                pass
        self._hidden = {number for number in self._hidden if number >= self._base}
        self._stored = remote.count()
        self._sent = 0
        self._remote, self._state, self._claimed = remote, state, True

    def _claim(self) -> bool:
        """Record that a save starts, and reserve its numbers and ids; False: nothing to save."""
        assert self._remote is not None
        assert self._state is not None
        noted = self._remote.state()
        if _commit_of(noted) != _commit_of(self._state):
            raise IndexChangedError(
                f"another process changed {self._remote} since it was opened (save {noted.generation}, opened "
                f"at {self._state.generation}); open it again"
            )
        if not self._claimed and not self._changed and noted.state == self._noted("ready", 0, "").state:
            return self._wants_tuning()
        commit = noted.commit if self._claimed else secrets.token_hex(8)
        state = self._noted("saving", noted.generation + (not self._claimed), commit)
        if state.id_type != noted.id_type and not self._stored and self._pending.pending.count:
            self._remote.replace_empty(state, milvus_index(self.kind))
        else:
            self._remote.note(state)
        self._state, self._claimed = state, True
        return True

    def _send(self) -> None:
        """Send unconfirmed pending rows, then deletions."""
        assert self._remote is not None
        local = np.flatnonzero(self._pending.live)
        local = local[local >= self._sent]
        for at in range(0, len(local), BATCH_ROWS):
            own = local[at : at + BATCH_ROWS]
            rows, vectors = self._pending.fetch(own.tolist()), self._pending.vectors.take(own)
            records = [
                record_of(rows[number], self._base + number, vector)
                for number, vector in zip(own.tolist(), vectors, strict=True)
            ]
            for confirmed in self._remote.upsert(self._with_words(records)):
                self._sent = int(own[confirmed - 1]) + 1
        self._remote.delete(sorted(self._hidden))

    def _with_words(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows in Milvus's form; for a hybrid index with their words."""
        if self.keywords is None:
            return records
        return [{**record, WORDS: written_words(record["text"])} for record in records]

    def _finish(self, structure: bool) -> None:
        assert self._remote is not None
        assert self._state is not None
        state = self._noted("ready", self._state.generation, self._state.commit)
        self._remote.note(state)
        self._state, self._claimed = state, False
        self._stored = self._remote.count()
        self._reset(state.next_number)
        if structure and self._wants_tuning():
            self._tune()

    # Compacting

    def _wants_tuning(self) -> bool:
        measured = None if self._state is None else self._state.measured
        if milvus_index(self.kind).effort is None or self._building is not None or self._stored < 2:
            return False
        return measured is None or self._stored > _AGAIN * measured.rows

    def _tune(self) -> None:
        assert self._remote is not None
        assert self._state is not None
        self._remote.settle()  # rows that are not indexed yet are searched exactly
        live = self.live()
        queries = beside(self._take(drawn(live).tolist())) if self.queries is None else self.queries
        index = milvus_index(self.kind)
        found = tune_effort(self._remote, self.kind, index, self.target_recall, len(live), queries, self._chunks())
        if found.recall < self.target_recall:
            say_once(
                f"{self.kind} reaches a recall of {found.recall:.3f} of the 10 nearest, below the requested "
                f"{self.target_recall}; try another kind: --kind flat or --kind hnsw",
                key=f"recall: {self._remote}",
            )
        self._state = replace(self._state, searched=asdict(found))
        self._remote.note(self._state)

    def compact(self, *, hybrid: bool | None = None) -> Path:
        """Save, ask the server to compact, and measure the recall again; Milvus removes deleted rows on its own."""
        if hybrid not in (None, self.keywords is not None):
            raise SearchIndexError(
                "the fields of a Milvus collection cannot change: build the index again with --hybrid"
            )
        name = self.save(structure=False)
        assert self._remote is not None
        self._remote.compact()
        if milvus_index(self.kind).effort is not None and self._stored > 1:
            self._tune()
        else:
            self._remote.settle()
        return name

    def verify(self) -> None:
        """Read every saved row and compare it with its checksum. Raises a `SearchIndexError` for a difference."""
        if self._remote is None:
            raise SearchIndexError("this index has no collection yet")
        state = self._remote.state()
        if state.state != "ready":
            raise SearchIndexError(f"{self._remote}: its last {state.state} has not finished; some rows may be missing")
        count = 0
        for found in self._remote.windows(state.next_number, FIELDS):
            for record in found:
                if not is_as_written(record):
                    raise SearchIndexError(
                        f"{self._remote} is damaged: row {record['number']} has changed since it was written"
                    )
            if len({record["number"] for record in found}) < len(found):
                raise SearchIndexError(f"{self._remote} is damaged: two rows have the same number")
            count += len(found)
        if count != (there := self._remote.count()):
            raise SearchIndexError(f"{self._remote} is damaged: {there} rows, {count} of them with a number of ours")

    def info(self) -> IndexInfo:
        """Summary of the index; segments are the server's, and bytes are known only for a file."""
        return IndexInfo(
            count=len(self),
            deleted=len(self._hidden),
            dimension=self.dimension,
            kind=self.kind,
            structure=None if self._state is None else self._state.measured,
            unindexed=0,
            segments=0,
            bytes=0 if self._remote is None else self._remote.bytes_on_disk(),
            generation=0 if self._state is None else self._state.generation,
            model=self.model,
            fields=self.fields,
            keywords=self.keywords is not None,
            source=self.source,
        )


def _commit_of(state: State) -> tuple[int, str]:
    return state.generation, state.commit
