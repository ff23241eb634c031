"""The ledger: what was sold, to which devices, which certificates exist, what is revoked.

One `Ledger` Protocol, one contract suite (`tests/contract/test_ledger.py`), and a store behind
it. Each call is one transaction: append-only events and the state derived from them change
together, and a call that returned is durable whatever is killed afterwards.
"""

import datetime as dt
import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from client_lib.wire.infohash import InfoHash
from client_lib.wire.licence import LicenceId
from client_lib.wire.licensing_api import (
    Balance,
    CatalogueEntry,
    LicenceRecord,
    PurchaseAnswer,
    RevocationAnswer,
)
from client_lib.wire.release import Album, ReleaseId, TorrentName
from client_lib.wire.revocation_token import RevocationKind
from client_lib.wire.rights import RightsHolder


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
class TopUp:
    """Prepaid credit that was bought."""

    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Redemption:
    """A verified payment token in the hands of a device: `lines`, or a `topup`.

    `digest` is the SHA-256 (hex) of the token. Only a repetition of an earlier redemption is
    answered when the token has expired (`expired_at`), or its credit buys nothing here
    (`spendable` False).
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
    topup: TopUp | None = None
    spendable: bool = True


@dataclass(frozen=True, slots=True)
class Redeemed:
    """The licences of the redeemed purchase. `repeated`: nothing new was recorded.

    `balances` are the customer's, as they are now; empty unless it was a top-up.
    """

    licences: tuple[LicenceRecord, ...]
    repeated: bool
    balances: tuple[Balance, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """A release that a device wants to buy with prepaid credit.

    `price_minor` None: it has no price in this currency. `purchase` and `licence_id` are new ids
    for the case that this becomes a sale.
    """

    device_id: str
    idempotency_key: str
    name: TorrentName
    currency: str
    price_minor: int | None
    purchase: str
    licence_id: LicenceId


@dataclass(frozen=True, slots=True)
class Revocation:
    """A verified revocation token. `expired_at` is set when it has expired."""

    store: str
    token_id: str
    digest: str
    purchase: str
    kind: RevocationKind
    expired_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class SoldAlike:
    """Sales, and sales taken back, of one release at one price under the same rights.

    `refunded` counts reinstated sales as -1, so it may be negative in a period.
    """

    name: TorrentName
    amount_minor: int
    currency: str
    holders: tuple[RightsHolder, ...]
    sold: int
    refunded: int


@dataclass(frozen=True, slots=True)
class HeldLicence:
    """A licence that a device may use now."""

    licence_id: LicenceId
    name: TorrentName
    info_hash: InfoHash


class Leaf(Protocol):
    """A certificate, as far as the ledger looks at it; `x509.Certificate` is one."""

    @property
    def serial_number(self) -> int:
        """Up to 159 bits."""
        ...

    @property
    def not_valid_after_utc(self) -> dt.datetime:
        """Aware, UTC."""
        ...


LeafT = TypeVar("LeafT", bound=Leaf)


@dataclass(frozen=True, slots=True)
class IssuedNodeCertificate:
    """A seeder's or host's certificate, and the hash of the API key that asked for it."""

    serial: int
    key_hash: str
    not_after: dt.datetime


@dataclass(frozen=True, slots=True)
class Release:
    """A release as its publisher hands it in; `torrent` without announce URL.

    `rights` None: the whole to the artist, or as they are if it is published already.
    """

    name: TorrentName
    info_hash: InfoHash
    size_bytes: int
    album: Album
    torrent: bytes
    rights: tuple[RightsHolder, ...] | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """The catalogue entry. `repeated`: it was there already, with the same content."""

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
        """Record a sale or top-up once, and attach the device to the purchase.

        Same token and device: the same licences again, however often. Refuses
        token-already-redeemed, payment-token-refused (expired, credit), unknown-release,
        purchase-mismatch, purchase-revoked and device-limit-reached; then nothing is recorded.
        """
        ...

    async def balances(self, device_id: str) -> tuple[Balance, ...]:
        """Prepaid credit that the device may spend.

        That of every customer of whom it redeemed a token whose purchase stands, within the
        purchase's device limit.
        """
        ...

    async def buy(self, order: Order, *, now: dt.datetime) -> PurchaseAnswer:
        """Debit a balance and license the release, or answer the licence that is owned already.

        The same key for the same order: the same answer again. Refuses idempotency-key-reused,
        insufficient-credit, not-for-sale, device-limit-reached (for an owned release) and
        unknown-release; then nothing is recorded and the key stays free.
        """
        ...

    async def library(self, device_id: str) -> tuple[LicenceRecord, ...]:
        """Every licence of the device, oldest first, revoked ones too."""
        ...

    async def held_licence(self, licence_id: LicenceId, device_id: str) -> HeldLicence:
        """Refuses unknown-licence, licence-revoked and device-limit-reached."""
        ...

    async def issue_certificate(
        self,
        licence_id: LicenceId,
        device_id: str,
        make: Callable[[HeldLicence], LeafT],
        *,
        limit: int,
        now: dt.datetime,
    ) -> LeafT:
        """Make a licence certificate and record it, in one transaction.

        What is returned is durable, so whatever is handed out can be revoked. `make` may run in
        another thread, and again if the transaction must be. Refuses what `held_licence`
        refuses, and too-many-requests (reason certificates) when `limit` unexpired certificates
        of this licence and device are recorded already.
        """
        ...

    async def record_node_certificate(
        self, certificate: IssuedNodeCertificate, *, now: dt.datetime
    ) -> None:
        """Record before handing out; refuses api-key-refused if the key was revoked."""
        ...

    async def publish(self, release: Release, *, now: dt.datetime) -> Published:
        """Refuses release-conflict if the name is taken by other content.

        Other rights for the same content count from now on; sales made before keep theirs.
        """
        ...

    async def releases(self, since: int, limit: int) -> tuple[CatalogueEntry, ...]:
        """Entries with sequence > `since`, in order."""
        ...

    async def formats(self, release_id: ReleaseId) -> tuple[CatalogueEntry, ...]:
        """Every format of a release, in the order of publication. Refuses unknown-release."""
        ...

    async def torrent(self, name: TorrentName) -> bytes:
        """The torrent as published. Refuses unknown-release."""
        ...

    async def revoke_purchase(
        self, store: str, purchase: str, *, reason: str, now: dt.datetime
    ) -> int:
        """Revoke every licence of a purchase; how many. Refuses unknown-licence.

        Counts as a refund: a top-up is taken from the balance as far as that goes (the rest is
        the account's shortfall), the price of a purchase from credit goes back to it.
        """
        ...

    async def reinstate_purchase(
        self, store: str, purchase: str, *, reason: str, now: dt.datetime
    ) -> int:
        """Take `revoke_purchase` back; how many licences. Refuses unknown-licence."""
        ...

    async def apply_revocation(
        self, revocation: Revocation, *, now: dt.datetime
    ) -> RevocationAnswer:
        """Revoke or reinstate a purchase as its store says, each token once.

        A purchase that nobody has redeemed yet can no longer be, until it is reinstated. Refuses
        revocation-token-refused (expired, reused).
        """
        ...

    async def revoke_licence(self, licence_id: LicenceId, *, reason: str, now: dt.datetime) -> None:
        """Revoke one licence; again is no error. No refund. Refuses unknown-licence."""
        ...

    async def reinstate_licence(
        self, licence_id: LicenceId, *, reason: str, now: dt.datetime
    ) -> None:
        """Take `revoke_licence` back; again is no error. Refuses unknown-licence."""
        ...

    async def revoke_api_key(self, key_id: str, *, now: dt.datetime) -> int:
        """Revoke every key of that id, and the certificates it got; how many keys."""
        ...

    async def revocation_sequence(self) -> int:
        """Count of revocations: a CRL is out of date when it has changed."""
        ...

    async def revoked_certificates(self, now: dt.datetime) -> tuple[RevokedCertificate, ...]:
        """Certificates of revoked licences and API keys till an hour after their end, by serial."""
        ...

    async def next_crl_number(self, *, now: dt.datetime) -> int:
        """Greater than any before (RFC 5280, section 5.2.3), across restarts."""
        ...

    async def add_api_key(self, key: ApiKey, *, now: dt.datetime) -> None:
        """Add a key; several keys may share an id, so that they can be rotated."""
        ...

    async def api_key(self, key_hash: str) -> ApiKey:
        """Refuses api-key-refused for one that is unknown or revoked."""
        ...

    async def probe(self) -> None:
        """Write something that leaves no trace, durably: raises StorageError if that fails."""
        ...

    async def sales(self) -> int:
        """Count of sales ever recorded; a redemption that is repeated adds none, nor a top-up."""
        ...

    async def sold_between(self, start: dt.datetime, end: dt.datetime) -> tuple[SoldAlike, ...]:
        """Sales and refunds from `start` until before `end`, each once."""
        ...
