"""The catalogue: licensing's feed of published releases, followed and kept on disk.

One JSON object a line, appended as releases are published, so that a node knows its releases when
licensing is away, and a large catalogue costs no rewriting. A torn last line (a crash) is dropped
and fetched again.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec
import trio

from client_lib.errors import StorageError
from client_lib.transport.licensing_client import LicensingClient
from client_lib.wire.infohash import InfoHash
from client_lib.wire.licensing_api import CatalogueEntry, Sha256Hex
from client_lib.wire.release import TorrentName, TorrentNameField


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
    """All releases published so far, as far as we have read the feed."""

    def __init__(self, path: Path) -> None:
        """Read what is on disk. Blocking. Raises StorageError."""
        self._path = path
        self._listings: dict[TorrentName, Listing] = {}
        self._position = 0
        self._load()

    @property
    def listings(self) -> Mapping[TorrentName, Listing]:
        """Releases by name; a read-only view that follows."""
        return MappingProxyType(self._listings)

    @property
    def position(self) -> int:
        """Sequence up to which the feed is known."""
        return self._position

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
            for listing in new:
                self._take(listing)
            count += len(new)

    def _take(self, listing: Listing) -> None:
        self._listings[listing.name] = listing
        self._position = max(self._position, listing.sequence)

    def _append(self, listings: list[Listing]) -> None:
        try:
            with self._path.open("ab") as file:
                file.write(b"".join(msgspec.json.encode(entry) + b"\n" for entry in listings))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(f"cannot write {self._path}: {error.strerror}") from error

    def _load(self) -> None:
        decoder = msgspec.json.Decoder(Listing)
        try:
            with self._path.open("r+b") as file:
                whole_bytes = 0
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    try:
                        self._take(decoder.decode(line))
                    except msgspec.DecodeError:
                        break
                    whole_bytes += len(line)
                file.truncate(whole_bytes)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(f"cannot read {self._path}: {error.strerror}") from error
