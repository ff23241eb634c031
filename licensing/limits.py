"""How much anybody may ask: the `[limits]` section of the configuration, and token buckets."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Annotated

import msgspec

_Rate = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
_Burst = Annotated[int, msgspec.Meta(ge=1, le=10**9)]
_KNOWN = 100_000
"""Addresses or devices that are remembered, about 300 bytes each."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class LimitsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[limits]`: rates a second, each with a burst that may come at once."""

    address_per_s: _Rate = 50.0
    """Requests of one address; an IPv6 network /64 counts as one."""
    address_burst: _Burst = 1_000
    device_per_s: _Rate = 10.0
    """Requests with one device secret or API key."""
    device_burst: _Burst = 1_000
    failures_per_s: _Rate = 0.2
    """Failed requests (statuses 400 to 422 that mean a wrong token, secret, id or body)."""
    failures_burst: _Burst = 60
    certificates_per_day: Annotated[int, msgspec.Meta(ge=2, le=10_000)] = 24
    """Certificates for one licence on one device; two are needed."""
    connections: Annotated[int, msgspec.Meta(ge=16, le=1_000_000)] = 4_096
    """Connections at a time; the one that has idled longest makes room."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks whose `X-Forwarded-For` is believed."""

    def __post_init__(self) -> None:
        """Check the networks. ValueError becomes a ConfigError naming the file."""
        self.proxies  # noqa: B018 - parses

    @property
    def proxies(self) -> tuple[Network, ...]:
        """`trusted_proxies`, parsed. Raises ValueError."""
        try:
            return tuple(ipaddress.ip_network(text) for text in self.trusted_proxies)
        except ValueError as error:
            raise ValueError(f"trusted_proxies: {error}") from error


class TokenBuckets:
    """A bucket of tokens for each key: `burst` at first, refilled with `per_s` a second.

    Remembers the `known` keys that were used last; a key that is forgotten has a full bucket.
    `clock`: seconds, monotonic.
    """

    def __init__(
        self, per_s: float, burst: int, *, clock: Callable[[], float], known: int = _KNOWN
    ) -> None:
        """Start with every bucket full."""
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._known = known
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def wait_s(self, key: Hashable) -> float:
        """0 if there is a token for `key`, else the seconds until there is. Takes none."""
        if key not in self._buckets:
            return 0.0
        missing = 1.0 - self._tokens(key, self._clock())
        return max(0.0, missing / self._per_s)

    def take(self, key: Hashable) -> float:
        """Take a token and return 0; or take none and return the seconds until there is one."""
        now = self._clock()
        tokens = self._tokens(key, now)
        if tokens < 1.0:
            return (1.0 - tokens) / self._per_s
        self._buckets[key] = (tokens - 1.0, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._known:
            self._buckets.popitem(last=False)
        return 0.0

    def _tokens(self, key: Hashable, now: float) -> float:
        tokens, at = self._buckets.get(key, (float(self._burst), now))
        return min(float(self._burst), tokens + (now - at) * self._per_s)

    def __len__(self) -> int:
        """Keys that are remembered."""
        return len(self._buckets)


def asker_key(host: str) -> str:
    """What counts as one address: an IPv4 address, an IPv6 /64, or the text if it is neither."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host[:64]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address)


def client_host(peer: str, forwarded_for: str, proxies: tuple[Network, ...]) -> str:
    """Who asks: the peer; behind trusted proxies the last forwarded address that is none of them.

    What a client writes into the header itself stands further left and is never reached.
    """
    host = peer
    for hop in reversed(forwarded_for.split(",")):
        if not _is_any_of(host, proxies) or not hop.strip():
            break
        host = hop.strip()
    return host


def _is_any_of(host: str, networks: tuple[Network, ...]) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return any(address.ipv4_mapped in network for network in networks)
    return any(address in network for network in networks)
