"""The swarms on disk: an SQLite file that a killed tracker starts again from."""

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
import structlog
from pysqlite3 import dbapi2
from sqlite_utils import Database

from client_lib.errors import StorageError
from client_lib.service.sqlite_files import create_private_file, require_safe_sqlite
from client_lib.wire.infohash import TruncatedInfoHash
from tracker.sqlite_errors import is_damage
from tracker.swarms.peers import Owner
from tracker.trust.admission import Member, Role
from tracker.unhurried import unhurried

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE swarms (info_hash BLOB PRIMARY KEY, peers BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE members (
    serial TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    member_id TEXT NOT NULL,
    owner BLOB NOT NULL,
    info_hash BLOB,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX members_by_end ON members (not_after);
"""
# NORMAL: a power cut may cost the last transactions, a kill costs none. EXCLUSIVE: a second
# tracker in the same folder is told so, instead of both overwriting each other's swarms.
_SWARMS_AT_ONCE = 40
_PRAGMAS = ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = NORMAL")


class SnapshotStore:
    """One connection; never used by two threads at a time. Its calls block: use a thread."""

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises StorageError; `Unusable` if it is no snapshot of ours."""
        require_safe_sqlite(dbapi2.sqlite_version_info)
        self._path = path
        create_private_file(path, "snapshot")  # there are customers' addresses in it
        with self._storage_errors():
            connection = dbapi2.connect(
                path, isolation_level=None, check_same_thread=False, timeout=1
            )
        self._db = Database(connection, execute_plugins=False)
        try:
            with self._storage_errors():
                for pragma in _PRAGMAS:
                    self._db.execute(f"PRAGMA {pragma}")
                self._check_or_make_tables()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._db.conn.close()

    def swarms(self) -> Iterator[tuple[TruncatedInfoHash, bytes]]:
        """Every swarm, as it was dumped. Raises StorageError."""
        with self._storage_errors():
            for info_hash, peers in self._db.execute("SELECT info_hash, peers FROM swarms"):
                yield TruncatedInfoHash(info_hash), peers

    def write(
        self,
        swarms: Mapping[TruncatedInfoHash, bytes],
        gone: Iterable[TruncatedInfoHash],
        members: Iterable[Member],
        now_s: float,
    ) -> None:
        """Replace some swarms, drop those that are gone, add members: all or nothing.

        Members whose certificates have expired are dropped. Raises StorageError.
        """
        with self._storage_errors(), self._db.atomic():
            execute = self._db.conn.executemany
            execute(
                "INSERT OR REPLACE INTO swarms VALUES (?, ?)",
                unhurried(swarms.items(), _SWARMS_AT_ONCE),
            )
            execute("DELETE FROM swarms WHERE info_hash = ?", ((each,) for each in gone))
            execute(
                "INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?, ?, ?)", map(_row, members)
            )
            self._db.execute("DELETE FROM members WHERE not_after < ?", (int(now_s),))

    def members(self, serials: Collection[int]) -> list[Member]:
        """Those whose certificates have these serial numbers. Raises StorageError."""
        wanted = msgspec.json.encode([f"{serial:x}" for serial in serials]).decode()
        with self._storage_errors():
            rows = self._db.execute(
                "SELECT * FROM members WHERE serial IN (SELECT value FROM json_each(?))", (wanted,)
            )
            return [_member(*row) for row in rows]

    def _check_or_make_tables(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0 and not self._db.table_names():
            with self._db.atomic():
                for statement in _SCHEMA.strip().split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        elif version != _SCHEMA_VERSION:
            raise Unusable(f"{self._path}: of another version of albumswarm")
        elif (check := self._db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise Unusable(f"{self._path}: {check}")

    @contextlib.contextmanager
    def _storage_errors(self) -> Iterator[None]:
        try:
            yield
        except dbapi2.OperationalError as error:
            if error.sqlite_errorcode == dbapi2.SQLITE_BUSY:
                raise StorageError(f"{self._path}: another tracker uses this folder") from error
            failed = Unusable if is_damage(error) else StorageError
            raise failed(f"{self._path}: {error}") from error
        except (dbapi2.Error, UnicodeDecodeError) as error:  # damage can be in a text of SQLite's
            raise Unusable(f"{self._path}: {error}") from error


class Unusable(StorageError):
    """The file is damaged, or no snapshot of this version."""


def open_snapshot_store(path: Path) -> SnapshotStore:
    """Open the snapshot in `path`; one that is unusable is moved aside, for a new one.

    Raises StorageError where not even a new one can be made.
    """
    try:
        return SnapshotStore(path)
    except Unusable as error:
        aside = move_aside(path)
        structlog.get_logger().warning(
            "snapshot-unusable",
            reason=str(error),
            kept_as=str(aside),
            consequence="the swarms fill again as their peers announce",
        )
        return SnapshotStore(path)


def move_aside(path: Path) -> Path:
    """Rename a snapshot with its journal to `….unusable`. Raises StorageError."""
    aside = path.with_name(path.name + ".unusable")
    try:
        path.rename(aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot move {path} aside: {error.strerror}") from error
    return aside


def _row(member: Member) -> tuple[str, str, str, bytes, bytes | None, int, int]:
    return (
        f"{member.serial:x}",
        member.role.value,
        member.member_id,
        member.owner,
        member.info_hash,
        int(member.not_before_s),
        int(member.not_after_s),
    )


def _member(
    serial: str,
    role: str,
    member_id: str,
    owner: bytes,
    info_hash: bytes | None,
    not_before: int,
    not_after: int,
) -> Member:
    return Member(
        Role(role),
        member_id,
        Owner(owner),
        None if info_hash is None else TruncatedInfoHash(info_hash),
        int(serial, 16),
        not_before,
        not_after,
    )
