"""How many seeders a store needs, what the customers carry, and what that costs. Pure.

A swarm's customers come as a Poisson process. While they download and while they seed afterwards
they are there, so that the numbers of both are Poisson too, with Little's means (the fluid model of
Qiu and Srikant, SIGCOMM 2004, whose effectiveness of sharing is 1 for albums of many pieces). What
the seeders have to add, so that all of n leechers gain rate r, follows from the bound of Kumar and
Ross (2006) on the time of a distribution, T >= max{F/u_s, F/d_min, n·F/(u_s + Σu)}. Customers who
are complete are servers like ours: with y of them, u_s + y·u >= max{r, n·(r - u)}.

Swarms differ in size: the k-th of the releases is bought in proportion to k^-s (Zipf).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import msgspec

GOODPUT = 0.954
"""Payload of a line's rate: 1448 of 1514 bytes, less TLS and BitTorrent framing. Measured."""
SPARE_NODES = 1
_DAYS_OF_MONTH = 30
_DEVIATIONS = 2.0
"""How far above the mean the fleet is laid out: swarms are independent, so that covers 97 %."""
_BINS_PER_DOUBLING = 4
_FEW, _MANY = 30.0, 1_000.0
"""With more leechers, or more complete customers, their numbers are taken for their means."""
_TAIL = 8.0  # standard deviations beyond which nobody is counted

_Positive = Annotated[float, msgspec.Meta(gt=0, le=1e15)]


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """What is planned for. Sizes in bytes, rates in bytes/s.

    `rate_bytes_s` is what every customer shall gain; `seeding_s` how long one stays when it is
    complete. `peak`: purchases in the busiest hour, over those in a mean hour. `releases`: among
    which the purchases fall, as unevenly as `zipf` says (0: evenly).
    """

    purchases_per_day: Annotated[float, msgspec.Meta(gt=0, le=1e9)]
    album_bytes: _Positive = 400e6
    rate_bytes_s: _Positive = 1e6
    upload_bytes_s: Annotated[float, msgspec.Meta(ge=0, le=1e12)] = 600e3
    seeding_s: Annotated[float, msgspec.Meta(ge=0, le=3.2e7)] = 7_200.0
    peak: Annotated[float, msgspec.Meta(ge=1, le=24)] = 2.5
    releases: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] = 10_000
    zipf: Annotated[float, msgspec.Meta(ge=0, le=3)] = 0.8
    line_bytes_s: _Positive = 125e6
    price_per_gb: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 0.0


class Plan(msgspec.Struct, frozen=True):
    """What follows. `seeder_bytes_s`: payload of all seeders in the peak hour, on average, and
    `laid_out_bytes_s` with room for chance; costs are a month's.
    """

    customers_online: float
    """In the peak hour: downloading and seeding."""
    demand_bytes_s: float
    seeder_bytes_s: float
    laid_out_bytes_s: float
    nodes: int
    """With one spare: a node may die, or drain."""
    offload_at_peak: float
    offload: float
    """Share of the month's bytes that customers carry."""
    delivered_gb: float
    seeder_gb: float
    cost: float
    cost_without_swarm: float


@dataclass(frozen=True, slots=True)
class _Load:
    """Of the seeders, over all swarms: mean in bytes/s, and variance."""

    mean: float
    variance: float


def plan(store: Store) -> Plan:
    """Work it out."""
    per_s = store.purchases_per_day / 86_400
    peak_per_s = per_s * store.peak
    usual, busy = _load(store, per_s), _load(store, peak_per_s)
    demand_bytes_s = peak_per_s * store.album_bytes
    laid_out = busy.mean + _DEVIATIONS * math.sqrt(busy.variance)
    delivered_gb = store.purchases_per_day * _DAYS_OF_MONTH * store.album_bytes / 1e9
    offload = 1 - usual.mean / (per_s * store.album_bytes)
    return Plan(
        customers_online=peak_per_s * (_download_s(store) + store.seeding_s),
        demand_bytes_s=demand_bytes_s,
        seeder_bytes_s=busy.mean,
        laid_out_bytes_s=laid_out,
        nodes=max(1, math.ceil(laid_out / (GOODPUT * store.line_bytes_s))) + SPARE_NODES,
        offload_at_peak=1 - busy.mean / demand_bytes_s,
        offload=offload,
        delivered_gb=delivered_gb,
        seeder_gb=delivered_gb * (1 - offload),
        cost=delivered_gb * (1 - offload) * store.price_per_gb,
        cost_without_swarm=delivered_gb * store.price_per_gb,
    )


def needed_bytes_s(leechers: float, complete: float, rate: float, upload: float) -> float:
    """What seeders have to add to a swarm, so that all of its leechers gain `rate`."""
    if leechers <= 0:
        return 0.0
    return max(0.0, _from_servers(leechers, rate, upload) - complete * upload)


def _from_servers(leechers: float, rate: float, upload: float) -> float:
    """What all who are complete have to send: a copy at `rate`, and what leechers lack."""
    return max(min(1.0, leechers) * rate, leechers * (rate - upload))


def _download_s(store: Store) -> float:
    return store.album_bytes / store.rate_bytes_s


def _load(store: Store, purchases_per_s: float) -> _Load:
    mean = variance = 0.0
    for count, share in _popularities(store.releases, store.zipf):
        one = _swarm(store, purchases_per_s * share)
        mean += count * one.mean
        variance += count * one.variance
    return _Load(mean, variance)


def _popularities(releases: int, zipf: float) -> Iterator[tuple[int, float]]:
    """How many releases have which share of the purchases each, neighbours taken together."""
    bins: list[tuple[int, float]] = []
    first = 1
    while first <= releases:
        after = max(first + 1, math.ceil(first * 2 ** (1 / _BINS_PER_DOUBLING)))
        count = min(after, releases + 1) - first
        bins.append((count, (first + (count - 1) / 2) ** -zipf))
        first += count
    total = sum(count * weight for count, weight in bins)
    for count, weight in bins:
        yield count, weight / total


def _swarm(store: Store, purchases_per_s: float) -> _Load:
    rate, upload = store.rate_bytes_s, store.upload_bytes_s
    leechers, complete = purchases_per_s * _download_s(store), purchases_per_s * store.seeding_s
    if leechers > _FEW or complete > _MANY:
        return _Load(needed_bytes_s(leechers, complete, rate, upload), leechers * rate**2)
    mean = square = 0.0
    seeding = tuple(_poisson(complete))
    for n, chance in _poisson(leechers):
        servers_send = _from_servers(n, rate, upload) if n else 0.0
        for others, with_them in seeding:
            needed = servers_send - others * upload
            if needed <= 0:
                break
            mean += chance * with_them * needed
            square += chance * with_them * needed**2
    return _Load(mean, max(0.0, square - mean**2))


def _poisson(mean: float) -> Iterator[tuple[int, float]]:
    """Numbers with their probabilities, those that nearly never happen left out."""
    if mean <= 0:
        yield 0, 1.0
        return
    width = _TAIL * math.sqrt(mean) + 10
    first, last = max(0, math.floor(mean - width)), math.ceil(mean + width)
    for number in range(first, last + 1):
        yield number, math.exp(number * math.log(mean) - mean - math.lgamma(number + 1))
