"""A seeder node: customers come in, the policy decides, trackers hear of it."""

import datetime as dt
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import structlog
import trio

from client_lib.transport.credential import Credential
from seeder.announcing import Announcements
from seeder.catalogue import Catalogue
from seeder.fleet import Fleet
from seeder.origins.origin import Origin
from seeder.peers.listener import Listener
from seeder.peers.pace import Pace
from seeder.peers.swarm import Swarm
from seeder.piece_memory import PieceMemory
from seeder.shelf import Shelf
from seeder.spread import Tuning
from seeder.status import NodeState, NodeStatus, ReleaseStatus
from seeder.web_seed.hosting import Hosting

_INTERVAL_S = 0.5
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Policy:
    """How generous a node is. Rates in bytes/s.

    *thrifty* gives every piece once, and more only to customers who gain less than `min_rate`;
    *balanced* does so for those who gain less than ten times that; *fast* gives all it can.
    """

    name: str = "balanced"
    min_rate_bytes_s: int = 100_000

    def tuning(self) -> Tuning:
        """The policy in the figures of `Spread`."""
        floor = {
            "thrifty": self.min_rate_bytes_s,
            "balanced": 10 * self.min_rate_bytes_s,
            "fast": math.inf,
        }
        return Tuning(floor_bytes_s=floor[self.name])


class Node:
    """What is loaded, kept in step with customers, fleet and revocations."""

    def __init__(
        self,
        origin: Origin,
        catalogue: Catalogue,
        fleet: Fleet,
        credential: Credential,
        *,
        policy: Policy,
        pace: Pace,
        cache_bytes: int,
        clock: Callable[[], dt.datetime],
        rng: random.Random,
    ) -> None:
        """`clock` gives aware UTC."""
        self.credential = credential
        self.catalogue = catalogue
        self.fleet = fleet
        self.pace = pace
        self.shelf = Shelf(origin, catalogue, PieceMemory(cache_bytes), policy.tuning(), rng)
        fleet.on_change = self._share_out
        self._policy = policy
        self._clock = clock
        self._started_at = clock()

    async def run(self, announcements: Announcements) -> None:
        """Let the policy act twice a second, for ever."""

        def loaded(swarm: Swarm) -> None:
            swarm.spread.take_share(self.fleet.share(swarm.info_hash.hex[:40]))
            announcements.begin(swarm)

        self.shelf.on_loaded, self.shelf.on_put_away = loaded, announcements.end
        while True:
            now_s = trio.current_time()
            for here in list(self.shelf.loaded.values()):
                here.swarm.act(now_s, spare=self.pace.spare)
                await trio.lowlevel.checkpoint()
            self.shelf.put_idle_away(now_s)
            await trio.sleep(_INTERVAL_S)

    def snapshot(
        self, state: NodeState, listener: Listener, hosting: Hosting | None = None
    ) -> NodeStatus:
        """The node at this moment."""
        totals = self.shelf.uploaded()
        loaded = {here.swarm.name: here.swarm for here in self.shelf.loaded.values()}
        names = sorted(totals.keys() | loaded.keys() | self.shelf.problems.keys())
        releases = []
        for name in names:
            swarm, listing = loaded.get(name), self.catalogue.named(name)
            releases.append(
                ReleaseStatus(
                    name=name,
                    size_bytes=listing.size_bytes if listing else 0,
                    uploaded_bytes=swarm.counters.uploaded_bytes if swarm else 0,
                    uploaded_total_bytes=totals.get(name, 0),
                    customers=len(swarm.connections) if swarm else 0,
                    leechers=swarm.spread.leechers if swarm else 0,
                    copies=round(swarm.spread.copies, 2) if swarm else 0.0,
                    problem=self.shelf.problems.get(name),
                )
            )
        return NodeStatus(
            seeder_id=self.fleet.seeder_id,
            port=self.fleet.port,
            state=state,
            policy=self._policy.name,
            started_at=self._started_at,
            updated_at=self._clock(),
            certificate_expires_at=self.credential.certificate.not_valid_after_utc,
            catalogue_position=self.catalogue.position,
            uploaded_total_bytes=sum(totals.values()),
            customers=sum(release.customers for release in releases),
            refused_connections=listener.refused,
            releases=tuple(releases),
            web_seed_port=hosting.port if hosting else None,
            web_seed_bytes=hosting.web_seed.sent_bytes if hosting else 0,
        )

    def _share_out(self) -> None:
        for key, here in self.shelf.loaded.items():
            here.swarm.spread.take_share(self.fleet.share(key))
