"""Accounts on disk: SQLite in WAL mode with FULL sync. Only this module knows SQL.

Totals and the sessions that they were counted from are written in one transaction, so a killed
tracker has both or neither: what it had not written is reported again, and counted once.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pysqlite3 import dbapi2
from sqlite_utils import Database, Migrations

from client_lib.errors import StorageError
from client_lib.service.sqlite_files import create_private_file, require_safe_sqlite
from client_lib.wire.infohash import TruncatedInfoHash
from tracker.accounting.amounts import Amounts
from tracker.accounting.sessions import RECORD_FORMAT
from tracker.sqlite_errors import is_damage
from tracker.trust.admission import Role
from tracker.unhurried import unhurried

_PRAGMAS = ("journal_mode = WAL", "synchronous = FULL")
_BUSY_TIMEOUT_S = 10

_migrations = Migrations("tracker-accounting")


@_migrations(name="first")
def _first(database: Database) -> None:
    database.executescript("""
        CREATE TABLE members (
            role TEXT NOT NULL,
            member_id TEXT NOT NULL,
            info_hash BLOB NOT NULL,
            uploaded_bytes INTEGER NOT NULL,
            downloaded_bytes INTEGER NOT NULL,
            completions INTEGER NOT NULL,
            PRIMARY KEY (member_id, role, info_hash)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE days (
            day INTEGER NOT NULL,
            info_hash BLOB NOT NULL,
            role TEXT NOT NULL,
            uploaded_bytes INTEGER NOT NULL,
            downloaded_bytes INTEGER NOT NULL,
            completions INTEGER NOT NULL,
            PRIMARY KEY (day, info_hash, role)
        ) STRICT, WITHOUT ROWID;
        CREATE VIEW amounts AS SELECT day, info_hash,
            CASE role WHEN 'licence' THEN uploaded_bytes ELSE 0 END AS uploaded,
            CASE role WHEN 'licence' THEN downloaded_bytes ELSE 0 END AS downloaded,
            CASE role WHEN 'seeder' THEN uploaded_bytes ELSE 0 END AS central,
            CASE role WHEN 'licence' THEN completions ELSE 0 END AS completed
            FROM days;
        CREATE TABLE releases (info_hash BLOB PRIMARY KEY, name TEXT NOT NULL)
            STRICT, WITHOUT ROWID;
        CREATE TABLE sessions (bucket INTEGER PRIMARY KEY, format INTEGER NOT NULL,
            records BLOB NOT NULL) STRICT;
    """)


class BrokenAccounts(StorageError):
    """The file is not a database, or not one any more."""


_EVER = -1
"""The day under which the sums of all days are kept: adding them up would take seconds."""
_STEPS = frozenset({"first"})
_ROWS_AT_ONCE = 400

# Saturated at 2^53: clients claim what they like, and a sum that overflows would stop us.
_ADD_TO_MEMBERS = """
    INSERT INTO members VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (member_id, role, info_hash)
    DO UPDATE SET
        uploaded_bytes = MIN(uploaded_bytes + excluded.uploaded_bytes, 9007199254740992),
        downloaded_bytes = MIN(downloaded_bytes + excluded.downloaded_bytes, 9007199254740992),
        completions = completions + excluded.completions
"""
_ADD_TO_DAYS = """
    INSERT INTO days VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (day, info_hash, role)
    DO UPDATE SET
        uploaded_bytes = MIN(uploaded_bytes + excluded.uploaded_bytes, 9007199254740992),
        downloaded_bytes = MIN(downloaded_bytes + excluded.downloaded_bytes, 9007199254740992),
        completions = completions + excluded.completions
"""


@dataclass(slots=True)
class Movement:
    """What one member moved in one swarm since the last batch."""

    role: Role
    member_id: str
    info_hash: TruncatedInfoHash
    name: str | None
    """The release's torrent name, where the certificate says it."""
    uploaded_bytes: int = 0
    downloaded_bytes: int = 0
    completions: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """What is written at once: movements of a day, and the buckets of sessions behind them."""

    day: int
    movements: Sequence[Movement]
    buckets: Sequence[tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class SwarmAmounts:
    """Amounts of one swarm; `name` is its release's torrent name, if a customer ever came."""

    info_hash: TruncatedInfoHash
    name: str | None
    amounts: Amounts


class AccountingStore:
    """One file of accounts. Blocking; never used by two threads at a time. Raises StorageError."""

    def __init__(self, path: Path) -> None:
        """Open the file, made with mode 0600 if it is missing, and bring its schema up to date."""
        self._path = path
        require_safe_sqlite(dbapi2.sqlite_version_info)
        create_private_file(path, "accounts")
        with self._storage_errors():
            self._sqlite = dbapi2.connect(
                path, isolation_level=None, check_same_thread=False, timeout=_BUSY_TIMEOUT_S
            )
        try:
            with self._storage_errors():
                for pragma in _PRAGMAS:
                    self._sqlite.execute(f"PRAGMA {pragma}")
                database = Database(self._sqlite, execute_plugins=False)
                applied = {step.name for step in _migrations.applied(database)}
                if applied - _STEPS:
                    raise StorageError(f"accounts {path} are of a newer version of albumswarm")
                _migrations.apply(database)
        except BaseException:
            self._sqlite.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._sqlite.close()

    def write(self, batch: Batch) -> None:
        """Add a batch, wholly or not at all."""
        moved = [
            (m.role.value, m.member_id, m.info_hash, m.uploaded_bytes, m.downloaded_bytes,
             m.completions)
            for m in batch.movements
        ]  # fmt: skip
        with self._transaction():
            self._many(_ADD_TO_MEMBERS, moved)
            for day in (batch.day, _EVER):
                self._many(_ADD_TO_DAYS, ((day, row[2], row[0], *row[3:]) for row in moved))
            self._many(
                "INSERT INTO releases VALUES (?, ?) ON CONFLICT DO NOTHING",
                {(m.info_hash, m.name) for m in batch.movements if m.name is not None},
            )
            self._many(
                "INSERT INTO sessions VALUES (?, ?, ?) ON CONFLICT (bucket)"
                " DO UPDATE SET format = excluded.format, records = excluded.records",
                ((bucket, RECORD_FORMAT, records) for bucket, records in batch.buckets if records),
            )
            self._many(
                "DELETE FROM sessions WHERE bucket = ?",
                ((bucket,) for bucket, records in batch.buckets if not records),
            )

    def sessions(self) -> list[tuple[int, bytes]]:
        """All buckets of sessions."""
        return self._rows("SELECT bucket, records FROM sessions WHERE format = ?", RECORD_FORMAT)

    def member(self, role: Role, member_id: str) -> Amounts:
        """What a licence or a seeder moved, ever, over all its swarms."""
        ((uploaded, downloaded, completions),) = self._rows(
            "SELECT COALESCE(SUM(uploaded_bytes), 0), COALESCE(SUM(downloaded_bytes), 0),"
            " COALESCE(SUM(completions), 0) FROM members WHERE role = ? AND member_id = ?",
            role.value,
            member_id,
        )
        if role is Role.SEEDER:
            return Amounts(central_uploaded_bytes=uploaded)
        return Amounts(uploaded, downloaded, 0, completions)

    def swarms(self, *, first_day: int, last_day: int, limit: int) -> list[SwarmAmounts]:
        """Amounts of the swarms that moved most in these days, largest first."""
        return self._swarms(
            """
            SELECT info_hash, name, SUM(uploaded), SUM(downloaded), SUM(central), SUM(completed)
            FROM amounts LEFT JOIN releases USING (info_hash) WHERE day BETWEEN ? AND ?
            GROUP BY info_hash ORDER BY SUM(downloaded + uploaded + central) DESC, info_hash
            LIMIT ?
            """,
            first_day,
            last_day,
            limit,
        )

    def suspects(self, *, slack: float, slack_bytes: int, limit: int) -> list[SwarmAmounts]:
        """Swarms whose uploads exceed their downloads by more than the slack, ever."""
        return self._swarms(
            """
            SELECT info_hash, name, SUM(uploaded), SUM(downloaded), SUM(central), SUM(completed)
            FROM amounts LEFT JOIN releases USING (info_hash) WHERE day = ? GROUP BY info_hash
            HAVING SUM(uploaded + central) > ? * SUM(downloaded) + ?
            ORDER BY SUM(uploaded + central) DESC, info_hash LIMIT ?
            """,
            _EVER,
            slack,
            slack_bytes,
            limit,
        )

    def days(self, *, first_day: int, last_day: int) -> dict[int, Amounts]:
        """Amounts of each UTC day in this range that has any."""
        found = self._rows(
            "SELECT day, SUM(uploaded), SUM(downloaded), SUM(central), SUM(completed)"
            " FROM amounts WHERE day BETWEEN ? AND ? GROUP BY day ORDER BY day",
            first_day,
            last_day,
        )
        return {day: Amounts(*amounts) for day, *amounts in found}

    def total(self) -> Amounts:
        """Amounts since the file was made."""
        return self.days(first_day=_EVER, last_day=_EVER).get(_EVER, Amounts())

    def _swarms(self, statement: str, *parameters: object) -> list[SwarmAmounts]:
        return [
            SwarmAmounts(TruncatedInfoHash(info_hash), name, Amounts(*amounts))
            for info_hash, name, *amounts in self._rows(statement, *parameters)
        ]

    def _rows(self, statement: str, *parameters: object) -> list[Any]:
        with self._storage_errors():
            found: list[Any] = self._sqlite.execute(statement, parameters).fetchall()
            return found

    def _many(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        self._sqlite.executemany(statement, unhurried(rows, _ROWS_AT_ONCE))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._storage_errors():
            self._sqlite.execute("BEGIN IMMEDIATE")
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
            kind = BrokenAccounts if is_damage(error) else StorageError
            raise kind(f"accounts {self._path}: {error}") from error
        except UnicodeDecodeError as error:  # damage in a text
            raise BrokenAccounts(f"accounts {self._path}: {error}") from error
