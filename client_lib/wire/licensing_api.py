"""Bodies of licensing's HTTP API (JSON): one definition for client, service and OpenAPI."""

import datetime as dt
import enum
from typing import Annotated

import msgspec

from client_lib.wire.licence import LicenceIdField
from client_lib.wire.release import Album, AudioFormatField, ReleaseIdField, TorrentNameField

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
    """`GET /v1/licences`, and the answer to a redemption: licences, oldest first."""

    licences: tuple[LicenceRecord, ...]


class CertificateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/licences/{id}/certificate` and `POST /v1/hosts/certificate`: a PEM CSR."""

    csr: CsrField


class CertificateAnswer(msgspec.Struct, frozen=True):
    """The leaf (PEM), and the swarm CA (PEM) that signed it."""

    certificate: str
    ca: str
    not_before: dt.datetime
    not_after: dt.datetime


class Publication(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`PUT /v1/releases/{release_id}/{format}`: the torrent without announce URL, in base64."""

    album: Album
    torrent: bytes


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
