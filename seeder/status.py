"""What a serving node tells about itself: `<data>/status.json`, rewritten every second.

Nothing in it is secret.
"""

import datetime as dt
import enum
from pathlib import Path

import msgspec

from client_lib.durable import read_file, write_atomically
from client_lib.errors import StorageError
from client_lib.wire.release import TorrentName

_FILE = "status.json"


class NodeState(enum.StrEnum):
    """Whether the node is there. A killed one stays `serving`: compare `updated_at`."""

    SERVING = "serving"
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
    problem: str | None = None


class NodeStatus(msgspec.Struct, frozen=True):
    """One node."""

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


def totals_so_far(data: Path) -> dict[TorrentName, int]:
    """Bytes uploaded by release in earlier runs; empty if nothing readable is there."""
    try:
        return {r.name: r.uploaded_total_bytes for r in read_status(data).releases}
    except StorageError:
        return {}
