"""Bodies of licensing's HTTP API (JSON): one definition for client, service and OpenAPI."""

import datetime as dt
import enum
from typing import Annotated

import msgspec

from client_lib.wire.licence import LicenceIdField
from client_lib.wire.money import CurrencyField, Money
from client_lib.wire.release import Album, AudioFormatField, ReleaseIdField, TorrentNameField
from client_lib.wire.rights import RightsField, require_whole

MAX_CSR_CHARACTERS = 4_096
MAX_TORRENT_BYTES = 16 << 20  # 10 GB in 64 KiB pieces need 5 MB of piece layers
Sha256Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}(?!\n)$")]
CsrField = Annotated[str, msgspec.Meta(max_length=MAX_CSR_CHARACTERS)]


class LicenceState(enum.StrEnum):
    """Whether a licence opens its swarm."""

    ACTIVE = "active"
    REVOKED = "revoked"


class RedemptionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/redemptions`: a store's payment token, in JWS compact form."""

    payment_token: Annotated[str, msgspec.Meta(min_length=1, max_length=16_384)]


class LicenceRecord(msgspec.Struct, frozen=True):
    """One licence in a device's library. `info_hash` is the full SHA-256."""

    licence_id: LicenceIdField
    release_id: ReleaseIdField
    format: AudioFormatField
    name: TorrentNameField
    info_hash: Sha256Hex
    size_bytes: Annotated[int, msgspec.Meta(ge=0)]
    album: Album
    state: LicenceState
    granted_at: dt.datetime


class Library(msgspec.Struct, frozen=True):
    """`GET /v1/licences`: licences, oldest first."""

    licences: tuple[LicenceRecord, ...]


class Balance(msgspec.Struct, frozen=True):
    """Prepaid credit that this device may spend: a customer's, at a store, in one currency.

    `subject` is the customer's id in the store's payment tokens.
    """

    store: str
    subject: str
    currency: CurrencyField
    balance_minor: Annotated[int, msgspec.Meta(ge=0)]


class BalanceAnswer(msgspec.Struct, frozen=True):
    """`GET /v1/balance`: by store, subject and currency."""

    balances: tuple[Balance, ...]


class RedemptionAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to a redemption: the purchase's licences, or the balances after a top-up."""

    licences: tuple[LicenceRecord, ...]
    balances: tuple[Balance, ...] = ()


class FormatQuote(msgspec.Struct, frozen=True):
    """A format of a release, and what it costs today in each currency that buys it."""

    name: TorrentNameField
    format: AudioFormatField
    size_bytes: Annotated[int, msgspec.Meta(ge=0)]
    prices: tuple[Money, ...]


class ReleaseQuote(msgspec.Struct, frozen=True):
    """`GET /v1/releases/{release_id}`: every format that is published."""

    release_id: ReleaseIdField
    formats: tuple[FormatQuote, ...]


class PurchaseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/purchases`: buy a release with prepaid credit in a currency."""

    release_id: ReleaseIdField
    format: AudioFormatField
    currency: CurrencyField


class PurchaseAnswer(msgspec.Struct, frozen=True):
    """A licence that was bought, or that the customer `already_owned`: then nothing was charged.

    `balance_minor` is what was left right after it; `purchase` is its id for a refund.
    """

    licence: LicenceRecord
    purchase: str
    already_owned: bool
    charged_minor: Annotated[int, msgspec.Meta(ge=0)]
    balance_minor: Annotated[int, msgspec.Meta(ge=0)]
    currency: CurrencyField


class RevocationRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/revocations`: a store's revocation token, in JWS compact form."""

    revocation_token: Annotated[str, msgspec.Meta(min_length=1, max_length=16_384)]


class RevocationAnswer(msgspec.Struct, frozen=True):
    """What a purchase is now. `shortfall` is what its customer's account lacks, if it paid one."""

    purchase: str
    state: LicenceState
    licences: Annotated[int, msgspec.Meta(ge=0)]
    shortfall: Money | None = None


class CertificateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/licences/{id}/certificate`: a PEM CSR."""

    csr: CsrField


class HostCertificateRequest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True
):
    """`POST /v1/hosts/certificate`: a PEM CSR, by a seeder for itself or for its `web_seed`."""

    csr: CsrField
    web_seed: bool = False


class CertificateAnswer(msgspec.Struct, frozen=True):
    """The leaf (PEM), and the swarm CA (PEM) that signed it."""

    certificate: str
    ca: str
    not_before: dt.datetime
    not_after: dt.datetime


class Publication(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`PUT /v1/releases/{release_id}/{format}`: the torrent without announce URL, in base64.

    `rights`: who shares in its sales from now on. Without them a new release belongs wholly to
    its artist, and a known one keeps those that it has.
    """

    album: Album
    torrent: bytes
    rights: RightsField | None = None

    def __post_init__(self) -> None:
        """Require whole rights. ValueError becomes a ValidationError naming the sum."""
        if self.rights is not None:
            require_whole(self.rights)


class CatalogueEntry(msgspec.Struct, frozen=True):
    """A published release. `sequence` grows by publication and orders the feed."""

    sequence: int
    release_id: ReleaseIdField
    format: AudioFormatField
    name: TorrentNameField
    info_hash: Sha256Hex
    size_bytes: Annotated[int, msgspec.Meta(ge=0)]
    album: Album
    published_at: dt.datetime


class CataloguePage(msgspec.Struct, frozen=True):
    """`GET /v1/releases?since=N`: entries with sequence > N, at most 500.

    Ask again with `since=next_since` until `entries` is empty.
    """

    entries: tuple[CatalogueEntry, ...]
    next_since: int
