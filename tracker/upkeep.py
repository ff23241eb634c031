"""What a tracker does beside answering: forget silent peers and revoked ones, count in the log."""

import time
from collections.abc import Callable, Collection

import structlog
import trio

from tracker.accounting.ledger import Ledger
from tracker.announce import Announcer
from tracker.snapshot import Snapshot
from tracker.swarms.swarms import Swarms

_SWEEP_S = 10.0
_TALLY_S = 60.0


async def sweep(swarms: Swarms, clock: Callable[[], float] = time.time) -> None:
    """Forget silent peers for ever, a swarm at a time: announces get their turn in between."""
    while True:
        for info_hash in swarms.info_hashes():
            swarms.expire(info_hash, clock())
            await trio.lowlevel.checkpoint()
        await trio.sleep(_SWEEP_S)


async def log_tally(ledger: Ledger, swarms: Swarms) -> None:
    """Log the counters once a minute, if any of them has moved."""
    logged: dict[str, int] = {}
    while True:
        await trio.sleep(_TALLY_S)
        if ledger.counts != logged:
            logged = dict(ledger.counts)
            structlog.get_logger().info(
                "announces", swarms=len(swarms), peers=swarms.peers, **logged
            )


class Expulsion:
    """Takes the peers behind revoked certificates out of the swarms.

    Those whom admission remembers go at once. The others' peers came with a snapshot, or were
    pushed out of admission's memory: the snapshot knows whose they are.
    """

    def __init__(self, announcer: Announcer) -> None:
        """Take the announcer, which owns the swarms."""
        self._announcer = announcer
        self._revoked: frozenset[int] = frozenset()
        self._changed = trio.Event()

    def revoked(self, serials: Collection[int]) -> None:
        """Take all revoked serial numbers, whenever they have changed."""
        self._announcer.expel(serials)
        self._revoked = frozenset(serials)
        self._changed.set()

    async def follow(self, snapshot: Snapshot) -> None:
        """Look them up in the snapshot, for ever: the restored swarms' first, then the new ones."""
        known: frozenset[int] = frozenset()
        while True:
            self._changed = trio.Event()
            revoked = self._revoked
            self._announcer.expel_members(await snapshot.members(revoked - known))
            known = revoked
            await self._changed.wait()
