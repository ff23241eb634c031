"""Takes the status of this process from those who know."""

import time
from collections.abc import Callable
from typing import Protocol

from client_lib.wire.crl import RevocationList
from tracker.accounting.amounts import day_of
from tracker.accounting.ledger import Ledger
from tracker.accounting.store_sqlite import AccountingStore
from tracker.fleet.feed import DemandFeed
from tracker.fleet.nodes import Fleet
from tracker.operating.status import (
    SHOWN_DAYS,
    SHOWN_FLAGS,
    SHOWN_RELEASES,
    CrlStatus,
    Day,
    FlagStatus,
    Moved,
    PeerCounts,
    ReleaseMoved,
    WorkerStatus,
    date_of,
)
from tracker.swarms.swarms import Swarms

_ADMITTED, _REFUSED = "admitted_", "refused_"


class RevocationKnowledge(Protocol):
    """`client_lib.transport.revocations.RevocationFeed`."""

    list: RevocationList | None

    def is_current(self, now_s: float) -> bool:
        """Whether the list is young enough to rely on."""

    def age_s(self, now_s: float) -> float | None:
        """Seconds since licensing confirmed the list, None without one."""


class Observer:
    """Gives the status of one worker. The accounts are those on disk: a batch late."""

    def __init__(
        self,
        *,
        address: str,
        swarms: Swarms,
        ledger: Ledger,
        feed: DemandFeed,
        fleet: Fleet,
        revocations: RevocationKnowledge,
        price_per_gb: float,
        currency: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take whom to ask, and what 10^9 bytes cost. `address`: where this worker listens."""
        self._address = address
        self._swarms = swarms
        self._ledger = ledger
        self._feed = feed
        self._fleet = fleet
        self._revocations = revocations
        self._price_per_gb = price_per_gb
        self._currency = currency
        self._clock = clock
        self._started_s = clock()

    async def status(self) -> WorkerStatus:
        """How things stand. Raises StorageError."""
        now_s = self._clock()
        today = day_of(now_s)

        def accounts(
            store: AccountingStore,
        ) -> tuple[Moved, tuple[Day, ...], tuple[ReleaseMoved, ...]]:
            days = store.days(first_day=today - SHOWN_DAYS + 1, last_day=today)
            swarms = store.swarms(first_day=today, last_day=today, limit=SHOWN_RELEASES)
            return (
                Moved.of(store.total()),
                tuple(Day(date_of(day), Moved.of(amounts)) for day, amounts in days.items()),
                tuple(
                    ReleaseMoved(each.info_hash.hex(), each.name, Moved.of(each.amounts))
                    for each in swarms
                ),
            )

        total, days, releases = await self._ledger.read(accounts)
        leechers = complete = central = 0
        for info_hash in self._swarms.info_hashes():
            swarm = self._swarms.get(info_hash)
            if swarm is not None:
                counts = swarm.counts
                leechers += counts[0]
                complete += counts[1]
                central += counts[2]
        counted = self._ledger.counts
        crl = self._revocations.list
        return WorkerStatus(
            address=self._address,
            at=now_s,
            uptime_s=now_s - self._started_s,
            swarms=len(self._swarms),
            hot_swarms=self._feed.hot_swarms,
            peers=PeerCounts(leechers, complete, central),
            announces=_named(counted, _ADMITTED),
            refusals=_named(counted, _REFUSED),
            events={
                name: count
                for name, count in counted.items()
                if not name.startswith((_ADMITTED, _REFUSED))
            },
            crl=CrlStatus(
                None if crl is None else crl.number,
                0 if crl is None else len(crl.serials),
                self._revocations.age_s(now_s),
                self._revocations.is_current(now_s),
            ),
            total=total,
            days=days,
            releases=releases,
            fleet=self._fleet.members(),
            flags=tuple(
                FlagStatus(
                    flag.kind,
                    flag.subject,
                    flag.evidence,
                    int(flag.first_s),
                    int(flag.last_s),
                    flag.times,
                )
                for flag in self._ledger.flags.newest()[:SHOWN_FLAGS]
            ),
            price_per_gb=self._price_per_gb,
            currency=self._currency,
        )


def _named(counts: dict[str, int], prefix: str) -> dict[str, int]:
    return {
        name.removeprefix(prefix): count
        for name, count in counts.items()
        if name.startswith(prefix)
    }
