"""Swarms that survive: written to disk every few seconds, read again at the start.

Only swarms that changed are written, and dumped one at a time, so that announces get their turn
in between. With them go the members behind the peers: after a restart nobody else knows whose
peers a newly revoked certificate's are.
"""

import time
from collections.abc import Callable, Collection

import structlog
import trio

from client_lib.errors import StorageError
from client_lib.wire.infohash import TruncatedInfoHash
from tracker.snapshot_store import SnapshotStore
from tracker.swarms.swarm import Swarm
from tracker.swarms.swarms import Swarms
from tracker.trust.admission import Member

MAX_NEW_MEMBERS = 100_000
"""Members that may wait for the next snapshot; a flood beyond it is announced again anyway."""


class Snapshot:
    """The swarms of this process, and their image on disk. One save at a time."""

    def __init__(
        self, store: SnapshotStore, swarms: Swarms, clock: Callable[[], float] = time.time
    ) -> None:
        """Take the open store, the swarms, and POSIX time."""
        self._store = store
        self._swarms = swarms
        self._clock = clock
        self._unsaved: set[TruncatedInfoHash] = set()
        self._new_members: dict[int, Member] = {}
        self._saving = trio.Lock()
        self._failing = False

    def note_member(self, member: Member) -> None:
        """Remember a certificate that was verified just now, to be saved with the swarms."""
        if len(self._new_members) < MAX_NEW_MEMBERS:
            self._new_members[member.serial] = member

    async def restore(self) -> None:
        """Fill the swarms from disk. What cannot be read is left out, with a warning."""
        log, peers, damaged = structlog.get_logger(), 0, 0
        try:
            rows = await trio.to_thread.run_sync(lambda: list(self._store.swarms()))
        except StorageError as error:
            log.warning("snapshot-unreadable", reason=str(error))
            return
        for info_hash, dumped in rows:
            try:
                swarm = Swarm.load(dumped, self._clock())
            except ValueError:
                damaged += 1
            else:
                peers += len(swarm)
                self._swarms.restore(info_hash, swarm)
            await trio.lowlevel.checkpoint()
        if rows:
            log.info("swarms-restored", swarms=len(self._swarms), peers=peers)
        if damaged:
            log.warning("snapshot-damaged", swarms_left_out=damaged)

    async def save(self) -> None:
        """Write what changed since the last time. Raises nothing: what fails is tried again."""
        async with self._saving:
            dirty = self._unsaved = self._swarms.take_dirty() | self._unsaved
            changed: dict[TruncatedInfoHash, bytes] = {}
            for info_hash in dirty:
                swarm = self._swarms.get(info_hash)
                if swarm is not None:
                    changed[info_hash] = swarm.dump()
                await trio.lowlevel.checkpoint()
            members, now_s = dict(self._new_members), self._clock()
            try:
                await trio.to_thread.run_sync(
                    self._store.write, changed, dirty - changed.keys(), members.values(), now_s
                )
            except StorageError as error:
                self._note(str(error))
            else:
                self._unsaved = set()
                for serial in members:
                    del self._new_members[serial]
                self._note(None)

    async def save_regularly(self, every_s: float) -> None:
        """Save for ever."""
        while True:
            await trio.sleep(every_s)
            await self.save()

    async def members(self, serials: Collection[int]) -> list[Member]:
        """Those of all saved members who have these serial numbers; none if the disk fails."""
        async with self._saving:
            try:
                return await trio.to_thread.run_sync(self._store.members, serials)
            except StorageError as error:
                self._note(str(error))
                return []

    def _note(self, failure: str | None) -> None:
        """Log the first of a row of failures, and its end."""
        if failure is not None and not self._failing:
            structlog.get_logger().warning("snapshot-failed", reason=failure)
        elif failure is None and self._failing:
            structlog.get_logger().info("snapshot-recovered")
        self._failing = failure is not None
