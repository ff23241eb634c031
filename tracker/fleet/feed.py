"""The demand feed: every change has a version, and who knows a version is told what came after.

Full answers would be 1.5 MB at 10,000 hot swarms, and 20 ms of work for every seeder and change;
what changed within a quarter of a second is a few swarms.
"""

import ipaddress
import math
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from itertools import takewhile
from typing import NamedTuple

import trio

from client_lib.wire.demand import Demand, RevokedPeer, SwarmDemand
from client_lib.wire.infohash import TruncatedInfoHash
from tracker.fleet.needs import LeftBytes, needs, worth_telling
from tracker.fleet.nodes import Fleet
from tracker.swarms.peers import Standing
from tracker.swarms.swarms import Swarms

REVOKED_KEPT_S = 3_600.0
COLD_KEPT_S = 3_600.0
MOST_REVOKED = 10_000
MOST_COLD = 50_000
_GATHER_S = 0.25
_LOOK_AROUND_S = 1.0
_REMEASURE_S = 10.0
"""What leechers have left moves without any count changing."""
_REMEASURED_A_S = 100
"""At most: 100 times 64 leechers of 4 µs are 3 % of the time. 1,000 swarms at once took half of it
for 0.8 s, with announces 0.2 s late."""
_SWARMS_A_TURN = 4


class _Hot(NamedTuple):
    version: int
    demand: SwarmDemand


class _Cold(NamedTuple):
    version: int
    since_s: float


class _Revoked(NamedTuple):
    version: int
    at_s: float
    peer: RevokedPeer


class DemandFeed:
    """What the seeders of one tracker process are told. `run` keeps it going."""

    def __init__(
        self,
        swarms: Swarms,
        fleet: Fleet,
        left_bytes: LeftBytes,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Watch `swarms`. Versions begin at the time in ms: no other run of ours had them."""
        self._swarms = swarms
        self._fleet = fleet
        self._left_bytes = left_bytes
        self._clock = clock
        self._first_version = self.version = int(clock() * 1_000)
        self._published = trio.Event()
        self._stirred = trio.Event()
        self._changed: set[TruncatedInfoHash] = set(swarms.info_hashes())
        # All three in the order of their versions, so that the newest are at the end.
        self._hot: dict[TruncatedInfoHash, _Hot] = {}
        self._cold: dict[TruncatedInfoHash, _Cold] = {}
        self._revoked: deque[_Revoked] = deque(maxlen=MOST_REVOKED)
        self._forgotten_version = 0
        if self._changed:
            self._stirred.set()

    @property
    def hot_swarms(self) -> int:
        """Count the swarms with leechers, as last published."""
        return len(self._hot)

    def swarm_changed(self, info_hash: TruncatedInfoHash) -> None:
        """`Swarms.on_change`. Quick."""
        self._changed.add(info_hash)
        self._stirred.set()

    def peers_expelled(self, info_hash: TruncatedInfoHash, entries: list[bytes]) -> None:
        """`Announcer.on_expelled`: tell the seeders where revoked peers were."""
        now_s = self._clock()
        version = self._next_version()
        for entry in entries:
            address = str(ipaddress.ip_address(entry[:-2]))
            port = int.from_bytes(entry[-2:], "big")
            peer = RevokedPeer(info_hash.hex(), address, port, int(now_s))
            if len(self._revoked) == MOST_REVOKED:
                self._forgotten_version = self._revoked[0].version
            self._revoked.append(_Revoked(version, now_s, peer))
        self._publish()

    def fleet_changed(self) -> None:
        """A seeder came, went, or says something new of itself."""
        self._next_version()
        self._publish()

    async def changed_since(self, version: int) -> None:
        """Wait until there is something that who knows `version` does not know."""
        await trio.lowlevel.checkpoint()
        while version == self.version:
            await self._published.wait()

    def since(self, version: int) -> Demand:
        """What came after `version`; all there is for 0, another run's or one too old."""
        full = not max(self._first_version, self._forgotten_version) <= version <= self.version
        known = -1 if full else version
        return Demand(
            self.version,
            full,
            self._fleet.members(),
            tuple(hot.demand for hot in _after(self._hot, known)),
            tuple(info_hash.hex() for info_hash, cold in self._cold.items()
                  if cold.version > known),
            tuple(each.peer for each in self._revoked if each.version > known),
        )  # fmt: skip

    async def run(self) -> None:
        """Publish changes, at most four times a second, and forget what is over; for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look_around)
            nursery.start_soon(self._remeasure)
            while True:
                await self._stirred.wait()
                self._stirred = trio.Event()
                changed, self._changed = self._changed, set()
                await self._measure(changed)
                await trio.sleep(_GATHER_S)

    async def _look_around(self) -> None:
        while True:
            await trio.sleep(_LOOK_AROUND_S)
            now_s = self._clock()
            if self._fleet.expire(now_s):
                self.fleet_changed()
            self._forget(now_s)

    async def _remeasure(self) -> None:
        due: list[TruncatedInfoHash] = []
        a_second = 1
        while True:
            await trio.sleep(1.0)
            if not due:
                due = list(self._hot)
                a_second = min(math.ceil(len(due) / _REMEASURE_S) or 1, _REMEASURED_A_S)
            await self._measure(due[-a_second:])
            del due[-a_second:]

    async def _measure(self, info_hashes: Collection[TruncatedInfoHash]) -> None:
        version = 0
        for turn, info_hash in enumerate(info_hashes):
            if turn % _SWARMS_A_TURN == _SWARMS_A_TURN - 1:
                # Others may publish meanwhile, with versions of their own.
                if version:
                    self._publish()
                    version = 0
                await trio.lowlevel.checkpoint()
            swarm = self._swarms.get(info_hash)
            before = self._hot.get(info_hash)
            if swarm is None or not swarm.counts[Standing.LEECHER]:
                if before is None:
                    continue
                del self._hot[info_hash]
                version = version or self._next_version()
                self._cold.pop(info_hash, None)
                self._cold[info_hash] = _Cold(version, self._clock())
                continue
            demand = needs(info_hash, swarm, self._left_bytes)
            if worth_telling(before.demand if before else None, demand):
                version = version or self._next_version()
                self._hot.pop(info_hash, None)
                self._cold.pop(info_hash, None)
                self._hot[info_hash] = _Hot(version, demand)
        if version:
            self._publish()

    def _forget(self, now_s: float) -> None:
        while self._revoked and now_s - self._revoked[0].at_s > REVOKED_KEPT_S:
            self._revoked.popleft()
        while self._cold:
            info_hash, oldest = next(iter(self._cold.items()))
            if len(self._cold) <= MOST_COLD and now_s - oldest.since_s <= COLD_KEPT_S:
                break
            del self._cold[info_hash]
            self._forgotten_version = max(self._forgotten_version, oldest.version)

    def _next_version(self) -> int:
        self.version += 1
        return self.version

    def _publish(self) -> None:
        self._published.set()
        self._published = trio.Event()


def _after(hot: dict[TruncatedInfoHash, _Hot], version: int) -> Iterator[_Hot]:
    """The newest ones, back to `version`."""
    return takewhile(lambda each: each.version > version, reversed(hot.values()))
