"""Takes the status of a node from those who know."""

import collections
import datetime as dt
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import trio

from client_lib.wire.crl import RevocationList
from client_lib.wire.release import TorrentName
from seeder.node import Node
from seeder.origins.disk_cache import DiskCache
from seeder.peers.listener import Listener
from seeder.shelf import Loaded
from seeder.status import (
    CacheStatus,
    CostStatus,
    CrlStatus,
    LineStatus,
    MemoryStatus,
    NodeState,
    NodeStatus,
    ReleaseStatus,
    TrackerStatus,
)
from seeder.web_seed.hosting import Hosting

_RATE_WINDOW_S = 10.0
_SHOWN_RELEASES = 100


class RevocationKnowledge(Protocol):
    """`client_lib.transport.revocations.RevocationFeed`."""

    list: RevocationList | None

    def is_current(self, now_s: float) -> bool:
        """Whether the list is young enough to rely on."""

    def age_s(self, now_s: float) -> float | None:
        """Seconds since licensing confirmed the list, None without one."""


@dataclass
class Observer:
    """Gives the status of one node. `price_per_gb`: what 10^9 bytes from its line cost."""

    node: Node
    listener: Listener
    revocations: RevocationKnowledge
    clock: Callable[[], dt.datetime]
    limit_bytes_s: int = 0
    cache: DiskCache | None = None
    price_per_gb: float = 0.0
    currency: str = "EUR"
    web_seed: Hosting | None = None
    _samples: collections.deque[tuple[float, int]] = field(default_factory=collections.deque)

    def status(self, state: NodeState | None = None) -> NodeStatus:
        """The node at this moment; `state` where it is not plain whether it serves or drains."""
        node, listener = self.node, self.listener
        drain = node.drain_state
        releases = self._releases()
        totals = node.shelf.uploaded()
        total_bytes = sum(totals.values())
        return NodeStatus(
            seeder_id=node.fleet.seeder_id,
            port=node.fleet.port,
            state=state or (NodeState.DRAINING if drain else NodeState.SERVING),
            policy=node.policy.name,
            started_at=node.started_at,
            updated_at=self.clock(),
            certificate_expires_at=node.credential.certificate.not_valid_after_utc,
            catalogue_position=node.catalogue.position,
            uploaded_total_bytes=total_bytes,
            customers=sum(release.customers for release in releases),
            refused_connections=listener.refused.total(),
            releases=releases,
            refused=dict(listener.refused),
            revoked_cuts=listener.revoked_cuts,
            loaded_releases=len(node.shelf.loaded),
            line=LineStatus(self._rate(total_bytes), self.limit_bytes_s),
            fleet=node.fleet.members,
            trackers=tuple(
                TrackerStatus(url, view.trouble) for url, view in node.fleet.views.items()
            ),
            memory=self._memory(),
            crl=self._crl(),
            cost=CostStatus(
                self.price_per_gb, self.currency, round(total_bytes / 1e9 * self.price_per_gb, 2)
            ),
            cache=self._cache(),
            drain=drain,
            web_seed_port=self.web_seed.port if self.web_seed else None,
            web_seed_bytes=self.web_seed.web_seed.sent_bytes if self.web_seed else 0,
        )

    def _releases(self) -> tuple[ReleaseStatus, ...]:
        shelf = self.node.shelf
        totals = shelf.uploaded()
        loaded = {here.swarm.name: here for here in shelf.loaded.values()}
        most = heapq.nlargest(_SHOWN_RELEASES, totals, key=totals.__getitem__)
        names = sorted({*most, *loaded, *shelf.problems})
        return tuple(
            self._release(name, totals.get(name, 0), loaded.get(name), shelf.problems.get(name))
            for name in names
        )

    def _release(
        self, name: TorrentName, total_bytes: int, here: Loaded | None, problem: str | None
    ) -> ReleaseStatus:
        listing = self.node.catalogue.named(name)
        size_bytes = listing.size_bytes if listing else 0
        if here is None:
            return ReleaseStatus(name, size_bytes, 0, total_bytes, 0, 0, 0.0, problem=problem)
        swarm, spread = here.swarm, here.swarm.spread
        gained = spread.gained_bytes
        return ReleaseStatus(
            name=name,
            size_bytes=size_bytes,
            uploaded_bytes=swarm.counters.uploaded_bytes,
            uploaded_total_bytes=total_bytes,
            customers=len(swarm.connections),
            leechers=spread.leechers,
            copies=round(spread.copies, 2),
            gained_bytes=gained,
            offload=round(spread.elsewhere_bytes / gained, 4) if gained else None,
            problem=problem,
        )

    def _rate(self, total_bytes: int) -> int:
        now_s, samples = trio.current_time(), self._samples
        samples.append((now_s, total_bytes))
        while len(samples) > 2 and now_s - samples[1][0] >= _RATE_WINDOW_S:
            samples.popleft()
        began_s, before_bytes = samples[0]
        return int((total_bytes - before_bytes) / (now_s - began_s)) if now_s > began_s else 0

    def _memory(self) -> MemoryStatus:
        memory = self.node.shelf.memory
        return MemoryStatus(
            memory.used_bytes,
            memory.capacity_bytes,
            memory.hits,
            memory.misses,
            memory.damaged,
            memory.unreadable,
        )

    def _cache(self) -> CacheStatus | None:
        cache = self.cache
        if cache is None:
            return None
        return CacheStatus(
            cache.used_bytes,
            cache.capacity_bytes,
            cache.hits,
            cache.misses,
            cache.evictions,
            cache.trouble,
        )

    def _crl(self) -> CrlStatus:
        crl, now_s = self.revocations.list, self.clock().timestamp()
        age_s = self.revocations.age_s(now_s)
        return CrlStatus(
            None if crl is None else crl.number,
            0 if crl is None else len(crl.serials),
            None if age_s is None else round(age_s, 1),
            self.revocations.is_current(now_s),
        )
