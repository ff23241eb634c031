"""What is too strange to be left unsaid: evidence for a person, never a verdict. Pure.

Counters are the clients' own words. A modified client may claim anything, and accounts must not
be taken for measurements; so what contradicts itself is shown in `status`, and nobody is banned.
"""

from tracker.accounting.amounts import Amounts

RATE_SLACK_BYTES = 64 << 20
"""What clients count in lumps, and what the network still has in flight."""
UNMATCHED_SLACK_BYTES = 1 << 30
"""Downloads that were not reported yet: a client that vanishes never says its last bytes."""
UNMATCHED_SLACK = 1.1
MANY_NETWORKS = 6
"""A household, a mobile phone and an office make three."""
NETWORKS_WITHIN_S = 86_400


def possible_bytes(elapsed_s: int, line_rate: int) -> int:
    """What a line of `line_rate` bytes/s can have moved in one direction, with some slack."""
    return RATE_SLACK_BYTES + line_rate * max(elapsed_s, 1)


def impossible_rate(moved_bytes: int, elapsed_s: int, line_rate: int) -> str:
    """Evidence of more than `possible_bytes`."""
    rate = moved_bytes // max(elapsed_s, 1)
    return f"{moved_bytes} bytes within {elapsed_s} s: {rate} bytes/s, a line has {line_rate}"


def unmatched_uploads(amounts: Amounts) -> str | None:
    """Evidence that a swarm uploaded what nobody downloaded, or None."""
    uploaded = amounts.uploaded_bytes + amounts.central_uploaded_bytes
    if uploaded <= amounts.downloaded_bytes * UNMATCHED_SLACK + UNMATCHED_SLACK_BYTES:
        return None
    return (
        f"customers uploaded {amounts.uploaded_bytes} bytes and central seeders "
        f"{amounts.central_uploaded_bytes}, but only {amounts.downloaded_bytes} were downloaded"
    )


def network_of(address: bytes) -> bytes:
    """The part of a packed address that a household keeps: /24 of IPv4, /64 of IPv6."""
    return address[:3] if len(address) == 4 else address[:8]


class Networks:
    """From how many networks each licence was started lately. Bounded: the oldest are forgotten."""

    def __init__(self, *, remembered: int = 20_000) -> None:
        """Remember at most so many licences, 0.4 kB each."""
        self._remembered = remembered
        self._seen: dict[bytes, dict[bytes, float]] = {}

    def note(self, owner: bytes, address: bytes, now_s: float) -> str | None:
        """Take the beginning of a session; evidence if `owner` had too many networks, or None."""
        seen = self._seen.pop(owner, None)
        if seen is None:
            seen = {}
            if len(self._seen) >= self._remembered:
                del self._seen[next(iter(self._seen))]
        self._seen[owner] = seen  # at the end: last to be forgotten
        network = network_of(address)
        seen.pop(network, None)
        seen[network] = now_s
        if len(seen) > 2 * MANY_NETWORKS:
            del seen[next(iter(seen))]
        # Dual-stack customers have one network of each family: the families count apart.
        recent = [n for n, at_s in seen.items() if now_s - at_s <= NETWORKS_WITHIN_S]
        count = max(sum(len(n) == size for n in recent) for size in (3, 8))
        if count < MANY_NETWORKS:
            return None
        return f"started from {count} networks within a day"
