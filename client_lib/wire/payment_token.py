"""Payment tokens: what a store signs when it has been paid (JWT, RFC 7519; EdDSA, RFC 8037).

Header `{"alg": "EdDSA", "typ": "payment+jwt", "kid": …}`; every claim is required but
`device_limit` and `nbf`; exactly one of `items` and `credit`; an unknown claim is refused,
because a store that misspells one must hear of it before its customer does.
"""

import datetime as dt
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt import api_jws
from jwt.exceptions import InvalidTokenError

from client_lib.errors import IdentifierError, PaymentTokenError
from client_lib.wire.release import (
    AudioFormatField,
    ReleaseIdField,
    TorrentName,
    parse_torrent_name,
    torrent_name,
)

REASONS = frozenset(
    {
        "malformed",
        "algorithm",
        "type",
        "issuer",
        "key",
        "signature",
        "audience",
        "expired",
        "not-yet-valid",
        "claims",
    }
)
"""Why a token may be refused: `PaymentTokenError.reason`, stable words."""

ALGORITHM = "EdDSA"
TOKEN_TYPE = "payment+jwt"  # noqa: S105 - a media type (RFC 8725, section 3.11)
DEFAULT_DEVICE_LIMIT = 5
DEFAULT_LEEWAY_S = 60
MAX_TOKEN_CHARACTERS = 16_384

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")  # unsigned: "algorithm"
# What msgspec raises for hostile bytes, seen by fuzzing: not only its own errors.
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_MAX_NUMERIC_DATE = 253_402_300_799  # the last second of the year 9999

_Id = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,128}\Z")]
_Name = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]{1,200}\Z")]
_Instant = Annotated[int, msgspec.Meta(ge=0, le=_MAX_NUMERIC_DATE)]
_AmountMinor = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
_Currency = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}\Z")]
_DeviceLimit = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class LineItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One release that was sold. `amount_minor` in the currency's smallest unit (ISO 4217)."""

    release_id: ReleaseIdField
    format: AudioFormatField
    amount_minor: _AmountMinor
    currency: _Currency

    def __post_init__(self) -> None:
        """Check the ids once more: `$` in a JSON schema pattern lets a newline through."""
        parse_torrent_name(self.name)

    @property
    def name(self) -> TorrentName:
        """Torrent name of the release."""
        return torrent_name(self.release_id, self.format)


class Credit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A top-up of the customer's prepaid balance."""

    amount_minor: _AmountMinor
    currency: _Currency


class _Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    iss: _Name
    aud: _Name
    sub: _Name
    jti: _Id
    purchase: _Id
    iat: _Instant
    exp: _Instant
    nbf: _Instant | None = None
    device_limit: _DeviceLimit | None = None
    items: Annotated[tuple[LineItem, ...], msgspec.Meta(max_length=500)] | None = None
    credit: Credit | None = None


class _Issuer(msgspec.Struct, frozen=True):
    iss: str


@dataclass(frozen=True, slots=True)
class PaymentToken:
    """A payment token whose signature held. Exactly one of `items` and `credit` is given.

    `purchase` stays the same when the store mints again for a re-download, `token_id` does
    not. `digest` is the SHA-256 (hex) of the compact form: one token has one.
    """

    issuer: str
    audience: str
    subject: str
    token_id: str
    purchase: str
    issued_at: dt.datetime
    expires_at: dt.datetime
    device_limit: int
    items: tuple[LineItem, ...]
    credit: Credit | None
    digest: str

    def require_unexpired(self, now: dt.datetime, *, leeway_s: int = DEFAULT_LEEWAY_S) -> None:
        """Raise PaymentTokenError("expired") from `expires_at` on, give or take a slow clock."""
        if now >= self.expires_at + dt.timedelta(seconds=leeway_s):
            raise PaymentTokenError(
                "expired", f"the payment token expired at {self.expires_at.isoformat()}"
            )


def verify(
    compact: str,
    *,
    keys: Mapping[str, Mapping[str, Ed25519PublicKey]],
    audience: str,
    now: dt.datetime,
    leeway_s: int = DEFAULT_LEEWAY_S,
    check_expiry: bool = True,
) -> PaymentToken:
    """Verify a token in JWS compact form against `keys[iss][kid]`.

    `check_expiry=False` accepts an expired token, so that one redeemed in time can be
    answered again; the caller decides with `PaymentToken.require_unexpired`.
    Raises PaymentTokenError with one of REASONS; no message repeats the token.
    """
    # The exact alphabet: otherwise one signature could be written in many ways (padding).
    if len(compact) > MAX_TOKEN_CHARACTERS or not _COMPACT.fullmatch(compact):
        raise PaymentTokenError("malformed", "the payment token is not a JWS in compact form")
    kid = _key_id(compact)
    key = _key(compact, kid, keys)
    try:
        payload: bytes = api_jws.decode(compact, key, algorithms=[ALGORITHM])
    except InvalidTokenError as error:
        raise PaymentTokenError(
            "signature", "the payment token's signature is not the store's"
        ) from error
    return _checked(_claims(payload), compact, audience, now, leeway_s, check_expiry=check_expiry)


def _key_id(compact: str) -> str:
    try:
        header = api_jws.get_unverified_header(compact)
    except InvalidTokenError as error:
        raise PaymentTokenError("malformed", "the payment token's header is not JSON") from error
    if header.get("alg") != ALGORITHM:
        raise PaymentTokenError("algorithm", f"the payment token's alg is not {ALGORITHM}")
    if header.get("typ") != TOKEN_TYPE:
        raise PaymentTokenError("type", f"the payment token's typ is not {TOKEN_TYPE}")
    if "b64" in header:  # RFC 7797: another signing input than everybody else sees
        raise PaymentTokenError("malformed", "the payment token has a b64 header")
    if not isinstance(header.get("kid"), str):
        raise PaymentTokenError("key", "the payment token names no kid")
    return str(header["kid"])


def _key(
    compact: str, kid: str, keys: Mapping[str, Mapping[str, Ed25519PublicKey]]
) -> Ed25519PublicKey:
    try:
        unverified = api_jws.decode(compact, options={"verify_signature": False})
        issuer = msgspec.json.decode(unverified, type=_Issuer).iss
    except (InvalidTokenError, *_NOT_JSON) as error:
        raise PaymentTokenError("malformed", "the payment token's claims are not JSON") from error
    if issuer not in keys:
        raise PaymentTokenError("issuer", "the payment token comes from an unknown store")
    if kid not in keys[issuer]:
        raise PaymentTokenError("key", "the payment token's kid is no key of its store")
    return keys[issuer][kid]


def _claims(payload: bytes) -> _Claims:
    try:
        return msgspec.json.decode(payload, type=_Claims)
    except (IdentifierError, *_NOT_JSON) as error:
        raise PaymentTokenError("claims", f"the payment token's claims: {error}") from error


def _checked(
    claims: _Claims,
    compact: str,
    audience: str,
    now: dt.datetime,
    leeway_s: int,
    *,
    check_expiry: bool,
) -> PaymentToken:
    if claims.aud != audience:
        raise PaymentTokenError("audience", "the payment token is meant for another service")
    items = claims.items or ()
    if bool(items) == (claims.credit is not None):
        raise PaymentTokenError("claims", "the payment token needs either items or credit")
    if len({item.name for item in items}) < len(items):
        raise PaymentTokenError("claims", "the payment token names a release twice")
    if claims.exp <= claims.iat:
        raise PaymentTokenError("claims", "the payment token expires before it is issued")
    token = PaymentToken(
        issuer=claims.iss,
        audience=claims.aud,
        subject=claims.sub,
        token_id=claims.jti,
        purchase=claims.purchase,
        issued_at=_instant(claims.iat),
        expires_at=_instant(claims.exp),
        device_limit=claims.device_limit or DEFAULT_DEVICE_LIMIT,
        items=items,
        credit=claims.credit,
        digest=hashlib.sha256(compact.encode()).hexdigest(),
    )
    valid_from = _instant(max(claims.iat, claims.nbf or 0))
    if now + dt.timedelta(seconds=leeway_s) < valid_from:
        raise PaymentTokenError(
            "not-yet-valid", f"the payment token is valid from {valid_from.isoformat()}"
        )
    if check_expiry:
        token.require_unexpired(now, leeway_s=leeway_s)
    return token


def _instant(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def mint(
    *,
    issuer: str,
    audience: str,
    subject: str,
    token_id: str,
    purchase: str,
    issued_at: dt.datetime,
    expires_at: dt.datetime,
    items: tuple[LineItem, ...] = (),
    credit: Credit | None = None,
    device_limit: int | None = None,
    key: Ed25519PrivateKey,
    kid: str,
) -> str:
    """Sign a token as a store does; compact form. Raises PaymentTokenError("claims")."""
    claims = _Claims(
        iss=issuer,
        aud=audience,
        sub=subject,
        jti=token_id,
        purchase=purchase,
        iat=int(issued_at.timestamp()),
        exp=int(expires_at.timestamp()),
        device_limit=device_limit,
        items=items or None,
        credit=credit,
    )
    payload = msgspec.json.encode(claims)
    _checked(_claims(payload), "", audience, issued_at, 0, check_expiry=False)
    return api_jws.encode(payload, key, ALGORITHM, headers={"typ": TOKEN_TYPE, "kid": kid})
