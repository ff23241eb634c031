"""The embedded ledger: SQLite in WAL mode with FULL sync, one writer, a few readers."""

import contextlib
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import trio
from pysqlite3 import dbapi2
from sqlite_utils import Database

from client_lib.errors import StorageError
from licensing.books.ledger import SqlLedger
from licensing.books.sql import Sql, Value
from licensing.group_commit import Outcome, WriteQueue, open_write_queue
from licensing.migrations_sqlite import migrations

T = TypeVar("T")

OLDEST_SQLITE = (3, 51, 3)
"""Versions from 3.7.0 to 3.51.2 can lose a WAL reset after a crash."""

READERS = 4
_BUSY_TIMEOUT_S = 10  # another process (`revoke`, `api-key`) holds the write lock for moments


@contextlib.asynccontextmanager
async def open_sqlite_ledger(path: Path, *, create: bool = False) -> AsyncIterator[SqlLedger]:
    """Open the ledger in file `path`, bring its schema up to date; close it after the block.

    Raises StorageError naming the file. Several processes may have it open.
    """
    with contextlib.ExitStack() as stack:
        writer = await trio.to_thread.run_sync(_open_writer, path, create)
        stack.callback(writer.close)
        readers: deque[_Connection] = deque()
        for _ in range(READERS):
            reader = await trio.to_thread.run_sync(_open_reader, path)
            stack.callback(reader.close)
            readers.append(reader)
        async with open_write_queue(writer) as queue:
            yield _SqliteLedger(queue, readers)


class _SqliteLedger(SqlLedger):
    def __init__(self, queue: WriteQueue, readers: "deque[_Connection]") -> None:
        self._queue = queue
        self._readers = readers
        self._limiter = trio.CapacityLimiter(len(readers))

    async def _write(self, operation: Callable[[Sql], T]) -> T:
        return await self._queue.write(operation)

    async def _read(self, operation: Callable[[Sql], T]) -> T:
        async with self._limiter:
            reader = self._readers.popleft()
            try:
                return await trio.to_thread.run_sync(reader.read, operation)
            finally:
                self._readers.append(reader)


class _Connection:
    """One connection; never used by two threads at a time. Implements `Sql` and `GroupWriter`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._storage_errors():
            # isolation_level None: transactions are begun here, not by the driver's guesses.
            self._sqlite = dbapi2.connect(
                path, isolation_level=None, check_same_thread=False, timeout=_BUSY_TIMEOUT_S
            )
            try:
                for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                    self._sqlite.execute(f"PRAGMA {pragma}")
            except dbapi2.Error:
                self._sqlite.close()
                raise

    def close(self) -> None:
        self._sqlite.close()

    def migrate(self) -> None:
        with self._storage_errors():
            migrations.apply(Database(self._sqlite, execute_plugins=False))

    def read_only(self) -> None:
        with self._storage_errors():
            self._sqlite.execute("PRAGMA query_only = ON")

    def rows(self, statement: str, *parameters: Value) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self._sqlite.execute(statement, parameters).fetchall()
        return found

    def read(self, operation: Callable[[Sql], T]) -> T:
        with self._storage_errors(), self._transaction("BEGIN"):
            return operation(self)

    def commit_group(self, operations: list[Callable[[Sql], Any]]) -> list[Outcome]:
        # IMMEDIATE: a deferred transaction that reads first and writes later may find that
        # another process wrote in between, and could only start again.
        with self._storage_errors(), self._transaction("BEGIN IMMEDIATE"):
            return [self._alone(operation) for operation in operations]

    def _alone(self, operation: Callable[[Sql], Any]) -> Outcome:
        self._sqlite.execute("SAVEPOINT one")
        try:
            with self._storage_errors():
                outcome = Outcome(value=operation(self))
        except Exception as error:
            if not self._sqlite.in_transaction:
                raise  # disk full or I/O error: SQLite rolled back the whole group
            self._sqlite.execute("ROLLBACK TO one")
            outcome = Outcome(error=error)
        self._sqlite.execute("RELEASE one")
        return outcome

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self._sqlite.execute(begin)
        try:
            yield
            self._sqlite.execute("COMMIT")
        except BaseException:
            if self._sqlite.in_transaction:
                self._sqlite.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _storage_errors(self) -> Iterator[None]:
        try:
            yield
        except dbapi2.Error as error:
            raise StorageError(f"ledger {self._path}: {error}") from error


def _open_writer(path: Path, create: bool) -> _Connection:
    if dbapi2.sqlite_version_info < OLDEST_SQLITE:
        raise StorageError(
            f"SQLite {dbapi2.sqlite_version} may lose writes (WAL reset): "
            f"{'.'.join(map(str, OLDEST_SQLITE))} or later is needed, as pysqlite3 brings it"
        )
    if create:
        _create_private(path)
    elif not path.is_file():
        raise StorageError(f"there is no ledger {path}")
    connection = _Connection(path)
    try:
        connection.migrate()
    except BaseException:
        connection.close()
        raise
    return connection


def _create_private(path: Path) -> None:
    # Created here, because SQLite would make it readable for everybody; its -wal and -shm
    # files take over the mode.
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StorageError(f"cannot create ledger {path}: {error.strerror}") from error


def _open_reader(path: Path) -> _Connection:
    connection = _Connection(path)
    connection.read_only()
    return connection
