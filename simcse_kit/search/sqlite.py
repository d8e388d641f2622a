"""SQLite for the rows of an index: pages are checked before SQLite reads them, and errors name the file."""

from __future__ import annotations

import contextlib
import errno
import itertools
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from weakref import WeakValueDictionary

import apsw

from simcse_kit.errors import DamagedIndexError, SearchIndexError
from simcse_kit.search.blocks import BlockFile, Bytes

_STEPS = 10_000  # instructions of SQLite's machine between two looks at the clock, about a millisecond


class _Pages:
    """A block file for SQLite. It never changes, so it needs no locks."""

    def __init__(self, file: BlockFile) -> None:
        self._file = file

    def xRead(self, amount: int, offset: int) -> Bytes:
        """Read checked bytes."""
        self._file.check(offset, offset + amount)
        return self._file.content[offset : offset + amount]

    def xFileSize(self) -> int:
        return len(self._file.content)

    def xSectorSize(self) -> int:
        return 4096

    def xDeviceCharacteristics(self) -> int:
        return apsw.SQLITE_IOCAP_IMMUTABLE

    def xFileControl(self, op: int, pointer: int) -> bool:
        return False

    def xLock(self, level: int) -> None: ...

    def xUnlock(self, level: int) -> None: ...

    def xCheckReservedLock(self) -> bool:
        return False

    def xClose(self) -> None: ...


class _BlockFiles(apsw.VFS):
    """SQLite's file system for block files: a name stands for an open block file."""

    NAME = "simcse_kit_blocks"

    def __init__(self) -> None:
        super().__init__(self.NAME, "")
        self._files: WeakValueDictionary[str, BlockFile] = WeakValueDictionary()
        self._numbers = itertools.count()

    def named(self, file: BlockFile) -> str:
        """A name for a file, valid as long as the file lives."""
        name = f"/{next(self._numbers)}"
        self._files[name] = file
        return name

    def xFullPathname(self, name: str) -> str:
        return name

    def xAccess(self, name: str, flags: int) -> bool:
        return False  # no journal

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _Pages:  # type: ignore[override]
        assert isinstance(name, apsw.URIFilename)  # no temporary files are used
        return _Pages(self._files[name.filename()])


_VFS = _BlockFiles()


class Database(ABC):
    """A database; each of its connections is used by one thread at a time."""

    @abstractmethod
    def connection(self) -> AbstractContextManager[apsw.Connection]:
        """A connection that no other thread uses meanwhile."""


class OneConnection(Database):
    """A database in memory or being written: threads wait for one another."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._lock = threading.RLock()

    @classmethod
    def in_memory(cls, schema: str) -> OneConnection:
        """A new database."""
        connection = apsw.Connection(":memory:")
        connection.execute(schema).fetchall()
        return cls(connection)

    @classmethod
    @contextlib.contextmanager
    def to_new_file(cls, path: Path, schema: str) -> Iterator[OneConnection]:
        """A new database in an empty file, closed at the end; the caller makes it durable."""
        connection = apsw.Connection(str(path))
        try:
            connection.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + schema).fetchall()
            yield cls(connection)
        finally:
            connection.close()

    @contextlib.contextmanager
    def connection(self) -> Iterator[apsw.Connection]:
        """See `Database.connection`."""
        with self._lock:
            yield self._connection


class BlockDatabase(Database):
    """A read-only database in a block file: each reading thread has a connection, so that none waits."""

    def __init__(self, file: BlockFile) -> None:
        self._file = file
        self._name = _VFS.named(file)
        self._free = [self._connect()]

    def _connect(self) -> apsw.Connection:
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        connection = apsw.Connection(f"file:{self._name}?immutable=1", flags=flags, vfs=_VFS.NAME)
        connection.execute("PRAGMA temp_store = MEMORY").fetchall()
        return connection

    @contextlib.contextmanager
    def connection(self) -> Iterator[apsw.Connection]:
        """See `Database.connection`."""
        try:
            connection = self._free.pop()
        except IndexError:
            connection = self._connect()
        try:
            yield connection
        finally:
            self._free.append(connection)


@contextlib.contextmanager
def named(name: str) -> Iterator[None]:
    """Turn SQLite's errors into ours, with the name of the database."""
    try:
        yield
    except apsw.FullError as error:
        raise OSError(errno.ENOSPC, str(error)) from error  # `disk_full_named` gives a better error
    except apsw.IOError as error:
        raise OSError(errno.EIO, f"{name}: {error}") from error
    except (apsw.CorruptError, apsw.NotADBError, UnicodeDecodeError) as error:
        raise DamagedIndexError(f"{name} is damaged: {error}") from error
    except apsw.Error as error:
        raise SearchIndexError(f"SQLite cannot query {name}: {error}") from error


@contextlib.contextmanager
def until(deadline: float, connection: apsw.Connection) -> Iterator[None]:
    """Interrupt the connection at the deadline, by `time.monotonic`, with a ``TimeoutError``."""
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    try:
        yield
    except apsw.InterruptError as error:
        raise TimeoutError(str(error)) from error
    finally:
        connection.set_progress_handler(None)
