"""A moment of a torrent and of its peers, as values."""

import enum
from dataclasses import dataclass

import libtorrent as lt

from client_lib.wire.conventions import PEER_ID_SEEDER


class Phase(enum.StrEnum):
    """What a torrent is doing."""

    CHECKING = "checking"
    DOWNLOADING = "downloading"
    SEEDING = "seeding"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class TorrentStatus:
    """A moment of a torrent. Payload bytes count since it was added; rates are bytes/s.

    `verified_bytes` is what is on disk with the right hash, of `total_bytes`: both of the wanted
    files only.
    """

    phase: Phase
    total_bytes: int
    verified_bytes: int
    downloaded_bytes: int
    uploaded_bytes: int
    download_rate_bytes_s: int
    upload_rate_bytes_s: int
    connected_peers: int
    known_peers: int
    pieces: int


class Total:
    """A count of libtorrent's over its restarts: a torrent that was paused counts from 0 again."""

    def __init__(self) -> None:
        """Nothing was counted yet."""
        self._earlier = self._last = 0

    def update(self, count: int) -> int:
        """Take the count; returns all that was ever counted."""
        if count < self._last:
            self._earlier += self._last
        self._last = count
        return self._earlier + count


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """A connected peer; bytes are payload. `called` by us: others can call it there too.

    A `web_seed` (BEP 19) is a central seeder, too.
    """

    address: str
    port: int
    central_seeder: bool
    complete: bool
    called: bool
    downloaded_bytes: int
    uploaded_bytes: int
    download_rate_bytes_s: int
    upload_rate_bytes_s: int
    web_seed: bool = False


def peer_status(peer: lt.peer_info) -> PeerStatus:
    """Take what libtorrent says of a peer."""
    address, port = peer.ip
    web_seed = bool(peer.connection_type & (lt.peer_info.web_seed | lt.peer_info.http_seed))
    return PeerStatus(
        address=address,
        port=port,
        central_seeder=web_seed or peer.pid.to_bytes().startswith(PEER_ID_SEEDER.encode()),
        complete=bool(peer.flags & lt.peer_info.seed),
        called=bool(peer.flags & lt.peer_info.outgoing_connection),
        downloaded_bytes=peer.total_download,
        uploaded_bytes=peer.total_upload,
        download_rate_bytes_s=peer.payload_down_speed,
        upload_rate_bytes_s=peer.payload_up_speed,
        web_seed=web_seed,
    )
