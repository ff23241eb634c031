"""What a download tells: frozen values, in an order that makes sense, totals never go back."""

import datetime as dt
import enum
from dataclasses import dataclass
from pathlib import Path

from client_lib.wire.licence import LicenceId
from client_lib.wire.release import TorrentName


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """An album waits for its turn (again)."""

    licence_id: LicenceId
    name: TorrentName
    total_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """An album has joined its swarm. `resumed_bytes` were on disk and verified already.

    `reused_bytes` of them were copied from other files of this device, in this run.
    """

    licence_id: LicenceId
    name: TorrentName
    total_bytes: int
    resumed_bytes: int
    reused_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A moment of an album. `verified_bytes` of `total_bytes` are on disk with the right hash.

    `reused_bytes` of them were copied from other files of this device, in this run.

    The other byte counts are payload of this run, by where it came from and went to; who is a
    central seeder is told by peer id, so the split is for display. Rates are bytes per second.
    """

    licence_id: LicenceId
    name: TorrentName
    total_bytes: int
    verified_bytes: int
    from_seeders_bytes: int
    from_customers_bytes: int
    uploaded_bytes: int
    download_rate_bytes_s: int
    upload_rate_bytes_s: int
    connected_peers: int
    checking: bool = False
    reused_bytes: int = 0

    @property
    def eta_s(self) -> float | None:
        """Seconds until complete at this rate, None while nothing arrives."""
        if self.download_rate_bytes_s <= 0:
            return None
        return (self.total_bytes - self.verified_bytes) / self.download_rate_bytes_s


class StallReason(enum.StrEnum):
    """Why nothing arrives."""

    NO_PEERS = "no-peers"
    TRACKER_AWAY = "tracker-away"
    NO_SOURCE = "no-source"
    REFUSED = "refused"
    PEERS_SILENT = "peers-silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stalled:
    """Nothing arrived for `still_s` seconds; `detail` is a sentence about `reason`."""

    licence_id: LicenceId
    name: TorrentName
    reason: StallReason
    detail: str
    still_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """An album was paused; it keeps what it has and its place in the queue."""

    licence_id: LicenceId
    name: TorrentName


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFull:
    """An album waits for room on the disk, and goes on by itself when there is some."""

    licence_id: LicenceId
    name: TorrentName
    where: str
    needed_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """Every piece is on disk and has the right hash; the album gets its final name next."""

    licence_id: LicenceId
    name: TorrentName
    total_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeding:
    """An album is given to others until the job ends, as was asked (`keep_seeding`)."""

    licence_id: LicenceId
    name: TorrentName


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalReached:
    """A complete album reached its seeding goal and is given no longer. Counts are of all runs."""

    licence_id: LicenceId
    name: TorrentName
    given_bytes: int
    given_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """A licence was taken back: nothing more of the album can be fetched. Failed follows."""

    licence_id: LicenceId
    name: TorrentName
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that is being retried: the tracker is away, a renewal is late, …"""

    licence_id: LicenceId
    name: TorrentName
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRenewed:
    """The licence certificate was renewed; the download went on meanwhile."""

    licence_id: LicenceId
    name: TorrentName
    not_after: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """An album is complete, verified and under its final name.

    Byte counts are this run's payload. `already_there`: an earlier run had finished it.
    """

    licence_id: LicenceId
    name: TorrentName
    folder: Path
    total_bytes: int
    from_seeders_bytes: int = 0
    from_customers_bytes: int = 0
    uploaded_bytes: int = 0
    seconds: float = 0.0
    already_there: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """An album could not be completed; what it has is kept. `error` is the typed error."""

    licence_id: LicenceId
    name: TorrentName
    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """The swarm is slow, and the store's web seed was `joined`; or it was left again."""

    licence_id: LicenceId
    name: TorrentName
    joined: bool


class WarningKind(enum.StrEnum):
    """What a warning is about."""

    CLOCK_SKEW = "clock-skew"
    SPACE = "space"


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """Something about this device, not about one album, that the customer can mend."""

    kind: WarningKind
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PortMapped:
    """What the router said when it was asked for a port, so that others can call this device.

    `port` is the outer TCP port, None if there is none; `detail` is a sentence about it.
    """

    port: int | None
    detail: str


AlbumMilestone = (
    Queued
    | Started
    | Stalled
    | Paused
    | DiskFull
    | Verified
    | Seeding
    | GoalReached
    | Revoked
    | Trouble
    | CertificateRenewed
    | Fallback
    | Finished
    | Failed
)
DeviceEvent = Warned | PortMapped
Event = AlbumMilestone | Progress | DeviceEvent
