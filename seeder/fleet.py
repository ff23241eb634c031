"""What the trackers tell a node: which seeders live, and which swarms have customers.

Each tracker is polled for as long as we serve; the poll is our heartbeat there. A tracker that is
away keeps its last word: customers who know us go on.
"""

import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import structlog
import trio

from client_lib.errors import AnnounceRefused, UnreachableError
from client_lib.transport.demand_client import DemandClient, open_demand
from client_lib.wire.demand import Demand, DemandQuery, FleetMember, SwarmDemand
from client_lib.wire.placement import active_count, placed

_RETRY_S = (1.0, 30.0)
_NOT_ASKED = "not asked yet"
log = structlog.get_logger()


@dataclass(slots=True)
class TrackerView:
    """The last word of one tracker. `swarms` by truncated info-hash (hex): those with leechers."""

    version: int = 0
    trouble: str | None = _NOT_ASKED
    """Why it does not answer, None while it does."""
    knows_draining: bool = False
    """What it was last told, and has answered to."""
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
    _polls: set[trio.CancelScope] = field(default_factory=set)

    def set_draining(self, draining: bool) -> None:
        """Tell the trackers at once that we leave, or that we stay after all."""
        self.draining = draining
        for poll in self._polls:
            poll.cancel()
        self.on_change()

    @property
    def told(self) -> bool:
        """Whether every tracker that answers knows if we drain."""
        return all(
            view.trouble is not None or view.knows_draining == self.draining
            for view in self.views.values()
        )

    @property
    def members(self) -> tuple[FleetMember, ...]:
        """All seeders that a tracker knows, by id, as heard last; of ourselves we know better."""
        members: dict[str, FleetMember] = {}
        for view in self.views.values():
            for member in view.fleet:
                known = members.get(member.seeder_id)
                if known is None or known.heard_at < member.heard_at:
                    members[member.seeder_id] = member
        if own := members.get(self.seeder_id):
            members[self.seeder_id] = msgspec.structs.replace(own, draining=self.draining)
        return tuple(members[seeder_id] for seeder_id in sorted(members))

    @property
    def alone(self) -> bool:
        """Whether no other node would take over from us, as far as we know."""
        return not any(
            member.seeder_id != self.seeder_id and not member.draining for member in self.members
        )

    def share(self, truncated_hex: str) -> tuple[int, int] | None:
        """Our part of a swarm: (index, how many share it); None where we only stand by.

        Alone, as far as we know, we serve everything.
        """
        leechers = 0
        for view in self.views.values():
            demand = view.swarms.get(truncated_hex)
            leechers += demand.leechers if demand else 0
        members = self.members
        if {member.seeder_id for member in members} <= {self.seeder_id}:
            return 0, 1
        if all(member.draining for member in members):  # then they share what there still is to do
            members = tuple(msgspec.structs.replace(each, draining=False) for each in members)
        active = placed(truncated_hex, members, active_count(leechers))
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
        retry_s = _RETRY_S[0]
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
                    answer = await self._poll(client, query)
                except (UnreachableError, AnnounceRefused) as error:
                    if str(error) != view.trouble:
                        view.trouble = str(error)
                        log.warning("tracker away", tracker=url, reason=view.trouble)
                    await trio.sleep(retry_s * rng.uniform(0.8, 1.2))
                    retry_s = min(2 * retry_s, _RETRY_S[1])
                    continue
                if answer is None:
                    continue
                if view.trouble not in (None, _NOT_ASKED):
                    log.info("tracker back", tracker=url)
                retry_s, view.trouble = _RETRY_S[0], None
                view.take(answer)
                view.knows_draining = query.draining
                self.on_change()

    async def _poll(self, client: DemandClient, query: DemandQuery) -> Demand | None:
        """Poll once; None if we have something new to say meanwhile."""
        answer = None
        with trio.CancelScope() as scope:
            self._polls.add(scope)
            try:
                answer = await client.poll(query)
            finally:
                self._polls.discard(scope)
        return answer
