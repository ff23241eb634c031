"""The ledger: what was sold, to which devices, which certificates exist, what is revoked.

One `Ledger` Protocol, one contract suite (`tests/contract/test_ledger.py`), and a store behind
it. Each call is one transaction: append-only events and the state derived from them change
together, and a call that returned is durable whatever is killed afterwards.
"""

import datetime as dt
import enum
from dataclasses import dataclass
from typing import Protocol

from client_lib.wire.infohash import InfoHash
from client_lib.wire.licence import LicenceId
from client_lib.wire.licensing_api import CatalogueEntry, LicenceRecord
from client_lib.wire.release import Album, TorrentName


class Role(enum.StrEnum):
    """What an API key may do."""

    PUBLISHER = "publisher"
    SEEDER = "seeder"
    TRACKER = "tracker"


@dataclass(frozen=True, slots=True)
class Line:
    """One release of a purchase, and the licence id that it gets if this is its first sale."""

    name: TorrentName
    amount_minor: int
    currency: str
    licence_id: LicenceId


@dataclass(frozen=True, slots=True)
class Redemption:
    """A verified payment token in the hands of a device.

    `digest` is the SHA-256 (hex) of the token; `expired_at` is set when the token has expired,
    and then only a repetition of an earlier redemption is answered.
    """

    store: str
    token_id: str
    digest: str
    purchase: str
    subject: str
    device_limit: int
    device_id: str
    lines: tuple[Line, ...]
    expired_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Redeemed:
    """The licences of the redeemed purchase. `repeated`: nothing new was recorded."""

    licences: tuple[LicenceRecord, ...]
    repeated: bool


@dataclass(frozen=True, slots=True)
class HeldLicence:
    """A licence that a device may use now."""

    licence_id: LicenceId
    name: TorrentName
    info_hash: InfoHash


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A licence certificate that is about to be handed out."""

    serial: int
    licence_id: LicenceId
    device_id: str
    not_after: dt.datetime


@dataclass(frozen=True, slots=True)
class IssuedNodeCertificate:
    """A seeder's or host's certificate, and the hash of the API key that asked for it."""

    serial: int
    key_hash: str
    not_after: dt.datetime


@dataclass(frozen=True, slots=True)
class Release:
    """A release as its publisher hands it in; `torrent` without announce URL."""

    name: TorrentName
    info_hash: InfoHash
    size_bytes: int
    album: Album
    torrent: bytes


@dataclass(frozen=True, slots=True)
class Published:
    """The catalogue entry. `repeated`: it was there already, identical."""

    entry: CatalogueEntry
    repeated: bool


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as the ledger knows it: by the SHA-256 (hex) of the key."""

    key_hash: str
    key_id: str
    role: Role
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RevokedCertificate:
    """An entry of the CRL."""

    serial: int
    revoked_at: dt.datetime


class Ledger(Protocol):
    """Every method may raise StorageError; refusals are `licensing.refusal.Refusal`."""

    async def redeem(self, redemption: Redemption, *, now: dt.datetime) -> Redeemed:
        """Record a sale once, and attach the device to the purchase's licences.

        Same token and device: the same licences again, however often. Refuses
        token-already-redeemed, payment-token-refused (expired), unknown-release,
        purchase-mismatch, purchase-revoked and device-limit-reached; then nothing is recorded.
        """
        ...

    async def library(self, device_id: str) -> tuple[LicenceRecord, ...]:
        """Every licence of the device, oldest first, revoked ones too."""
        ...

    async def held_licence(self, licence_id: LicenceId, device_id: str) -> HeldLicence:
        """Refuses unknown-licence, licence-revoked and device-limit-reached."""
        ...

    async def record_certificate(self, certificate: IssuedCertificate, *, now: dt.datetime) -> None:
        """Record before handing out; refuses what `held_licence` refuses."""
        ...

    async def record_node_certificate(
        self, certificate: IssuedNodeCertificate, *, now: dt.datetime
    ) -> None:
        """Record before handing out; refuses api-key-refused if the key was revoked."""
        ...

    async def publish(self, release: Release, *, now: dt.datetime) -> Published:
        """Refuses release-conflict if the name is taken by other content."""
        ...

    async def releases(self, since: int, limit: int) -> tuple[CatalogueEntry, ...]:
        """Entries with sequence > `since`, in order."""
        ...

    async def torrent(self, name: TorrentName) -> bytes:
        """The torrent as published. Refuses unknown-release."""
        ...

    async def revoke_purchase(
        self, store: str, purchase: str, *, reason: str, now: dt.datetime
    ) -> int:
        """Revoke every licence of a purchase; how many. Refuses unknown-licence."""
        ...

    async def revoke_licence(self, licence_id: LicenceId, *, reason: str, now: dt.datetime) -> None:
        """Revoke one licence; again is no error. Refuses unknown-licence."""
        ...

    async def revoke_api_key(self, key_id: str, *, now: dt.datetime) -> int:
        """Revoke every key of that id, and the certificates it got; how many keys."""
        ...

    async def revocation_sequence(self) -> int:
        """Count of revocations: a CRL is out of date when it has changed."""
        ...

    async def revoked_certificates(self, now: dt.datetime) -> tuple[RevokedCertificate, ...]:
        """Unexpired certificates of revoked licences and API keys, by serial number."""
        ...

    async def next_crl_number(self) -> int:
        """Greater than any before (RFC 5280, section 5.2.3), across restarts."""
        ...

    async def add_api_key(self, key: ApiKey, *, now: dt.datetime) -> None:
        """Add a key; several keys may share an id, so that they can be rotated."""
        ...

    async def api_key(self, key_hash: str) -> ApiKey:
        """Refuses api-key-refused for one that is unknown or revoked."""
        ...

    async def sales(self) -> int:
        """Count of sales ever recorded; a redemption that is repeated adds none."""
        ...
