"""Where payload came from: central seeders or other customers. Pure arithmetic on snapshots."""

from collections.abc import Iterable

from client_lib.swarm.torrent import PeerStatus


class SourceSplit:
    """Cumulative payload bytes by source, from repeated peer snapshots and the torrent's total.

    libtorrent counts per connection and forgets a peer when it leaves, so what a peer sent after
    the last snapshot is not seen: that remainder is shared out in proportion to the rates at
    which the peers were sending, so that both counts always add up to the total.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self._seen: dict[tuple[str, int], int] = {}
        self._rates = [0, 0]
        self._counted = [0, 0]
        self._shown = [0, 0]

    def update(self, peers: Iterable[PeerStatus], total_bytes: int) -> tuple[int, int]:
        """Take a snapshot; returns bytes from seeders and from customers, adding up to the total.

        Neither ever decreases as long as the total does not.
        """
        seen: dict[tuple[str, int], int] = {}
        rates = [0, 0]
        for peer in peers:
            source = 0 if peer.central_seeder else 1
            key = (peer.address, peer.port)
            before = self._seen.get(key, 0)
            # A counter below the one before is a new connection from the same port.
            new = peer.downloaded_bytes - (before if peer.downloaded_bytes >= before else 0)
            self._counted[source] += new
            seen[key] = peer.downloaded_bytes
            rates[source] += peer.download_rate_bytes_s
        self._seen = seen
        if sum(rates) > 0:
            self._rates = rates
        self._share_out(total_bytes)
        return self._shown[0], self._shown[1]

    def _share_out(self, total_bytes: int) -> None:
        room = max(0, total_bytes - sum(self._shown))
        wanted = [max(0, self._counted[i] - self._shown[i]) for i in (0, 1)]
        certain = min(room, sum(wanted))
        from_seeders = wanted[0] * certain // sum(wanted) if sum(wanted) else 0
        rest = room - certain
        weights = (
            self._rates if sum(self._rates) else (self._counted if sum(self._counted) else [1, 0])
        )
        rest_from_seeders = rest * weights[0] // sum(weights)
        self._shown[0] += from_seeders + rest_from_seeders
        self._shown[1] += room - from_seeders - rest_from_seeders
