"""What a serving node tells about itself: `<data>/status.json`, rewritten every second.

Nothing in it is secret.
"""

import contextlib
import datetime as dt
import enum
from pathlib import Path

import msgspec

from client_lib.durable import read_file, read_file_if_present, write_atomically
from client_lib.errors import StorageError
from client_lib.wire.demand import FleetMember
from client_lib.wire.release import TorrentName
from seeder.draining import DrainState
from seeder.peers.refusal import Refusal

_FILE = "status.json"
_TOTALS_FILE = "uploads.json"
_MOST_TOTALS_BYTES = 256 << 20  # a million releases have 40 MB


class NodeState(enum.StrEnum):
    """Whether the node is there. A killed one stays as it was: compare `updated_at`."""

    SERVING = "serving"
    DRAINING = "draining"
    STOPPED = "stopped"


class ReleaseStatus(msgspec.Struct, frozen=True):
    """One release that has been asked for. Bytes are payload.

    `copies` among the connected customers, whole ones and parts together; `problem` says why it
    is not served, or not wholly.
    """

    name: TorrentName
    size_bytes: int
    uploaded_bytes: int
    """Since it was loaded last."""
    uploaded_total_bytes: int
    """Since the node's data folder was made."""
    customers: int
    leechers: int
    copies: float
    gained_bytes: int = 0
    """What its customers have gained while they were connected here, from anybody, since it was
    loaded last."""
    offload: float | None = None
    """Share of `gained_bytes` that others brought: customers, and other nodes. None: of nothing."""
    problem: str | None = None


class LineStatus(msgspec.Struct, frozen=True):
    """The node's line: payload over the last ten seconds, and its limit (0: none)."""

    upload_bytes_s: int
    limit_bytes_s: int


class TrackerStatus(msgspec.Struct, frozen=True):
    """A tracker as the node knows it; `problem` is None while it answers."""

    url: str
    problem: str | None


class MemoryStatus(msgspec.Struct, frozen=True):
    """Verified pieces in memory. Hits are blocks, misses are pieces that were read.

    `damaged` and `unreadable` count the reads that failed.
    """

    used_bytes: int
    capacity_bytes: int
    hits: int
    misses: int
    damaged: int
    unreadable: int


class CacheStatus(msgspec.Struct, frozen=True):
    """A bucket's pieces on the node's disk; evictions are of releases."""

    used_bytes: int
    capacity_bytes: int
    hits: int
    misses: int
    evictions: int
    problem: str | None


class CrlStatus(msgspec.Struct, frozen=True):
    """The revocation list: `age_s` since licensing confirmed it, None without one."""

    number: int | None
    revoked: int
    age_s: float | None
    current: bool


class CostStatus(msgspec.Struct, frozen=True):
    """What the node's uploads cost: 10^9 bytes, and all of `uploaded_total_bytes`."""

    per_gb: float
    currency: str
    total: float


class NodeStatus(msgspec.Struct, frozen=True):
    """One node. Members are only ever added to it."""

    seeder_id: str
    port: int
    state: NodeState
    policy: str
    started_at: dt.datetime
    updated_at: dt.datetime
    certificate_expires_at: dt.datetime
    catalogue_position: int
    uploaded_total_bytes: int
    customers: int
    refused_connections: int
    """Connections that never became a customer's: no licence, or no room."""
    releases: tuple[ReleaseStatus, ...]
    """Those that are loaded or have a problem, and the hundred most uploaded ever."""
    refused: dict[Refusal, int]
    """`refused_connections` by reason."""
    revoked_cuts: int
    """Connections that were ended because the licence was revoked."""
    loaded_releases: int
    line: LineStatus
    fleet: tuple[FleetMember, ...]
    """All nodes, as the trackers tell it."""
    trackers: tuple[TrackerStatus, ...]
    memory: MemoryStatus
    crl: CrlStatus
    cost: CostStatus
    cache: CacheStatus | None = None
    """None where the origin is a folder."""
    drain: DrainState | None = None
    web_seed_port: int | None = None
    web_seed_bytes: int = 0
    """What the web seed has sent since the node started; among `uploaded_total_bytes`."""


def write_status(data: Path, status: NodeStatus) -> None:
    """Replace the status file. Blocking. Raises StorageError."""
    write_atomically(data / _FILE, msgspec.json.encode(status) + b"\n")


def read_status(data: Path) -> NodeStatus:
    """Read the status file. Raises StorageError."""
    path = data / _FILE
    if not path.exists():
        raise StorageError(f"{path}: no seeder has served from this folder yet")
    try:
        return msgspec.json.decode(read_file(path), type=NodeStatus)
    except msgspec.DecodeError as error:
        raise StorageError(f"{path} is not a seeder's status: {error}") from error


def write_totals(data: Path, totals: dict[TorrentName, int]) -> None:
    """Replace the file of bytes uploaded by release. Blocking. Raises StorageError."""
    write_atomically(data / _TOTALS_FILE, msgspec.json.encode(totals) + b"\n")


def totals_so_far(data: Path) -> dict[TorrentName, int]:
    """Bytes uploaded by release in earlier runs; empty if nothing readable is there.

    The file has what was put away, the last status what was loaded when the node was killed.
    """
    totals: dict[TorrentName, int] = {}
    with contextlib.suppress(StorageError, msgspec.DecodeError):
        body = read_file_if_present(data / _TOTALS_FILE, max_bytes=_MOST_TOTALS_BYTES)
        totals = msgspec.json.decode(body or b"{}", type=dict[TorrentName, int])
    with contextlib.suppress(StorageError):
        for release in read_status(data).releases:
            before = totals.get(release.name, 0)
            totals[release.name] = max(before, release.uploaded_total_bytes)
    return totals
