"""Problem documents (RFC 9457): every refusal of licensing, with a type that never changes."""

import enum
from typing import Annotated

import msgspec

from client_lib.wire.money import Money
from client_lib.wire.not_json import NOT_JSON

MEDIA_TYPE = "application/problem+json"
_PREFIX = "urn:albumswarm:problem:"


class ProblemType(enum.StrEnum):
    """The stable part of a problem; `docs/protocol/licensing.md` explains each."""

    MALFORMED_REQUEST = _PREFIX + "malformed-request"
    UNKNOWN_DEVICE = _PREFIX + "unknown-device"
    API_KEY_REFUSED = _PREFIX + "api-key-refused"
    PAYMENT_TOKEN_REFUSED = _PREFIX + "payment-token-refused"
    TOKEN_ALREADY_REDEEMED = _PREFIX + "token-already-redeemed"
    PURCHASE_MISMATCH = _PREFIX + "purchase-mismatch"
    PURCHASE_REVOKED = _PREFIX + "purchase-revoked"
    DEVICE_LIMIT_REACHED = _PREFIX + "device-limit-reached"
    REVOCATION_TOKEN_REFUSED = _PREFIX + "revocation-token-refused"
    IDEMPOTENCY_KEY_REFUSED = _PREFIX + "idempotency-key-refused"
    IDEMPOTENCY_KEY_REUSED = _PREFIX + "idempotency-key-reused"
    INSUFFICIENT_CREDIT = _PREFIX + "insufficient-credit"
    NOT_FOR_SALE = _PREFIX + "not-for-sale"
    UNKNOWN_RELEASE = _PREFIX + "unknown-release"
    UNKNOWN_LICENCE = _PREFIX + "unknown-licence"
    LICENCE_REVOKED = _PREFIX + "licence-revoked"
    CSR_REFUSED = _PREFIX + "csr-refused"
    TORRENT_REFUSED = _PREFIX + "torrent-refused"
    RELEASE_CONFLICT = _PREFIX + "release-conflict"
    NOT_FOUND = _PREFIX + "not-found"
    METHOD_NOT_ALLOWED = _PREFIX + "method-not-allowed"
    TOO_LARGE = _PREFIX + "too-large"
    TOO_SLOW = _PREFIX + "too-slow"
    TOO_MANY_REQUESTS = _PREFIX + "too-many-requests"
    NOT_READY = _PREFIX + "not-ready"
    INTERNAL = _PREFIX + "internal"


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One problem document. `reason` refines the type where a program may want to know.

    `balance` and `price` come with insufficient-credit. Unknown members are ignored when
    reading, as RFC 9457 section 3.2 asks.
    """

    type: str
    title: Annotated[str, msgspec.Meta(max_length=200)]
    status: Annotated[int, msgspec.Meta(ge=400, le=599)]
    detail: Annotated[str, msgspec.Meta(max_length=2000)] = ""
    reason: Annotated[str, msgspec.Meta(max_length=100)] = ""
    balance: Money | None = None
    price: Money | None = None


def encode_problem(problem: Problem) -> bytes:
    """JSON, media type `application/problem+json`."""
    return msgspec.json.encode(problem)


def decode_problem(body: bytes, status: int) -> Problem:
    """Read a problem document; anything else becomes a nameless problem of that HTTP status."""
    try:
        return msgspec.json.decode(body, type=Problem)
    except NOT_JSON:
        return Problem(type="about:blank", title="HTTP error", status=status)
