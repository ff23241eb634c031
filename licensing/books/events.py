"""The append-only event log: every fact of the ledger, each row chained to the one before."""

import datetime as dt
import hashlib

import msgspec

from client_lib.wire.release import Album
from licensing.books.sql import Sql, to_ms


class _Event(msgspec.Struct, frozen=True, tag_field="kind"):
    pass


class SoldLine(msgspec.Struct, frozen=True):
    """One release of a sale."""

    licence_id: str
    name: str
    amount_minor: int
    currency: str


class Sale(_Event, frozen=True, tag="sale"):
    """A purchase was redeemed for the first time."""

    store: str
    purchase: str
    subject: str
    token_id: str
    digest: str
    device_limit: int
    device_id: str
    lines: tuple[SoldLine, ...]


class DeviceAttached(_Event, frozen=True, tag="device-attached"):
    """A purchase was redeemed again with another token: no second sale."""

    store: str
    purchase: str
    token_id: str
    digest: str
    device_limit: int
    device_id: str


class CertificateIssued(_Event, frozen=True, tag="certificate"):
    """A licence certificate. `serial` in hexadecimal, `not_after` in milliseconds."""

    serial: str
    licence_id: str
    device_id: str
    not_after: int


class NodeCertificateIssued(_Event, frozen=True, tag="node-certificate"):
    """A seeder's, tracker's or web seed's certificate."""

    serial: str
    key_hash: str
    not_after: int


class ReleasePublished(_Event, frozen=True, tag="release"):
    """A release entered the catalogue. `torrent` is the SHA-256 (hex) of its torrent."""

    name: str
    info_hash: str
    size_bytes: int
    album: Album
    torrent: str


class PurchaseRevoked(_Event, frozen=True, tag="purchase-revoked"):
    """A refund or chargeback."""

    store: str
    purchase: str
    reason: str


class LicenceRevoked(_Event, frozen=True, tag="licence-revoked"):
    """One licence was revoked."""

    licence_id: str
    reason: str


class ApiKeyAdded(_Event, frozen=True, tag="api-key"):
    """A key for a publisher, seeder or tracker."""

    key_hash: str
    key_id: str
    role: str
    hosts: tuple[str, ...]


class ApiKeyRevoked(_Event, frozen=True, tag="api-key-revoked"):
    """Every key of that id was revoked."""

    key_id: str


Event = (
    Sale
    | DeviceAttached
    | CertificateIssued
    | NodeCertificateIssued
    | ReleasePublished
    | PurchaseRevoked
    | LicenceRevoked
    | ApiKeyAdded
    | ApiKeyRevoked
)

_GENESIS = bytes(32)


def append(sql: Sql, event: Event, now: dt.datetime) -> None:
    """Append one event. Its hash covers its predecessor's, so no row can change unseen."""
    last = sql.rows("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1")
    seq, previous = (int(last[0][0]), bytes(last[0][1])) if last else (0, _GENESIS)
    body = msgspec.json.encode(event).decode()
    at = to_ms(now)
    sql.rows(
        "INSERT INTO events (seq, at, kind, body, hash) VALUES (?, ?, ?, ?, ?)",
        seq + 1,
        at,
        str(event.__struct_config__.tag),
        body,
        link(previous, seq + 1, at, body),
    )


def link(previous: bytes, seq: int, at: int, body: str) -> bytes:
    """SHA-256 over the predecessor's hash, the row's number, its time and its body."""
    return hashlib.sha256(previous + f"{seq}\n{at}\n{body}".encode()).digest()


def verify_chain(rows: list[tuple[int, int, str, bytes]]) -> None:
    """Check `(seq, at, body, hash)` of all rows in order. Raises ValueError naming the row."""
    previous = _GENESIS
    for expected, (seq, at, body, found) in enumerate(rows, start=1):
        previous = link(previous, expected, at, body)
        if seq != expected or found != previous:
            raise ValueError(f"event {expected} does not follow from the one before it")
