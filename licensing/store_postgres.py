"""The shared ledger: PostgreSQL, on which several licensing processes may work at once."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import count
from typing import Any, TypeVar

import psycopg
import trio
from psycopg import conninfo
from psycopg.raw_cursor import RawCursor, RawServerCursor

from client_lib.errors import ConfigError, StorageError
from licensing.books.ledger import SqlLedger
from licensing.books.sql import Snapshot, Sql, Value
from licensing.group_commit import Outcome, open_write_queue
from licensing.migrations_postgres import STEPS
from licensing.pooled_ledger import PooledLedger

T = TypeVar("T")

OLDEST_SERVER = 14
READERS = 4
_FETCHED_AT_ONCE = 500

_WRITING, _MIGRATING = 0x616C_6275_6D01, 0x616C_6275_6D02
"""Advisory locks, by numbers of our own: one process at a time writes, or changes the schema."""

_BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# READ COMMITTED, whatever the database's default: each statement after the lock sees what its
# last holder committed. A snapshot taken while waiting for it would not.
_BEGIN_WRITING = (
    f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock({_WRITING})"
)
_BEGIN_MIGRATING = (
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '1h';"
    f" SELECT pg_advisory_xact_lock({_MIGRATING}), pg_advisory_xact_lock({_WRITING})"
)

_DEFAULTS = {
    "application_name": "albumswarm-licensing",
    "client_encoding": "UTF8",
    "connect_timeout": "10",
    # A server that vanished without a word is noticed within about a minute.
    "keepalives_idle": "20",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
"""Connection parameters, unless the URL has others."""

# The server takes the lock away from a process that was stopped in the middle of a transaction,
# and nobody waits for it for ever.
_SETTINGS = """
SET lock_timeout = '20s';
SET idle_in_transaction_session_timeout = '60s';
SET standard_conforming_strings = on;
SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off';
"""


@contextlib.asynccontextmanager
async def open_postgres_ledger(url: str, *, create: bool = False) -> AsyncIterator[SqlLedger]:
    """Open the ledger in the database at `url`, bring its schema up to date; close it afterwards.

    A connection that is lost is a StorageError to whoever used it, and is made again for the
    next. Raises ConfigError for what is no URL, StorageError naming host and database.
    """
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(
            contextlib.closing(await trio.to_thread.run_sync(_Connection, url))
        )
        await trio.to_thread.run_sync(writer.migrate, create)
        readers: list[_Connection] = []
        for _ in range(READERS):
            reader = await trio.to_thread.run_sync(_Connection, url)
            readers.append(stack.enter_context(contextlib.closing(reader)))
        async with open_write_queue(writer) as queue:
            yield PooledLedger(queue, readers, lambda: contextlib.closing(_Connection(url)))


@contextlib.contextmanager
def open_postgres_loader(url: str, steps: Sequence[str]) -> Iterator["_Connection"]:
    """Fill an empty database in one transaction, its schema at the first `steps`.

    Raises StorageError if it is not empty; an error leaves it as it was.
    """
    with (
        contextlib.closing(_Connection(url)) as connection,
        connection.transaction(_BEGIN_MIGRATING),
    ):
        if connection.applied_steps() is not None:
            raise StorageError(f"{connection.where} holds a ledger already")
        connection.apply_steps(tuple(steps))
        yield connection


def read_postgres_head(url: str) -> tuple[int, bytes] | None:
    """Number and hash of the last event (0 and b"" if there is none); None without a ledger."""
    with contextlib.closing(_Connection(url)) as connection, connection.transaction(_BEGIN_READING):
        if connection.applied_steps() is None:
            return None
        last = connection.rows("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1")
        return (last[0][0], last[0][1]) if last else (0, b"")


class _Connection:
    """One connection; never used by two threads at a time. Implements `Sql` and `GroupWriter`."""

    def __init__(self, url: str) -> None:
        self._parameters, self.where = _parse(url)
        self._cursor_names = count(1)
        self._connection = self._connect()
        # One for all statements: a new one each time would cost a third of the time of most.
        self._cursor = self._connection.cursor()

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        with self._storage_errors():
            connection = psycopg.connect(
                **self._parameters, autocommit=True, cursor_factory=RawCursor
            )
        try:
            with self._storage_errors():
                connection.execute(_SETTINGS)
                encoding = connection.info.parameter_status("server_encoding")
            if connection.info.server_version < OLDEST_SERVER * 10_000:
                raise StorageError(f"{self.where}: PostgreSQL {OLDEST_SERVER} or later is needed")
            if encoding != "UTF8":
                raise StorageError(f"{self.where}: the database's encoding is not UTF8")
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        self._connection.close()

    def migrate(self, create: bool) -> None:
        """Apply the steps that are missing; all of them only if `create`."""
        with self.transaction(_BEGIN_MIGRATING):
            applied = self.applied_steps()
            if applied is None and not create:
                raise StorageError(
                    f"there is no ledger in {self.where}: make one with `albumswarm-licensing "
                    "init --ledger URL`, or restore a backup into it with `restore --ledger URL`"
                )
            self.apply_steps(tuple(name for name, _ in STEPS), applied or ())

    def applied_steps(self) -> tuple[str, ...] | None:
        """Names of the steps applied, in order; None for a database without a ledger."""
        if self.rows("SELECT to_regclass('schema_steps')") == [(None,)]:
            return None
        return tuple(name for (name,) in self.rows("SELECT name FROM schema_steps ORDER BY number"))

    def apply_steps(self, wanted: tuple[str, ...], applied: tuple[str, ...] = ()) -> None:
        """Apply `wanted` beyond `applied`."""
        known = tuple(name for name, _ in STEPS)
        if known[: len(applied)] != applied or known[: len(wanted)] != wanted:
            raise StorageError(f"{self.where} is of a newer version of albumswarm")
        if not applied:
            self._connection.execute(
                'CREATE TABLE schema_steps (number BIGINT PRIMARY KEY, name TEXT COLLATE "C"'
                " NOT NULL UNIQUE)"
            )
        for number, (name, statements) in enumerate(STEPS[: len(wanted)], start=1):
            if number > len(applied):
                self._connection.execute(statements)
                self.rows("INSERT INTO schema_steps (number, name) VALUES (?, ?)", number, name)

    def rows(self, statement: str, *parameters: Value) -> list[tuple[Any, ...]]:
        cursor = self._cursor.execute(_numbered(statement), parameters)
        return cursor.fetchall() if cursor.description else []

    def stream(self, statement: str, *parameters: Value) -> Iterator[tuple[Any, ...]]:
        name = f"stream_{next(self._cursor_names)}"
        with RawServerCursor(self._connection, name) as cursor:
            cursor.execute(_numbered(statement), parameters)
            while found := cursor.fetchmany(_FETCHED_AT_ONCE):
                trio.from_thread.check_cancelled()
                yield from found

    def load(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
        """Add many rows at once."""
        with (
            self._storage_errors(),
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)

    def read(self, operation: Callable[[Snapshot], T]) -> T:
        with self.transaction(_BEGIN_READING):
            return operation(self)

    def commit_group(self, operations: list[Callable[[Sql], Any]]) -> list[Outcome]:
        with self.transaction(_BEGIN_WRITING):
            return [self._alone(operation) for operation in operations]

    def _alone(self, operation: Callable[[Sql], Any]) -> Outcome:
        self._cursor.execute("SAVEPOINT one")
        try:
            with self._storage_errors():
                outcome = Outcome(value=operation(self))
        except Exception as error:
            if self._connection.closed:
                raise  # nothing of the group was committed
            self._cursor.execute("ROLLBACK TO SAVEPOINT one")
            outcome = Outcome(error=error)
        self._cursor.execute("RELEASE SAVEPOINT one")
        return outcome

    @contextlib.contextmanager
    def transaction(self, begin: str) -> Iterator[None]:
        """Raises StorageError. One raised by the commit leaves open whether it took place."""
        with self._storage_errors():
            self._begin(begin)
            try:
                yield
                done = self._cursor.execute("COMMIT").statusmessage
            except BaseException:
                self._roll_back()
                raise
            if done != "COMMIT":
                raise StorageError(f"{self.where} rolled back what was to be committed")

    def _begin(self, begin: str) -> None:
        if not self._connection.closed:
            try:
                self._cursor.execute(begin)
            except psycopg.OperationalError:
                self._roll_back()
                if not self._connection.closed:
                    self._connection.close()  # it may have become a standby: look again
                    raise
            else:
                return
        # It was lost while nothing was under way, by a restart of the server, say.
        self._connection = self._connect()
        self._cursor = self._connection.cursor()
        try:
            self._cursor.execute(begin)
        except psycopg.Error:
            self._connection.close()
            raise

    def _roll_back(self) -> None:
        try:
            self._cursor.execute("ROLLBACK")
        except psycopg.Error:
            self._connection.close()

    @contextlib.contextmanager
    def _storage_errors(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise StorageError(f"{self.where}: {str(error).partition(chr(10))[0]}") from error


def _parse(url: str) -> tuple[dict[str, Any], str]:
    """Connection parameters, and host and database in words: the URL may hold a password."""
    try:
        given = conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # not shown: it repeats the URL
        raise ConfigError(
            "ledger is not a URL of PostgreSQL such as postgresql://user@host:5432/database"
        ) from None
    database = given.get("dbname") or given.get("user") or "its default"
    where = f"ledger {database} on PostgreSQL at {given.get('host') or 'this machine'}"
    return {**_DEFAULTS, **given}, where


@lru_cache(maxsize=1024)
def _numbered(statement: str) -> str:
    """`?` become `$1`, `$2`, …; the books have no other question marks."""
    first, *rest = statement.split("?")
    return first + "".join(f"${number}{part}" for number, part in enumerate(rest, start=1))
