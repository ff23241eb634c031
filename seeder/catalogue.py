"""The catalogue: licensing's feed of published releases, followed and kept on disk.

In SQLite, because a node knows a million releases and serves a few hundred: looking one up takes
20 µs and no memory. Licensing may be away; what was read is enough to serve.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import trio
from pysqlite3 import dbapi2
from sqlite_utils import Database

from client_lib.errors import StorageError
from client_lib.transport.licensing_client import LicensingClient
from client_lib.wire.infohash import InfoHash
from client_lib.wire.licensing_api import CatalogueEntry, Sha256Hex
from client_lib.wire.release import TorrentName, TorrentNameField

_SCHEMA = """
CREATE TABLE IF NOT EXISTS releases (
    truncated TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    info_hash TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_sequence ON releases (sequence);
"""
_CATCH_UP_S = 2.0
_COLUMNS = "sequence, name, info_hash, size_bytes"


class Listing(msgspec.Struct, frozen=True):
    """What a seeder needs to know of a published release."""

    sequence: int
    name: TorrentNameField
    info_hash_hex: Sha256Hex
    size_bytes: int

    @property
    def info_hash(self) -> InfoHash:
        """The swarm."""
        return InfoHash.from_hex(self.info_hash_hex)

    @classmethod
    def of(cls, entry: CatalogueEntry) -> "Listing":
        """Keep what is needed of a feed's entry."""
        return cls(entry.sequence, entry.name, entry.info_hash, entry.size_bytes)


class Catalogue:
    """All releases published so far, as far as we have read the feed. Use from one thread."""

    def __init__(self, path: Path) -> None:
        """Open it, making it if need be. Blocking. Raises StorageError."""
        self._path = path
        with self._storage_errors():
            # check_same_thread: `refresh` writes in a worker thread while its caller waits.
            self._sqlite = dbapi2.connect(path, check_same_thread=False, timeout=10)
            self._sqlite.execute("PRAGMA journal_mode = WAL")
            self._database = Database(self._sqlite, execute_plugins=False)
            self._database.executescript(_SCHEMA)
        self.wanted = trio.Event()
        """Somebody waits for a release that is not known yet: read the feed now."""
        self._next_round = trio.Event()
        self._position = int(self._rows("SELECT COALESCE(MAX(sequence), 0) FROM releases")[0][0])

    def close(self) -> None:
        """Close the file."""
        self._sqlite.close()

    @property
    def position(self) -> int:
        """Sequence up to which the feed is known."""
        return self._position

    def __len__(self) -> int:
        """Count the releases."""
        return int(self._rows("SELECT COUNT(*) FROM releases")[0][0])

    def named(self, name: TorrentName) -> Listing | None:
        """A release by name."""
        return self._one(f"SELECT {_COLUMNS} FROM releases WHERE name = ?", name)  # noqa: S608

    def find(self, truncated_hex: str) -> Listing | None:
        """A release by its truncated info-hash, 40 hexadecimal digits."""
        return self._one(
            f"SELECT {_COLUMNS} FROM releases WHERE truncated = ?",  # noqa: S608
            truncated_hex,
        )

    async def catch_up(self) -> None:
        """Wait until the feed has been read once more, not for long if licensing is away."""
        self.wanted.set()
        with trio.move_on_after(_CATCH_UP_S):
            await self._next_round.wait()

    @contextlib.contextmanager
    def round(self) -> Iterator[None]:
        """A block in which the feed is read; whoever came to `catch_up` before it goes on after it.

        Releases that are wanted meanwhile are for the next round.
        """
        ended, self._next_round, self.wanted = self._next_round, trio.Event(), trio.Event()
        try:
            yield
        finally:
            ended.set()

    async def refresh(self, licensing: LicensingClient) -> int:
        """Read the feed to its end and return how many entries were new.

        Raises UnreachableError, LicensingRefused, StorageError; what was read until then is kept.
        """
        count = 0
        while True:
            page = await licensing.catalogue(self._position)
            new = [Listing.of(e) for e in page.entries if e.sequence > self._position]
            if not new:
                return count
            await trio.to_thread.run_sync(self._append, new)
            self._position = max(listing.sequence for listing in new)
            count += len(new)

    def _append(self, listings: list[Listing]) -> None:
        rows = [
            {
                "truncated": listing.info_hash_hex[:40],
                "name": listing.name,
                "info_hash": listing.info_hash_hex,
                "size_bytes": listing.size_bytes,
                "sequence": listing.sequence,
            }
            for listing in listings
        ]
        with self._storage_errors():
            self._database.table("releases").upsert_all(rows, pk="truncated")

    def _one(self, statement: str, key: str) -> Listing | None:
        rows = self._rows(statement, key)
        return Listing(*rows[0]) if rows else None

    def _rows(self, statement: str, *parameters: str) -> list[tuple[Any, ...]]:
        with self._storage_errors():
            found: list[tuple[Any, ...]] = self._sqlite.execute(statement, parameters).fetchall()
            return found

    @contextlib.contextmanager
    def _storage_errors(self) -> Any:  # noqa: ANN401 - a generator, decorated
        try:
            yield
        except dbapi2.Error as error:
            raise StorageError(f"catalogue {self._path}: {error}") from error
