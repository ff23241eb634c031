"""Where payload came from: seeders, customers or web seeds. Pure arithmetic on snapshots."""

from collections.abc import Iterable
from typing import NamedTuple

from client_lib.swarm.status import PeerStatus


class BySource(NamedTuple):
    """Bytes by where they came from: central seeders, other customers, web seeds."""

    seeders: int = 0
    customers: int = 0
    web_seeds: int = 0


_SOURCES = range(len(BySource._fields))


class SourceSplit:
    """Cumulative payload bytes by source, from repeated peer snapshots and the torrent's total.

    libtorrent counts per connection and forgets a peer when it leaves, so what a peer sent after
    the last snapshot is not seen: that remainder is shared out in proportion to the rates at
    which the peers were sending, so that the counts always add up to the total.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self._seen: dict[tuple[str, int], int] = {}
        self._rates = BySource()
        self._counted = BySource()
        self._shown = BySource()

    def update(self, peers: Iterable[PeerStatus], total_bytes: int) -> BySource:
        """Take a snapshot; returns bytes by source, adding up to the total.

        None ever decreases as long as the total does not.
        """
        seen: dict[tuple[str, int], int] = {}
        rates, counted = [0] * len(_SOURCES), list(self._counted)
        for peer in peers:
            source = 2 if peer.web_seed else 0 if peer.central_seeder else 1
            key = (peer.address, peer.port)
            before = self._seen.get(key, 0)
            # A counter below the one before is a new connection from the same port.
            new = peer.downloaded_bytes - (before if peer.downloaded_bytes >= before else 0)
            counted[source] += new
            seen[key] = peer.downloaded_bytes
            rates[source] += peer.download_rate_bytes_s
        self._seen, self._counted = seen, BySource(*counted)
        if sum(rates) > 0:
            self._rates = BySource(*rates)
        self._share_out(total_bytes)
        return self._shown

    def _share_out(self, total_bytes: int) -> None:
        room = max(0, total_bytes - sum(self._shown))
        wanted = [max(0, self._counted[i] - self._shown[i]) for i in _SOURCES]
        certain = _in_proportion(min(room, sum(wanted)), wanted)
        rest = room - sum(certain)
        weights = next((w for w in (self._rates, self._counted) if sum(w)), BySource(1, 0, 0))
        more = _in_proportion(rest, weights)
        self._shown = BySource(*(self._shown[i] + certain[i] + more[i] for i in _SOURCES))


def _in_proportion(count: int, weights: Iterable[int]) -> list[int]:
    """Whole shares that add up to `count`; what rounding leaves goes to the last who has any."""
    weights = list(weights)
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    shares = [count * weight // whole for weight in weights]
    last = max(i for i, weight in enumerate(weights) if weight)
    shares[last] += count - sum(shares)
    return shares
