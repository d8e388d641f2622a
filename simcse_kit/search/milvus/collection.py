"""A collection in Milvus: what is saved is there, what is not yet saved lies in memory over it."""

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

_AGAIN = 4  # a kind is tuned again when there are so many times the rows


class MilvusCollection(Overlay):
    """N texts with ids, metadata and unit vectors (N, D) in a collection of Milvus, by its name.

    As `Collection`: `add`, `update` and `delete` change memory, `save` sends the changes, and `open` reads what was
    saved. What differs:

    - A save is not one instant. Rows go in batches, deletions follow them, and others see each batch when it arrives. A
      save that fails, after trying again for a while, may be called again and goes on with what is not confirmed;
      sending a row twice changes nothing. After a process has died, what had arrived is there, the rest is not, and
      `verify` and the next `open` say so. Of two writers the one who saves second is refused, but two who begin within
      the same moment may both pass.
    - A search goes to the server, and sees what others have saved by then; `rows`, the count and new numbers are as of
      opening, or `refresh`.
    - Saving under another name copies, and that is not resumed.
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
        self._connection: Connection | None = None  # made when it is needed
        self._name: str | None = None  # where the first save goes, unless another place is named
        self._building: str | None = None  # fingerprint of what is being built
        self._claimed = False  # a save has begun and has not finished

    @property
    def most_hits(self) -> int:
        """See `BaseCollection.most_hits`."""
        return MOST_HITS

    # Opening

    @classmethod
    def open(cls, name: str | Path, *, uri: str, token: str | None = None) -> MilvusCollection:
        """Open a collection that `save` made.

        Raises:
            SearchIndexError: none of that name, one that is not ours, a newer format, or an unfinished build.
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
                f"a save to {remote} has begun and has not finished: what was sent is there, the rest is not, unless "
                "somebody is saving just now",
                key=f"saving: {remote}",
            )
        collection = cls(state.dimension, state.kind, state.target_recall, uri=remote.connection.uri, token=token)
        collection._connection, collection._remote, collection._name = remote.connection, remote, remote.name
        remote.load()
        collection._take_over(state)
        return collection

    def _take_over(self, state: State) -> None:
        """Be as the collection is now."""
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
        if self._remote is not None and self._claimed:  # these numbers are nobody else's
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
        """A new collection, which the first `save` makes, or what an interrupted build of this ``fingerprint`` left.

        Until `finish` only a build opens it.

        Raises:
            SearchIndexError: the name is taken, by a complete index or by a build of something else.
        """
        new = cls(dimension, kind, target_recall, hybrid=hybrid, uri=uri, token=token)
        new.model, new._building = model, fingerprint
        remote = Remote(new._connected(), name)
        if not remote.exists():
            new._name = name
            return new
        state = remote.state()
        if state.state != "building":
            raise SearchIndexError(f"{remote} is there already; choose another name, or add to it")
        if (state.build, state.model.get("fingerprint")) != (fingerprint, model.get("fingerprint")):
            raise SearchIndexError(
                f"{remote} is an unfinished build of other files, with other options or another model; run that one "
                "again, choose another name, or drop the collection with pymilvus"
            )
        found = cls._of(remote, state, token)
        found._trim()
        return found

    def _trim(self) -> None:
        """Keep the rows up to the first that did not arrive: rows are numbered as they are read, from 0."""
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
        """End a build: from now on it is an index like others."""
        self._building = None
        self.save()

    # Saving

    def save(self, folder: str | Path | None = None, *, structure: bool = True) -> Path:
        """Send what has changed to the collection of this name (None: as opened or saved last); returns the name.

        A failure leaves what was not confirmed pending: call it again. ``structure`` False leaves the measuring of the
        recall to a later save.

        Raises:
            SearchIndexError: no name yet, something else there, a save by somebody else since opening, or a server that
                does not answer.
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
        """Make a collection, and copy what is in the one that this comes from."""
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
        """Say that a save begins, with numbers and ids that nobody else gives from now on; False: nothing to save."""
        assert self._remote is not None
        assert self._state is not None
        noted = self._remote.state()
        if _commit_of(noted) != _commit_of(self._state):
            raise IndexChangedError(
                f"{self._remote} was changed by somebody else since it was opened (save {noted.generation}, opened at "
                f"{self._state.generation}); open it again"
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
        """Send pending rows that are not confirmed, then deletions."""
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
        """Rows as Milvus takes them, of a hybrid index with their words."""
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

    # Tidying

    def _wants_tuning(self) -> bool:
        measured = None if self._state is None else self._state.measured
        if milvus_index(self.kind).effort is None or self._building is not None or self._stored < 2:
            return False
        return measured is None or self._stored > _AGAIN * measured.rows

    def _tune(self) -> None:
        assert self._remote is not None
        assert self._state is not None
        self._remote.settle()  # what has no index yet is searched exactly
        live = self.live()
        queries = beside(self._take(drawn(live).tolist())) if self.queries is None else self.queries
        index = milvus_index(self.kind)
        found = tune_effort(self._remote, self.kind, index, self.target_recall, len(live), queries, self._chunks())
        if found.recall < self.target_recall:
            say_once(
                f"{self.kind} finds {found.recall:.3f} of the 10 nearest at best, less than the recall of "
                f"{self.target_recall} that was asked for; another kind may: --kind flat or --kind hnsw",
                key=f"recall: {self._remote}",
            )
        self._state = replace(self._state, searched=asdict(found))
        self._remote.note(self._state)

    def compact(self, *, hybrid: bool | None = None) -> Path:
        """Save, ask the server to tidy up, and measure the recall anew; Milvus drops deleted rows by itself."""
        if hybrid not in (None, self.keywords is not None):
            raise SearchIndexError(
                "the fields of a collection in Milvus stay as they are: build it again, with --hybrid"
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
        """Read every row that is saved and compare it with its checksum; a difference is a `SearchIndexError`."""
        if self._remote is None:
            raise SearchIndexError("this index has no collection yet")
        state = self._remote.state()
        if state.state != "ready":
            raise SearchIndexError(
                f"{self._remote}: its last {state.state} has not finished; not all rows may be there"
            )
        count = 0
        for found in self._remote.windows(state.next_number, FIELDS):
            for record in found:
                if not is_as_written(record):
                    raise SearchIndexError(f"{self._remote} is damaged: row {record['number']} is not what was written")
            if len({record["number"] for record in found}) < len(found):
                raise SearchIndexError(f"{self._remote} is damaged: two rows have one number")
            count += len(found)
        if count != (there := self._remote.count()):
            raise SearchIndexError(f"{self._remote} is damaged: {there} rows, {count} of them with a number of ours")

    def info(self) -> IndexInfo:
        """What it holds; segments are the server's, and bytes are known of a file only."""
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
