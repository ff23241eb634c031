"""The append-only event log: every fact of the ledger, each row chained to the one before."""

import datetime as dt
import hashlib

import msgspec

from client_lib.wire.release import Album
from client_lib.wire.rights import RightsHolder
from licensing.books.sql import Sql, to_ms


class _Event(msgspec.Struct, frozen=True, tag_field="kind"):
    pass


class SoldLine(msgspec.Struct, frozen=True):
    """One release of a sale. `rights_version`: the rights that its royalties follow, 0: default."""

    licence_id: str
    name: str
    amount_minor: int
    currency: str
    rights_version: int = 0


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


class CreditAdded(_Event, frozen=True, tag="credit"):
    """A purchase of prepaid credit was redeemed for the first time: the balance grows."""

    store: str
    purchase: str
    subject: str
    token_id: str
    digest: str
    device_limit: int
    device_id: str
    amount_minor: int
    currency: str


class Bought(_Event, frozen=True, tag="debit"):
    """A release was bought with prepaid credit: the balance shrinks by the line's amount.

    `purchase` is licensing's own; the device is its first. `balance_minor` is what was left.
    """

    store: str
    purchase: str
    subject: str
    device_limit: int
    device_id: str
    idempotency_key: str
    line: SoldLine
    balance_minor: int


class AlreadyOwned(_Event, frozen=True, tag="already-owned"):
    """A release was ordered that the customer owned: no charge.

    The device joins the licence's purchase, if it was not on it yet. `balance_minor` is of the
    owner's account in `currency`, 0 if there is none.
    """

    device_id: str
    idempotency_key: str
    licence_id: str
    currency: str
    balance_minor: int


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


class RightsAssigned(_Event, frozen=True, tag="rights"):
    """Who gets what of a release's sales, from here on. Versions count 1, 2, … per release."""

    name: str
    version: int
    holders: tuple[RightsHolder, ...]


class RevocationReceived(_Event, frozen=True, tag="revocation"):
    """A store's revocation token was taken, for the first time.

    What it changed follows as an event of its own; nothing follows if it changed nothing.
    """

    store: str
    token_id: str
    digest: str
    purchase: str
    cause: str


class PurchaseRevoked(_Event, frozen=True, tag="purchase-revoked"):
    """A refund or chargeback (`cause`) of a purchase, which may not have been redeemed yet.

    The changes are those of the account that the purchase topped up or was paid from.
    """

    store: str
    purchase: str
    reason: str
    cause: str = "refund"
    balance_change_minor: int = 0
    shortfall_change_minor: int = 0


class PurchaseReinstated(_Event, frozen=True, tag="purchase-reinstated"):
    """A refund or chargeback was taken back; the changes as in PurchaseRevoked."""

    store: str
    purchase: str
    reason: str
    balance_change_minor: int = 0
    shortfall_change_minor: int = 0


class LicenceRevoked(_Event, frozen=True, tag="licence-revoked"):
    """One licence was revoked."""

    licence_id: str
    reason: str


class LicenceReinstated(_Event, frozen=True, tag="licence-reinstated"):
    """The revocation of one licence was taken back."""

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


class CrlNumbered(_Event, frozen=True, tag="crl"):
    """A number was taken for a revocation list that is about to be signed."""

    number: int


Event = (
    Sale
    | DeviceAttached
    | CreditAdded
    | Bought
    | AlreadyOwned
    | CertificateIssued
    | NodeCertificateIssued
    | ReleasePublished
    | RightsAssigned
    | RevocationReceived
    | PurchaseRevoked
    | PurchaseReinstated
    | LicenceRevoked
    | LicenceReinstated
    | ApiKeyAdded
    | ApiKeyRevoked
    | CrlNumbered
)

GENESIS = bytes(32)
"""What the first event follows."""


def append(sql: Sql, event: Event, now: dt.datetime) -> None:
    """Append one event. Its hash covers its predecessor's, so no row can change unseen."""
    last = sql.rows("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1")
    seq, previous = (int(last[0][0]), bytes(last[0][1])) if last else (0, GENESIS)
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
