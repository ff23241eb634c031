"""Keeps the ledger of traffic on disk: every few seconds, and nothing twice after a crash.

Counts of a run are added to what the file said when it began, so writing again repeats nothing.
Two files: one is written every few seconds and may be lost in a power cut, the other one is synced
once a minute. A sync each time would write out all the music that waits in the page cache.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import trio

from client_lib.download.traffic.file import RECENT_FILE, SYNCED_FILE, read_traffic
from client_lib.download.traffic.ledger import AlbumTraffic, StoredTraffic
from client_lib.download.traffic.totals import AlbumTotals
from client_lib.durable import write_atomically
from client_lib.errors import StorageError
from client_lib.wire.licence import LicenceId

_WRITE_S = 3.0
_SYNC_S = 60.0


class TrafficKeeper:
    """The ledger of the process that holds the library."""

    def __init__(self, folder: Path) -> None:
        """Go on with what is there. Raises StorageError."""
        self._folder = folder
        self._stored = read_traffic(folder)
        self._before = self._stored.albums
        self._synced_at_s = 0.0

    def before(self, licence_id: LicenceId) -> AlbumTraffic:
        """What earlier runs counted of a licence."""
        return self._before.get(licence_id, AlbumTraffic())

    async def run(self, totals: Mapping[LicenceId, AlbumTotals]) -> None:
        """Write what the albums count whenever it has changed, for ever."""
        self._synced_at_s = trio.current_time()
        while True:
            await trio.sleep(_WRITE_S)
            stored = self._now(totals)
            sync = trio.current_time() - self._synced_at_s >= _SYNC_S
            try:
                await trio.to_thread.run_sync(self._write, stored, sync)
            except StorageError:
                continue  # a full disk: what is counted is written when there is room
            if sync:
                self._synced_at_s = trio.current_time()

    def write_now(self, totals: Mapping[LicenceId, AlbumTotals]) -> None:
        """Write it, blocking, for the last word of a run. Raises StorageError."""
        self._write(self._now(totals), sync=True)

    def _now(self, totals: Mapping[LicenceId, AlbumTotals]) -> StoredTraffic:
        counted = {key: one.all_time for key, one in totals.items() if one.has_counted}
        return StoredTraffic(self._stored.revision + 1, {**self._before, **counted})

    def _write(self, stored: StoredTraffic, sync: bool) -> None:
        if stored.albums == self._stored.albums and not (sync and stored.albums):
            return
        path = self._folder / (SYNCED_FILE if sync else RECENT_FILE)
        data = msgspec.json.encode(stored)
        write_atomically(path, data, mode=0o600, power_cut_safe=sync)
        self._stored = stored
