"""Store tokens: what a store signs for licensing (JWT, RFC 7519; EdDSA, RFC 8037).

Payment tokens and revocation tokens share this envelope: one algorithm, an explicit type
(RFC 8725), a key id, and claims of which every one is known. An unknown claim is refused,
because a store that misspells one must hear of it before its customer does.
"""

import datetime as dt
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt import api_jws
from jwt.exceptions import InvalidTokenError

from client_lib.errors import IdentifierError, StoreTokenError
from client_lib.wire.not_json import NOT_JSON

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
"""Why a token may be refused: `StoreTokenError.reason`, stable words."""

ALGORITHM = "EdDSA"
DEFAULT_LEEWAY_S = 60
MAX_TOKEN_CHARACTERS = 16_384

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")  # unsigned: "algorithm"
_MAX_NUMERIC_DATE = 253_402_300_799  # the last second of the year 9999

IdField = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,128}\Z")]
NameField = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]{1,200}\Z")]
InstantField = Annotated[int, msgspec.Meta(ge=0, le=_MAX_NUMERIC_DATE)]

IssuerKeys = Mapping[str, Mapping[str, Ed25519PublicKey]]
"""Public keys by `iss`, then by `kid`."""


class Claims(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """Claims of every store token; each type adds its own."""

    iss: NameField
    aud: NameField
    jti: IdField
    iat: InstantField
    exp: InstantField
    nbf: InstantField | None = None


C = TypeVar("C", bound=Claims)


class _Issuer(msgspec.Struct, frozen=True):
    iss: str


@dataclass(frozen=True, slots=True)
class TokenType:
    """A type of store token: its `typ`, what messages call it, and its error."""

    typ: str
    noun: str
    error: type[StoreTokenError]

    def open(self, compact: str, claims: type[C], *, keys: IssuerKeys, audience: str) -> C:
        """Verify a token in JWS compact form against `keys[iss][kid]`, and read its claims.

        Times are left to `require_valid` and `require_unexpired`. Raises the type's error with
        one of REASONS; no message repeats the token.
        """
        # The exact alphabet: otherwise one signature could be written in many ways (padding).
        if len(compact) > MAX_TOKEN_CHARACTERS or not _COMPACT.fullmatch(compact):
            raise self.refusal("malformed", "is not a JWS in compact form")
        key = self._key(compact, self._key_id(compact), keys)
        try:
            payload: bytes = api_jws.decode(compact, key, algorithms=[ALGORITHM])
        except InvalidTokenError as error:
            raise self.refusal("signature", "has a signature that is not the store's") from error
        return self._checked(payload, claims, audience)

    def seal(self, claims: Claims, *, key: Ed25519PrivateKey, kid: str) -> str:
        """Sign claims as a store does; compact form. Raises the type's error, reason `claims`."""
        payload = msgspec.json.encode(claims)
        self._checked(payload, type(claims), claims.aud)
        return api_jws.encode(payload, key, ALGORITHM, headers={"typ": self.typ, "kid": kid})

    def require_valid(self, claims: Claims, *, now: dt.datetime, leeway_s: int) -> None:
        """Refuse a token that is not valid yet, give or take a clock that runs ahead."""
        valid_from = instant(max(claims.iat, claims.nbf or 0))
        if now + dt.timedelta(seconds=leeway_s) < valid_from:
            raise self.refusal("not-yet-valid", f"is valid from {valid_from.isoformat()}")

    def require_unexpired(
        self, expires_at: dt.datetime, *, now: dt.datetime, leeway_s: int
    ) -> None:
        """Refuse a token from `expires_at` on, give or take a slow clock."""
        if now >= expires_at + dt.timedelta(seconds=leeway_s):
            raise self.refusal("expired", f"expired at {expires_at.isoformat()}")

    def refusal(self, reason: str, what: str) -> StoreTokenError:
        """Make this type's error: `the <noun> <what>`."""
        return self.error(reason, f"the {self.noun} {what}")

    def _key_id(self, compact: str) -> str:
        try:
            header = api_jws.get_unverified_header(compact)
        except InvalidTokenError as error:
            raise self.refusal("malformed", "has a header that is not JSON") from error
        if header.get("alg") != ALGORITHM:
            raise self.refusal("algorithm", f"has an alg that is not {ALGORITHM}")
        if header.get("typ") != self.typ:
            raise self.refusal("type", f"has a typ that is not {self.typ}")
        if "b64" in header:  # RFC 7797: another signing input than everybody else sees
            raise self.refusal("malformed", "has a b64 header")
        if not isinstance(header.get("kid"), str):
            raise self.refusal("key", "names no kid")
        return str(header["kid"])

    def _key(self, compact: str, kid: str, keys: IssuerKeys) -> Ed25519PublicKey:
        try:
            unverified = api_jws.decode(compact, options={"verify_signature": False})
            issuer = msgspec.json.decode(unverified, type=_Issuer).iss
        except (InvalidTokenError, *NOT_JSON) as error:
            raise self.refusal("malformed", "has claims that are not JSON") from error
        if issuer not in keys:
            raise self.refusal("issuer", "comes from an unknown store")
        if kid not in keys[issuer]:
            raise self.refusal("key", "has a kid that is no key of its store")
        return keys[issuer][kid]

    def _checked(self, payload: bytes, claims_type: type[C], audience: str) -> C:
        try:
            claims = msgspec.json.decode(payload, type=claims_type)
        except (IdentifierError, *NOT_JSON) as error:
            raise self.refusal("claims", f"has wrong claims: {error}") from error
        if claims.aud != audience:
            raise self.refusal("audience", "is meant for another service")
        if claims.exp <= claims.iat:
            raise self.refusal("claims", "expires before it is issued")
        return claims


def instant(seconds: int) -> dt.datetime:
    """NumericDate (RFC 7519, section 2) as a time: aware, UTC."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def numeric_date(moment: dt.datetime) -> int:
    """Undo `instant`; parts of a second are cut off."""
    return int(moment.timestamp())


def digest(compact: str) -> str:
    """SHA-256 (hex) of the compact form: one token has one."""
    return hashlib.sha256(compact.encode()).hexdigest()
