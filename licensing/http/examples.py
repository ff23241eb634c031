"""Examples of every call for the OpenAPI document, made of the records themselves."""

import datetime as dt
from dataclasses import dataclass

import msgspec

from client_lib.wire.infohash import InfoHash
from client_lib.wire.licence import licence_id_from
from client_lib.wire.licensing_api import (
    Balance,
    BalanceAnswer,
    CatalogueEntry,
    CataloguePage,
    CertificateAnswer,
    CertificateRequest,
    FormatQuote,
    HostCertificateRequest,
    Library,
    LicenceRecord,
    LicenceState,
    Publication,
    PurchaseAnswer,
    PurchaseRequest,
    RedemptionAnswer,
    RedemptionRequest,
    ReleaseQuote,
    RevocationAnswer,
    RevocationRequest,
)
from client_lib.wire.money import Money
from client_lib.wire.problem import Problem, ProblemType
from client_lib.wire.release import (
    Album,
    parse_audio_format,
    parse_release_id,
    torrent_name,
)
from client_lib.wire.rights import RightsHolder
from licensing.http.problems import STATUSES


@dataclass(frozen=True, slots=True)
class Call:
    """An example of a request's body and of the answer, where they are JSON, or text."""

    request: msgspec.Struct | None = None
    answer: msgspec.Struct | str | None = None


_NOW = dt.datetime(2026, 11, 21, 20, 13, 12, tzinfo=dt.UTC)
_TOKEN = "eyJhbGciOiJFZERTQSIsImtpZCI6IjIwMjYtMTEiLCJ0eXAiOiJwYXltZW50K2p3dCJ9.eyJpc3Mi.c2ln"  # noqa: S105 - no secret: it is signed by nobody
_RELEASE, _FORMAT = parse_release_id("rel-0001"), parse_audio_format("flac-24-96")
_NAME = torrent_name(_RELEASE, _FORMAT)
_ALBUM = Album(artist="Björk", title="Début", year=1993)
_INFO_HASH = InfoHash.of(b"example").hex
_LICENCE = LicenceRecord(
    licence_id=licence_id_from(bytes(range(16))),
    release_id=_RELEASE,
    format=_FORMAT,
    name=_NAME,
    info_hash=_INFO_HASH,
    size_bytes=1 << 30,
    album=_ALBUM,
    state=LicenceState.ACTIVE,
    granted_at=_NOW,
)
_ENTRY = CatalogueEntry(
    sequence=7,
    release_id=_RELEASE,
    format=_FORMAT,
    name=_NAME,
    info_hash=_INFO_HASH,
    size_bytes=1 << 30,
    album=_ALBUM,
    published_at=_NOW,
)
_CSR = CertificateRequest(
    "-----BEGIN CERTIFICATE REQUEST-----\nMIHHMG8CAQAw…\n-----END CERTIFICATE REQUEST-----\n"
)
_PEM = "-----BEGIN CERTIFICATE-----\nMIIB…\n-----END CERTIFICATE-----\n"
_CERTIFICATE = CertificateAnswer(
    certificate=_PEM,
    ca=_PEM,
    not_before=_NOW - dt.timedelta(hours=1),
    not_after=_NOW + dt.timedelta(days=1),
)
_EUR = "EUR"

CALLS: dict[str, Call] = {
    "post /v1/redemptions": Call(RedemptionRequest(_TOKEN), RedemptionAnswer((_LICENCE,))),
    "get /v1/licences": Call(answer=Library((_LICENCE,))),
    "post /v1/licences/{licence_id}/certificate": Call(_CSR, _CERTIFICATE),
    "get /v1/licences/{licence_id}/torrent": Call(answer="d8:announce61:https://tracker…"),
    "get /v1/balance": Call(
        answer=BalanceAnswer((Balance("shop.example.com", "c-4711", _EUR, 3801),))
    ),
    "post /v1/purchases": Call(
        PurchaseRequest(_RELEASE, _FORMAT, _EUR),
        PurchaseAnswer(
            licence=_LICENCE,
            purchase="credit-q83vEjRWeJCr",
            already_owned=False,
            charged_minor=1199,
            balance_minor=3801,
            currency=_EUR,
        ),
    ),
    "post /v1/revocations": Call(
        RevocationRequest(_TOKEN), RevocationAnswer("order-4711", LicenceState.REVOKED, 1)
    ),
    "get /v1/releases/{release_id}": Call(
        answer=ReleaseQuote(_RELEASE, (FormatQuote(_NAME, _FORMAT, 1 << 30, (Money(1199, _EUR),)),))
    ),
    "put /v1/releases/{release_id}/{audio_format}": Call(
        Publication(
            album=_ALBUM,
            torrent=b"d4:infod9:file treed",
            rights=(RightsHolder("Björk", 7_000), RightsHolder("A Label", 3_000)),
        ),
        _ENTRY,
    ),
    "get /v1/releases": Call(answer=CataloguePage((_ENTRY,), 7)),
    "get /v1/releases/{release_id}/{audio_format}/torrent": Call(answer="d4:infod9:file tree…"),
    "get /v1/ca": Call(answer=_PEM),
    "get /v1/crl": Call(answer="(DER)"),
    "post /v1/hosts/certificate": Call(HostCertificateRequest(_CSR.csr), _CERTIFICATE),
    "get /healthz": Call(answer="ok\n"),
    "get /readyz": Call(answer="ready\n"),
}

_DETAILS: dict[ProblemType, tuple[str, str]] = {
    ProblemType.MALFORMED_REQUEST: ("payment_token: Expected `str`, got `int`", ""),
    ProblemType.UNKNOWN_DEVICE: ("a device secret is needed (Authorization: Bearer)", ""),
    ProblemType.API_KEY_REFUSED: ("the API key is unknown or was revoked", ""),
    ProblemType.PAYMENT_TOKEN_REFUSED: (
        "the payment token expired at 2026-11-20T21:50:58+00:00",
        "expired",
    ),
    ProblemType.TOKEN_ALREADY_REDEEMED: (
        "the payment token was already redeemed by another device; "
        "ask the store for a fresh token for this purchase",
        "",
    ),
    ProblemType.PURCHASE_MISMATCH: (
        "the payment token names a known purchase, but not the same customer and items",
        "",
    ),
    ProblemType.PURCHASE_REVOKED: ("the purchase was revoked by the store", ""),
    ProblemType.DEVICE_LIMIT_REACHED: (
        "the purchase is already on 5 devices, and 5 are allowed",
        "",
    ),
    ProblemType.REVOCATION_TOKEN_REFUSED: (
        "the revocation token has a kid that is no key of its store",
        "key",
    ),
    ProblemType.IDEMPOTENCY_KEY_REFUSED: ("a purchase needs an Idempotency-Key header", ""),
    ProblemType.IDEMPOTENCY_KEY_REUSED: (
        "this Idempotency-Key was used for another purchase",
        "",
    ),
    ProblemType.INSUFFICIENT_CREDIT: (
        "rel-0001.flac-24-96 costs 11.99 EUR, and 3.00 EUR are left",
        "",
    ),
    ProblemType.NOT_FOR_SALE: ("nothing is sold in USD here", ""),
    ProblemType.UNKNOWN_RELEASE: ("rel-0001.flac-24-96 is not published here", ""),
    ProblemType.UNKNOWN_LICENCE: ("this device holds no such licence", ""),
    ProblemType.LICENCE_REVOKED: ("the licence for rel-0001.flac-24-96 was revoked", ""),
    ProblemType.CSR_REFUSED: ("CSR is not a PEM PKCS#10 request", ""),
    ProblemType.TORRENT_REFUSED: (
        "the torrent is refused: its ssl-cert is not this network's swarm CA",
        "",
    ),
    ProblemType.RELEASE_CONFLICT: (
        "rel-0001.flac-24-96 is already published with other content (files); "
        "publish the changed album under another release id",
        "",
    ),
    ProblemType.NOT_FOUND: ("there is nothing at this path", ""),
    ProblemType.METHOD_NOT_ALLOWED: ("this path does not know this method", ""),
    ProblemType.TOO_LARGE: ("the request body is larger than this call takes", ""),
    ProblemType.TOO_SLOW: ("the request body came too slowly", ""),
    ProblemType.TOO_MANY_REQUESTS: (
        "too many requests from this address; ask again in 3 s",
        "address",
    ),
    ProblemType.NOT_READY: ("licensing cannot use its ledger now; nothing was recorded", ""),
    ProblemType.INTERNAL: ("licensing failed on this request; it was logged", ""),
}


def example_problem(type_: ProblemType) -> Problem:
    """What such a refusal looks like."""
    status, title = STATUSES[type_]
    detail, reason = _DETAILS[type_]
    short = type_ is ProblemType.INSUFFICIENT_CREDIT
    return Problem(
        type=type_.value,
        title=title,
        status=status,
        detail=detail,
        reason=reason,
        balance=Money(300, _EUR) if short else None,
        price=Money(1199, _EUR) if short else None,
    )
