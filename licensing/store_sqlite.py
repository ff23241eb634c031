"""The embedded ledger: SQLite in WAL mode with FULL sync, one writer, a few readers."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import trio
from pysqlite3 import dbapi2
from sqlite_utils import Database

from client_lib.errors import StorageError
from client_lib.service.sqlite_files import create_private_file, require_safe_sqlite
from licensing.books.ledger import SqlLedger
from licensing.books.schema import Table, tables
from licensing.books.sql import Snapshot, Sql, Value
from licensing.group_commit import Outcome, open_write_queue
from licensing.migrations_sqlite import migrations, schema_steps
from licensing.pooled_ledger import PooledLedger

T = TypeVar("T")

READERS = 4
_SAFE = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")
_FETCHED_AT_ONCE = 500
_BUSY_TIMEOUT_S = 10  # another process (`revoke`, `api-key`) holds the write lock for moments


@contextlib.asynccontextmanager
async def open_sqlite_ledger(path: Path, *, create: bool = False) -> AsyncIterator[SqlLedger]:
    """Open the ledger in file `path`, bring its schema up to date; close it after the block.

    Raises StorageError naming the file. Several processes may have it open.
    """
    with contextlib.ExitStack() as stack:
        writer = await trio.to_thread.run_sync(_open_writer, path, create)
        stack.callback(writer.close)
        readers: list[_Connection] = []
        for _ in range(READERS):
            reader = await trio.to_thread.run_sync(_open_reader, path)
            stack.callback(reader.close)
            readers.append(reader)
        async with open_write_queue(writer) as queue:
            yield PooledLedger(queue, readers, lambda: contextlib.closing(_open_reader(path)))


@contextlib.contextmanager
def open_scratch(path: Path, *, steps: Sequence[str] | None = None) -> Iterator["_Scratch"]:
    """Make a database with our tables in `path`, to be filled quickly, in one transaction.

    It enforces no foreign keys, and a crash may ruin it until whoever asked for it has synced
    the file. `steps`: only these first steps of the schema. Raises StorageError.
    """
    create_private_file(path, "ledger")
    scratch = _Scratch(
        path,
        ("journal_mode = MEMORY", "synchronous = OFF", "foreign_keys = OFF", "cache_size = -65536"),
    )
    try:
        scratch.migrate(steps)
        with scratch.transaction("BEGIN EXCLUSIVE"):
            yield scratch
    finally:
        scratch.close()


def schema_tables(steps: Sequence[str] | None = None) -> tuple[Table, ...]:
    """The tables of a ledger after the first `steps` of the schema; None: after all."""
    with contextlib.closing(_Scratch(Path(":memory:"), ())) as scratch:
        scratch.migrate(steps)
        return tables(scratch)


class _Connection:
    """One connection; never used by two threads at a time. Implements `Sql` and `GroupWriter`."""

    def __init__(self, path: Path, pragmas: tuple[str, ...] = _SAFE) -> None:
        self._path = path
        with self._storage_errors():
            # isolation_level None: transactions are begun here, not by the driver's guesses.
            self._sqlite = dbapi2.connect(
                path, isolation_level=None, check_same_thread=False, timeout=_BUSY_TIMEOUT_S
            )
            try:
                for pragma in pragmas:
                    self._sqlite.execute(f"PRAGMA {pragma}")
            except dbapi2.Error:
                self._sqlite.close()
                raise

    def close(self) -> None:
        self._sqlite.close()

    def migrate(self, steps: Sequence[str] | None = None) -> None:
        """Bring the schema up to date, or only to the first `steps`."""
        with self._storage_errors():
            database = Database(self._sqlite, execute_plugins=False)
            applied = tuple(step.name for step in migrations.applied(database))
            known = schema_steps()
            wanted = known if steps is None else tuple(steps)
            if known[: len(applied)] != applied or known[: len(wanted)] != wanted:
                raise StorageError(f"ledger {self._path} is of a newer version of albumswarm")
            migrations.apply(database, stop_before=known[len(wanted) :])

    def read_only(self) -> None:
        with self._storage_errors():
            self._sqlite.execute("PRAGMA query_only = ON")

    def rows(self, statement: str, *parameters: Value) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self._sqlite.execute(statement, parameters).fetchall()
        return found

    def stream(self, statement: str, *parameters: Value) -> Iterator[tuple[Any, ...]]:
        cursor = self._sqlite.execute(statement, parameters)
        while found := cursor.fetchmany(_FETCHED_AT_ONCE):
            trio.from_thread.check_cancelled()
            yield from found

    def read(self, operation: Callable[[Snapshot], T]) -> T:
        with self.transaction("BEGIN"):
            return operation(self)

    def commit_group(self, operations: list[Callable[[Sql], Any]]) -> list[Outcome]:
        # IMMEDIATE: a deferred transaction that reads first and writes later may find that
        # another process wrote in between, and could only start again.
        with self.transaction("BEGIN IMMEDIATE"):
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
    def transaction(self, begin: str) -> Iterator[None]:
        with self._storage_errors():
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


class _Scratch(_Connection):
    """Tells what goes wrong with a single statement, and takes many rows at once."""

    def rows(self, statement: str, *parameters: Value) -> list[tuple[Any, ...]]:
        with self._storage_errors():
            return super().rows(statement, *parameters)

    def load(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        with self._storage_errors():
            self._sqlite.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)  # noqa: S608


def _open_writer(path: Path, create: bool) -> _Connection:
    require_safe_sqlite(dbapi2.sqlite_version_info)
    if create:
        create_private_file(path, "ledger")
    elif not path.is_file():
        raise StorageError(f"there is no ledger {path}")
    connection = _Connection(path)
    try:
        connection.migrate()
    except BaseException:
        connection.close()
        raise
    return connection


def _open_reader(path: Path) -> _Connection:
    connection = _Connection(path)
    connection.read_only()
    return connection
