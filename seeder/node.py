"""A seeder node: customers come in, the policy decides, trackers hear of it."""

import datetime as dt
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
import trio

from client_lib.transport.credential import Credential
from client_lib.wire.licence import LicenceId
from seeder.announcing import Announcements
from seeder.catalogue import Catalogue
from seeder.draining import (
    RETURN_S,
    SETTLED_S,
    DrainOrder,
    DrainState,
    forget_order,
    needs_node,
    write_order,
)
from seeder.fleet import Fleet
from seeder.origins.origin import Origin
from seeder.peers.pace import Pace
from seeder.peers.swarm import Swarm
from seeder.piece_memory import PieceMemory
from seeder.shelf import Shelf
from seeder.spread import Tuning

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
        return Tuning(floor_bytes_s=floor[self.name], min_rate_bytes_s=self.min_rate_bytes_s)


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
        self.order: DrainOrder | None = None
        self.drain_began_at = self.started_at = clock()
        self._awaited_s = 0.0
        self.drained = trio.Event()
        """Set when we may go."""
        self.policy = policy
        self._clock = clock

    async def run(self, announcements: Announcements) -> None:
        """Let the policy act twice a second, for ever."""

        def loaded(swarm: Swarm) -> None:
            swarm.spread.take_share(self.fleet.share(swarm.info_hash.hex[:40]))
            announcements.begin(swarm)

        self.shelf.on_loaded, self.shelf.on_put_away = loaded, announcements.end
        while True:
            now_s = trio.current_time()
            for here in list(self.shelf.loaded.values()):
                here.swarm.act(now_s, self.pace, spare=self.pace.spare and not self._hands_over)
                await trio.lowlevel.checkpoint()
            self.shelf.put_idle_away(now_s)
            self._look_whether_drained()
            await trio.sleep(_INTERVAL_S)

    async def drain(self, data: Path, order: DrainOrder) -> None:
        """Take no new customers, and set `drained` when nobody needs us or `order` says so.

        The order is on disk of folder `data` when this returns. Raises StorageError.
        """
        await trio.to_thread.run_sync(write_order, data, order)
        self._awaited_s = 0.0
        self._begin_draining(order)

    def go_on_draining(self, order: DrainOrder) -> None:
        """Drain by the order of a node that was killed: its customers have yet to come back."""
        self._awaited_s = RETURN_S if order.present else 0.0
        self._begin_draining(order)

    def _begin_draining(self, order: DrainOrder) -> None:
        self.order, self.drain_began_at = order, self._clock()
        self.fleet.set_draining(draining=True)
        log.info("draining", until=order.until, customers=len(order.present))

    async def stay(self, data: Path) -> None:
        """Take the order to drain back. Raises StorageError."""
        await trio.to_thread.run_sync(forget_order, data)
        if self.order is not None:
            self.order = None
            self._tune(self.policy.tuning())
            self.fleet.set_draining(draining=False)
            log.info("not draining any more")

    def takes(self, licence_id: LicenceId) -> bool:
        """Whether a customer is wanted: not a new one while we drain."""
        return self.order is None or licence_id in self.order.present

    @property
    def drain_state(self) -> DrainState | None:
        """How the drain goes, if there is one."""
        if self.order is None:
            return None
        alone = self.fleet.alone
        waiting_for = sum(
            needs_node(customer, self.policy.min_rate_bytes_s, alone=alone)
            for here in self.shelf.loaded.values()
            for customer in here.swarm.spread.customers
        )
        return DrainState(self.drain_began_at, self.order.until, alone, waiting_for)

    def _look_whether_drained(self) -> None:
        state = self.drain_state
        if state is None:
            return
        # Alone we serve on as ever; otherwise only those whom nobody else serves.
        policy = self.policy if state.alone else Policy("thrifty", self.policy.min_rate_bytes_s)
        self._tune(policy.tuning())
        now = self._clock()
        settled_s = SETTLED_S if self._leechers else self._awaited_s
        settled = (now - state.since).total_seconds() >= settled_s
        if now >= state.until or (settled and not state.waiting_for and self.fleet.told):
            if not self.drained.is_set():
                log.info("drained", unfinished=state.waiting_for)
            self.drained.set()

    @property
    def _hands_over(self) -> bool:
        return self.order is not None and not self.fleet.alone

    @property
    def _leechers(self) -> int:
        return sum(here.swarm.spread.leechers for here in self.shelf.loaded.values())

    def _tune(self, tuning: Tuning) -> None:
        if tuning != self.shelf.tuning:
            self.shelf.tuning = tuning
            for here in self.shelf.loaded.values():
                here.swarm.spread.tune(tuning)

    def _share_out(self) -> None:
        for key, here in self.shelf.loaded.items():
            here.swarm.spread.take_share(self.fleet.share(key))
