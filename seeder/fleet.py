"""What the trackers tell a node: which seeders live, and which swarms have customers.

Each tracker is polled for as long as we serve; the poll is our heartbeat there. A tracker that is
away keeps its last word: customers who know us go on.
"""

import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
import trio

from client_lib.errors import AnnounceRefused, UnreachableError
from client_lib.transport.demand_client import open_demand
from client_lib.wire.demand import Demand, DemandQuery, FleetMember, SwarmDemand
from client_lib.wire.placement import active_count, placed

_RETRY_S = (1.0, 30.0)
log = structlog.get_logger()


@dataclass(slots=True)
class TrackerView:
    """The last word of one tracker. `swarms` by truncated info-hash (hex): those with leechers."""

    version: int = 0
    fleet: tuple[FleetMember, ...] = ()
    swarms: dict[str, SwarmDemand] = field(default_factory=dict)

    def take(self, answer: Demand) -> None:
        """Bring it up to date with an answer."""
        if answer.full:
            self.swarms.clear()
        for info_hash in answer.cold:
            self.swarms.pop(info_hash, None)
        self.swarms.update((swarm.info_hash, swarm) for swarm in answer.swarms)
        self.version, self.fleet = answer.version, answer.fleet


@dataclass
class Fleet:
    """All trackers' views. `capacity` in bytes/s, 0 where it is not limited."""

    seeder_id: str
    port: int
    capacity: int
    trackers: tuple[str, ...]
    addresses: tuple[str, ...] = ()
    on_change: Callable[[], None] = field(default=lambda: None)
    draining: bool = False
    views: dict[str, TrackerView] = field(default_factory=dict)

    def share(self, truncated_hex: str) -> tuple[int, int] | None:
        """Our part of a swarm: (index, how many share it); None where we only stand by.

        Alone, as far as we know, we serve everything.
        """
        leechers = 0
        members: dict[str, FleetMember] = {}
        for view in self.views.values():
            demand = view.swarms.get(truncated_hex)
            leechers += demand.leechers if demand else 0
            for member in view.fleet:
                known = members.get(member.seeder_id)
                if known is None or known.heard_at < member.heard_at:
                    members[member.seeder_id] = member
        if members.keys() <= {self.seeder_id}:
            return 0, 1
        active = placed(truncated_hex, tuple(members.values()), active_count(leechers))
        for index, member in enumerate(active):
            if member.seeder_id == self.seeder_id:
                return index, len(active)
        return None

    async def follow(self, context: ssl.SSLContext, *, rng: random.Random) -> None:
        """Poll every tracker, for ever."""
        async with trio.open_nursery() as nursery:
            for url in self.trackers:
                nursery.start_soon(self._follow, url, context, rng)

    async def _follow(self, url: str, context: ssl.SSLContext, rng: random.Random) -> None:
        view = self.views[url] = TrackerView()
        retry_s, trouble = _RETRY_S[0], ""
        async with open_demand(url, context, self.seeder_id) as client:
            while True:
                query = DemandQuery(
                    port=self.port,
                    capacity=self.capacity,
                    draining=self.draining,
                    version=view.version,
                    addresses=self.addresses,
                )
                try:
                    answer = await client.poll(query)
                except (UnreachableError, AnnounceRefused) as error:
                    if str(error) != trouble:
                        trouble = str(error)
                        log.warning("tracker away", tracker=url, reason=trouble)
                    await trio.sleep(retry_s * rng.uniform(0.8, 1.2))
                    retry_s = min(2 * retry_s, _RETRY_S[1])
                    continue
                if trouble:
                    log.info("tracker back", tracker=url)
                retry_s, trouble = _RETRY_S[0], ""
                view.take(answer)
                self.on_change()
