"""What one album has received and given in a job, over pauses and restarts: never goes back."""

from collections.abc import Iterable

from client_lib.download.events import Progress
from client_lib.download.sources import SourceSplit
from client_lib.swarm.torrent import PeerStatus, Phase, TorrentStatus
from client_lib.wire.licence import LicenceId
from client_lib.wire.release import TorrentName


class AlbumTotals:
    """Adds up what the torrents of an album counted, one after the other.

    libtorrent counts from zero whenever an album is put into the session again.
    """

    def __init__(self, licence_id: LicenceId, name: TorrentName) -> None:
        """Start at zero."""
        self._licence_id = licence_id
        self._name = name
        self._split = SourceSplit()
        self._before = (0, 0, 0)
        self.from_seeders_bytes = 0
        self.from_customers_bytes = 0
        self.uploaded_bytes = 0
        self.verified_bytes = 0
        self.total_bytes = 0
        self.reused_bytes = 0
        """What other files of this disk gave."""

    @property
    def received_bytes(self) -> int:
        """Payload received, whatever it was worth."""
        return self.from_seeders_bytes + self.from_customers_bytes

    @property
    def remaining_bytes(self) -> int:
        """Bytes to come."""
        return self.total_bytes - self.verified_bytes

    def begin(self, verified_bytes: int, total_bytes: int) -> None:
        """Take up a torrent that was just put into the session."""
        self._split = SourceSplit()
        self._before = (self.from_seeders_bytes, self.from_customers_bytes, self.uploaded_bytes)
        self.total_bytes = total_bytes
        # A pause may have cost some blocks, and a bad disk more: that is what there is now.
        self.verified_bytes = verified_bytes

    def update(self, status: TorrentStatus, peers: Iterable[PeerStatus]) -> Progress:
        """Take a moment of the torrent; returns it as an event."""
        from_seeders, from_customers = self._split.update(peers, status.downloaded_bytes)
        self.from_seeders_bytes = self._before[0] + from_seeders
        self.from_customers_bytes = self._before[1] + from_customers
        self.uploaded_bytes = self._before[2] + status.uploaded_bytes
        self.total_bytes = status.total_bytes
        if status.phase is not Phase.CHECKING:
            self.verified_bytes = status.verified_bytes
        return Progress(
            licence_id=self._licence_id,
            name=self._name,
            total_bytes=status.total_bytes,
            verified_bytes=max(self.verified_bytes, status.verified_bytes),
            reused_bytes=self.reused_bytes,
            from_seeders_bytes=self.from_seeders_bytes,
            from_customers_bytes=self.from_customers_bytes,
            uploaded_bytes=self.uploaded_bytes,
            download_rate_bytes_s=status.download_rate_bytes_s,
            upload_rate_bytes_s=status.upload_rate_bytes_s,
            connected_peers=status.connected_peers,
            checking=status.phase is Phase.CHECKING,
        )
