"""Access to a Milvus collection: batches, retries, and errors of this package."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from simcse_kit.errors import SearchIndexError, require_extra
from simcse_kit.search.address import Address, check_name, masked, secrets_of
from simcse_kit.search.kinds import MilvusIndex
from simcse_kit.search.making import making
from simcse_kit.search.milvus.filters import literal
from simcse_kit.search.milvus.schema import BM25, PROPERTY, State, index_of, schema_of
from simcse_kit.search.rows import Id

BATCH_ROWS = 1000
BATCH_BYTES = 1 << 24  # a gRPC message may have 64 MiB
WINDOW = 500  # rows per read, with texts and vectors: an answer may have 100 MB
ATTEMPTS = 6
FIRST_WAIT = 0.2  # seconds before the second attempt; doubles each time
TIMEOUT = 60.0  # seconds per attempt
CONNECT = 10.0  # seconds to connect
_LONGEST = 4 * 3600  # seconds to wait for an index
MOST_HITS = 16_384  # Milvus's limit for a query
_TRANSIENT = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED"}  # gRPC status codes
_RATE_LIMIT = 8
_PRINTING = (
    "pymilvus.decorators",
    "milvus_lite.server_manager",
)  # they print a trace of each error, also before a retry


def is_lite(uri: str) -> bool:
    """Whether a uri is a file of Milvus Lite."""
    return "://" not in uri and not uri.startswith("unix:")


class Connection:
    """A Milvus server, or a file of Milvus Lite, which runs in threads of this process."""

    def __init__(self, uri: str, token: str | None = None, *, new: bool = True) -> None:
        """Connect. A missing file is created if it may be ``new``."""
        self.lite = is_lite(uri)
        require_extra("milvus", ["pymilvus", "milvus_lite"] if self.lite else ["pymilvus"], "an index in Milvus")
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its lines on standard error break a log of JSON
        from pymilvus import MilvusClient

        for name in _PRINTING:
            if (log := logging.getLogger(name)).level == logging.NOTSET:
                log.setLevel(logging.CRITICAL)
        if self.lite and not uri.endswith(".db"):
            raise SearchIndexError(
                f"the uri of Milvus must be a file named *.db or http://host:19530; got {masked(uri)!r}"
            )
        self.uri = uri
        self._secrets = secrets_of(uri, token)
        if self.lite:
            path = Path(uri).absolute()
            if not path.parent.is_dir():
                raise SearchIndexError(f"{uri}: the folder {path.parent} does not exist")
            if not new and not path.exists():
                raise SearchIndexError(
                    f"{uri} does not exist; make it with: simcse-kit index build MODEL FILE milvus:{uri}/NAME"
                )
            uri = str(path)
        try:
            self.client = MilvusClient(uri=uri, token=token or "", timeout=CONNECT)
        except Exception as error:  # pymilvus's own, gRPC's, and Milvus Lite's
            why = "; is another process using it?" if self.lite else ""
            raise SearchIndexError(self.masked(f"cannot open {self}: {error}{why}")) from self._shown(error)

    def call(self, method: str, *, timeout: float | None = TIMEOUT, **arguments: Any) -> Any:
        """Call a method of the client; retries errors that may pass."""
        attempt = 1
        while True:
            try:
                return getattr(self.client, method)(timeout=timeout, **arguments)
            except Exception as error:
                what = self.masked(f"{self}, {method}: {_said(error)}")
                if not _passing(error):
                    raise SearchIndexError(what) from self._shown(error)
                if attempt == ATTEMPTS:
                    raise SearchIndexError(
                        f"{what}; tried {ATTEMPTS} times. Unsaved changes are still in memory: save again"
                    ) from self._shown(error)
            time.sleep(FIRST_WAIT * 2 ** (attempt - 1))
            attempt += 1

    def __str__(self) -> str:
        return masked(f"Milvus at {self.uri}")

    def masked(self, text: str) -> str:
        """A text without the secrets of this connection."""
        return masked(text, *self._secrets)

    def _shown(self, error: Exception) -> Exception | None:
        """An error to chain in a traceback; None if it contains a secret."""
        return error if self.masked(str(error)) == str(error) else None


def _passing(error: Exception) -> bool:
    """Whether a retry may succeed: for no connection, a timeout or too many calls; not for a wrong argument."""
    import grpc  # type: ignore[import-untyped]
    from pymilvus.exceptions import ConnectError, MilvusException, MilvusUnavailableException

    if isinstance(error, ConnectionError | TimeoutError | ConnectError | MilvusUnavailableException):
        return True
    if isinstance(error, grpc.RpcError):
        code: Any = error.code() if callable(getattr(error, "code", None)) else None
        return getattr(code, "name", None) in _TRANSIENT
    if isinstance(error, MilvusException):
        if getattr(error, "is_input_error", False):
            return False
        return (
            error.code == _RATE_LIMIT
            or bool(getattr(error, "retriable", False))
            or getattr(error.code, "name", None) in _TRANSIENT
            or "Retry timeout" in str(error.message)
            or "Retry run out" in str(error.message)
        )
    return False


def _said(error: Exception) -> str:
    return str(getattr(error, "message", "") or error)


class Remote:
    """One of our collections."""

    def __init__(self, connection: Connection, name: str) -> None:
        self.connection = connection
        self.name = check_name(name)

    def __str__(self) -> str:
        return f"the collection {self.name} in {self.connection}"

    def _call(self, method: str, **arguments: Any) -> Any:
        return self.connection.call(method, collection_name=self.name, **arguments)

    def exists(self) -> bool:
        """Whether a collection of this name exists, ours or not."""
        return bool(self._call("has_collection"))

    def create(self, state: State, index: MilvusIndex) -> None:
        """Create it. Raises an error if the name is taken; the existing collection is unchanged."""
        if self.exists():
            raise SearchIndexError(
                f"{self} already holds an index or other data; open it and add to it, or choose another name"
            )
        client, lite = self.connection.client, self.connection.lite
        self._call(
            "create_collection",
            schema=schema_of(client, state, lite=lite),
            index_params=index_of(client, index, state, lite=lite),
            properties={PROPERTY: state.to_json()},
            consistency_level="Strong",
        )

    def replace_empty(self, state: State, index: MilvusIndex) -> None:
        """Replace it by an empty collection, for ids of the other type."""
        if self.count():
            raise SearchIndexError(f"{self} is no longer empty: another process added rows; open it again")
        self._call("drop_collection")
        self.create(state, index)

    def state(self) -> State:
        """Its recorded state. Raises an error if it is missing, not ours or from a newer version."""
        if not self.exists():
            raise SearchIndexError(
                f"{self} does not exist; make one with: simcse-kit index build MODEL FILE "
                f"{Address(self.name, self.connection.uri)}"
            )
        properties = self._call("describe_collection").get("properties") or {}
        if PROPERTY not in properties:
            raise SearchIndexError(f"{self} is not an index of simcse_kit: it lacks the property {PROPERTY}")
        return State.from_json(str(self), properties[PROPERTY])

    def load(self) -> None:
        """Ask the server to load it, if it is not loaded; may take long."""
        self._call("load_collection", timeout=None)

    def note(self, state: State) -> None:
        """Record a new state."""
        self._call("alter_collection_properties", properties={PROPERTY: state.to_json()})

    def count(self, expression: str = "") -> int:
        """Number of rows, or of those that match an expression."""
        found = self._call("query", filter=expression, output_fields=["count(*)"], consistency_level="Strong")
        return int(found[0]["count(*)"])

    def upsert(self, records: Sequence[dict[str, Any]]) -> Iterator[int]:
        """Send rows in batches; yields the number confirmed so far. Sending some again changes nothing."""
        at = 0
        while at < len(records):
            end, size = at, 0
            while end < len(records) and end - at < BATCH_ROWS:
                own = _bytes(records[end])
                if end > at and size + own > BATCH_BYTES:
                    break
                end, size = end + 1, size + own
            self._call("upsert", data=list(records[at:end]))
            at = end
            yield at

    def delete(self, numbers: Sequence[int]) -> None:
        """Delete rows by number; missing ones raise no error."""
        for at in range(0, len(numbers), BATCH_ROWS):
            self._call("delete", filter=f"number in {list(numbers[at : at + BATCH_ROWS])}")

    def query(self, expression: str, fields: Sequence[str]) -> list[dict[str, Any]]:
        """Rows that match an expression, in no order; few enough for one answer."""
        return list(self._call("query", filter=expression, output_fields=list(fields), consistency_level="Strong"))

    def windows(self, end: int, fields: Sequence[str], expression: str = "") -> Iterator[list[dict[str, Any]]]:
        """All rows with numbers below ``end``, in order, in batches."""
        step = WINDOW if "vector" in fields or "text" in fields else 8 * WINDOW
        for at in range(0, end, step):
            window = f"number >= {at} and number < {min(end, at + step)}"
            found = self.query(f"{window} and {expression}" if expression else window, [*fields, "number"])
            if found:
                yield sorted(found, key=lambda record: int(record["number"]))

    def by_id(self, ids: Sequence[Id], fields: Sequence[str]) -> list[dict[str, Any]]:
        """Rows with these ids."""
        found: list[dict[str, Any]] = []
        for at in range(0, len(ids), WINDOW):
            found += self.query(f"id in [{', '.join(map(literal, ids[at : at + WINDOW]))}]", fields)
        return found

    def by_number(self, numbers: Sequence[int], fields: Sequence[str]) -> list[dict[str, Any]]:
        """Rows with these numbers."""
        found: list[dict[str, Any]] = []
        for at in range(0, len(numbers), WINDOW):
            found += self.query(f"number in {list(numbers[at : at + WINDOW])}", [*fields, "number"])
        return found

    def search(
        self, queries: Any, k: int, expression: str, fields: Sequence[str], params: dict[str, int]
    ) -> list[list[Any]]:
        """The k nearest rows of unit queries (Q, D)."""
        found: list[list[Any]] = []
        step = max(1, min(1000, BATCH_BYTES // max(1, k * (4 * queries.shape[1] + 4096))))
        for at in range(0, len(queries), step):
            found += self._call(
                "search",
                data=list(queries[at : at + step]),
                anns_field="vector",
                limit=k,
                filter=expression,
                output_fields=[*fields, "number"],
                search_params={"metric_type": "IP", "params": params},
                consistency_level="Strong",
            )
        return found

    def search_words(self, queries: Sequence[str], k: int, expression: str) -> list[list[Any]]:
        """The k best rows of Q texts by BM25; words are separated by spaces."""
        found: list[list[Any]] = []
        for at in range(0, len(queries), WINDOW):
            found += self._call(
                "search",
                data=list(queries[at : at + WINDOW]),
                anns_field=BM25,
                limit=k,
                filter=expression,
                output_fields=["number"],
                search_params={"metric_type": "BM25"},
                consistency_level="Strong",
            )
        return found

    def bytes_on_disk(self) -> int:
        """Size of its files in Milvus Lite; 0 for a server, which does not report it."""
        if not self.connection.lite:
            return 0
        folder = Path(self.connection.uri) / "collections" / self.name
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    def compact(self) -> None:
        """Ask the server to compact; it decides when."""
        self._call("compact")

    def settle(self) -> None:
        """Flush new rows, and wait until the index covers all rows."""
        with making("Milvus makes its index"):
            self._call("flush", timeout=None)
            if self.connection.lite:  # the server indexes in the background; loading does it at once
                self._call("release_collection")
                self.load()
                return
            began = time.monotonic()
            while int(self._call("describe_index", index_name="vector").get("pending_index_rows", 0) or 0):
                if time.monotonic() - began > _LONGEST:
                    raise SearchIndexError(f"{self}: the index is not ready after {_LONGEST / 3600:g} hours")
                time.sleep(1)


def _bytes(record: dict[str, Any]) -> int:
    """Approximate size of a row in a message."""
    texts = len(record["text"]) + len(str(record["metadata"])) + sum(map(len, record["terms"]))
    return 4 * (texts + len(record["vector"])) + 256
