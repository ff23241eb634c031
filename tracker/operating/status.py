"""How a tracker is doing: one record per worker, and all workers' together. JSON both."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from typing import Annotated

import msgspec

from client_lib.wire.demand import FleetMember
from tracker.accounting.amounts import DAY_S, Amounts

GB = 10**9
SHOWN_DAYS = 7
SHOWN_RELEASES = 20
SHOWN_FLAGS = 100
_Count = Annotated[int, msgspec.Meta(ge=0)]


class Moved(msgspec.Struct, frozen=True):
    """Bytes reported by customers and central seeders; `offload` is None while nothing moved.

    `offload` = 1 - `central_uploaded_bytes` / `downloaded_bytes`, see docs.
    """

    uploaded_bytes: _Count
    downloaded_bytes: _Count
    central_uploaded_bytes: _Count
    completions: _Count
    offload: float | None
    saved_bytes: _Count

    @classmethod
    def of(cls, amounts: Amounts) -> "Moved":
        """From accounts."""
        return cls(
            amounts.uploaded_bytes,
            amounts.downloaded_bytes,
            amounts.central_uploaded_bytes,
            amounts.completions,
            amounts.offload,
            amounts.saved_bytes,
        )

    @property
    def amounts(self) -> Amounts:
        """As accounts."""
        return Amounts(
            self.uploaded_bytes,
            self.downloaded_bytes,
            self.central_uploaded_bytes,
            self.completions,
        )


class Day(msgspec.Struct, frozen=True):
    """What moved on one UTC day."""

    date: dt.date
    moved: Moved


class ReleaseMoved(msgspec.Struct, frozen=True):
    """What moved today in one swarm. `name`: the torrent's; None before a customer came."""

    info_hash: str
    name: str | None
    moved: Moved


class PeerCounts(msgspec.Struct, frozen=True):
    """Live peers."""

    leechers: _Count
    complete: _Count
    """Customers with the whole album."""
    central: _Count


class CrlStatus(msgspec.Struct, frozen=True):
    """The revocation list that is in force. `age_s`: since licensing last confirmed it."""

    number: int | None
    revoked: _Count
    age_s: float | None
    current: bool


class FlagStatus(msgspec.Struct, frozen=True):
    """Something to look at, with evidence; nobody is banned for it."""

    kind: str
    subject: str
    evidence: str
    first_at: _Count
    last_at: _Count
    times: _Count


class _Status(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker tells of itself, and all of them together."""

    at: float
    """POSIX seconds."""
    uptime_s: float
    swarms: _Count
    hot_swarms: _Count
    peers: PeerCounts
    announces: dict[str, int]
    """Admitted announces by role, since the start."""
    refusals: dict[str, int]
    """Refused announces by reason, since the start."""
    events: dict[str, int]
    """What else the front ends counted, since the start."""
    crl: CrlStatus
    total: Moved
    days: tuple[Day, ...]
    releases: tuple[ReleaseMoved, ...]
    fleet: tuple[FleetMember, ...]
    flags: tuple[FlagStatus, ...]
    price_per_gb: float
    currency: str


class WorkerStatus(_Status, frozen=True, kw_only=True):
    """One worker process, at its address."""

    address: str


class TrackerStatus(_Status, frozen=True, kw_only=True):
    """All workers together. `crl` is the oldest; `silent` are workers that did not answer."""

    workers: tuple[str, ...]
    silent: tuple[str, ...]
    saved_money: float
    """`total.saved_bytes` at `price_per_gb`."""


def merged(workers: Iterable[WorkerStatus], silent: Iterable[str] = ()) -> TrackerStatus:
    """Put the workers of one tracker together. Raises ValueError if there is none."""
    all_ = list(workers)
    if not all_:
        raise ValueError("no worker")
    total = _sum(worker.total for worker in all_)
    days: dict[dt.date, Amounts] = {}
    releases: dict[tuple[str, str | None], Amounts] = {}
    for worker in all_:
        for day in worker.days:
            days[day.date] = days.get(day.date, Amounts()) + day.moved.amounts
        for each in worker.releases:
            key = (each.info_hash, each.name)
            releases[key] = releases.get(key, Amounts()) + each.moved.amounts
    busiest = sorted(
        releases.items(),
        key=lambda item: -(item[1].downloaded_bytes + item[1].central_uploaded_bytes),
    )
    flags = sorted((flag for worker in all_ for flag in worker.flags), key=lambda f: -f.last_at)
    # A seeder polls every worker: its latest word counts.
    fleet = {
        node.seeder_id: node
        for node in sorted((n for w in all_ for n in w.fleet), key=lambda n: n.heard_at)
    }
    newest = max(all_, key=lambda worker: worker.at)
    return TrackerStatus(
        workers=tuple(worker.address for worker in all_),
        silent=tuple(silent),
        at=newest.at,
        uptime_s=min(worker.uptime_s for worker in all_),
        swarms=sum(worker.swarms for worker in all_),
        hot_swarms=sum(worker.hot_swarms for worker in all_),
        peers=PeerCounts(
            sum(worker.peers.leechers for worker in all_),
            sum(worker.peers.complete for worker in all_),
            sum(worker.peers.central for worker in all_),
        ),
        announces=_added(worker.announces for worker in all_),
        refusals=_added(worker.refusals for worker in all_),
        events=_added(worker.events for worker in all_),
        crl=_oldest([worker.crl for worker in all_]),
        total=Moved.of(total),
        days=tuple(Day(date, Moved.of(amounts)) for date, amounts in sorted(days.items())),
        releases=tuple(
            ReleaseMoved(info_hash, name, Moved.of(amounts))
            for (info_hash, name), amounts in busiest[:SHOWN_RELEASES]
        ),
        fleet=tuple(node for _, node in sorted(fleet.items())),
        flags=tuple(flags[:SHOWN_FLAGS]),
        saved_money=total.saved_bytes / GB * newest.price_per_gb,
        price_per_gb=newest.price_per_gb,
        currency=newest.currency,
    )


def date_of(day: int) -> dt.date:
    """Date of a number of days since 1970."""
    return dt.datetime.fromtimestamp(day * DAY_S, dt.UTC).date()


def _sum(moved: Iterable[Moved]) -> Amounts:
    return sum((each.amounts for each in moved), Amounts())


def _added(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))


def _oldest(lists: list[CrlStatus]) -> CrlStatus:
    # None, of a worker that never had one, is older than any.
    return max(lists, key=lambda crl: float("inf") if crl.age_s is None else crl.age_s)
