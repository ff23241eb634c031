"""What one album has received and given in a job, over pauses and restarts: never goes back."""

from collections.abc import Callable, Iterable

from client_lib.download.events import Progress
from client_lib.download.traffic.ledger import AlbumTraffic
from client_lib.download.traffic.sources import BySource, SourceSplit
from client_lib.swarm.status import PeerStatus, Phase, TorrentStatus
from client_lib.wire.licence import LicenceId
from client_lib.wire.release import TorrentName


class AlbumTotals:
    """Adds up what the torrents of an album counted, one after the other.

    libtorrent counts from zero whenever an album is put into the session again.
    """

    def __init__(
        self, licence_id: LicenceId, name: TorrentName, before: AlbumTraffic | None = None
    ) -> None:
        """Start at zero; `before` is what earlier jobs counted."""
        self._licence_id = licence_id
        self._name = name
        self._split, self._split_bytes = SourceSplit(), 0
        self._earlier = before or AlbumTraffic()
        self._before = BySource(), 0
        self._by_source = BySource()
        self._listened_bytes = 0
        self._given_s = 0.0
        self.uploaded_bytes = 0
        self.verified_bytes = 0
        self.total_bytes = 0
        self.reused_bytes = 0
        """What other files of this disk gave."""

    @property
    def from_seeders_bytes(self) -> int:
        """Payload from the operator's lines: seeders and web seeds."""
        return self._by_source.seeders + self._by_source.web_seeds + self._listened_bytes

    @property
    def from_customers_bytes(self) -> int:
        """Payload from other customers."""
        return self._by_source.customers

    @property
    def all_time(self) -> AlbumTraffic:
        """What was counted in this job and before."""
        mine = AlbumTraffic(
            from_seeders_bytes=self._by_source.seeders,
            from_web_seeds_bytes=self._by_source.web_seeds + self._listened_bytes,
            from_customers_bytes=self._by_source.customers,
            given_bytes=self.uploaded_bytes,
            given_s=self._given_s,
        )
        return AlbumTraffic(str(self._name)).plus(self._earlier).plus(mine)

    @property
    def has_counted(self) -> bool:
        """Tell whether there is anything to add to what was before."""
        return bool(self.received_bytes or self.uploaded_bytes or self._given_s)

    def add_listened(self, count_bytes: int) -> None:
        """Count payload that a listener's own requests brought from a web seed."""
        self._listened_bytes += count_bytes

    def add_given_s(self, seconds: float) -> None:
        """Count time for which the complete album was given."""
        self._given_s += seconds

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
        self._split, self._split_bytes = SourceSplit(), 0
        self._before = self._by_source, self.uploaded_bytes
        self.total_bytes = total_bytes
        # A pause may have cost some blocks, and a bad disk more: that is what there is now.
        self.verified_bytes = verified_bytes

    def update(self, status: TorrentStatus, peers: Callable[[], Iterable[PeerStatus]]) -> Progress:
        """Take a moment of the torrent; returns it as an event.

        `peers` are asked for if anything has come: libtorrent's thread is waited for.
        """
        before, uploaded_before = self._before
        if status.downloaded_bytes != self._split_bytes:
            self._split_bytes = status.downloaded_bytes
            split = self._split.update(peers(), status.downloaded_bytes)
            self._by_source = BySource(*map(sum, zip(before, split, strict=True)))
        self.uploaded_bytes = uploaded_before + status.uploaded_bytes
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
