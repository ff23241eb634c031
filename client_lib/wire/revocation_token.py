"""Revocation tokens: a store takes a purchase back, or gives it back; see `wire.store_token`.

Header `{"alg": "EdDSA", "typ": "revocation+jwt", "kid": …}`; every claim but `nbf` is required.
"""

import datetime as dt
import enum
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_lib.errors import RevocationTokenError
from client_lib.wire import store_token
from client_lib.wire.store_token import (
    DEFAULT_LEEWAY_S,
    Claims,
    IdField,
    IssuerKeys,
    TokenType,
)

_TYPE = TokenType("revocation+jwt", "revocation token", RevocationTokenError)


class RevocationKind(enum.StrEnum):
    """What happened to the money of a purchase."""

    REFUND = "refund"
    CHARGEBACK = "chargeback"
    REINSTATE = "reinstate"
    """A refund was cancelled, or a chargeback was lost by the customer: the sale stands."""


class _Claims(Claims, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    purchase: IdField
    kind: RevocationKind


@dataclass(frozen=True, slots=True)
class RevocationToken:
    """A revocation token whose signature held. `digest`: SHA-256 (hex) of the compact form."""

    issuer: str
    token_id: str
    purchase: str
    kind: RevocationKind
    expires_at: dt.datetime
    digest: str

    def require_unexpired(self, now: dt.datetime, *, leeway_s: int = DEFAULT_LEEWAY_S) -> None:
        """Raise RevocationTokenError("expired") from `expires_at` on."""
        _TYPE.require_unexpired(self.expires_at, now=now, leeway_s=leeway_s)


def verify(
    compact: str,
    *,
    keys: IssuerKeys,
    audience: str,
    now: dt.datetime,
    leeway_s: int = DEFAULT_LEEWAY_S,
) -> RevocationToken:
    """Verify all but the expiry: a token that was taken in time is answered again after it.

    Raises RevocationTokenError with one of `store_token.REASONS`; no message repeats the token.
    """
    claims = _TYPE.open(compact, _Claims, keys=keys, audience=audience)
    _TYPE.require_valid(claims, now=now, leeway_s=leeway_s)
    return RevocationToken(
        issuer=claims.iss,
        token_id=claims.jti,
        purchase=claims.purchase,
        kind=claims.kind,
        expires_at=store_token.instant(claims.exp),
        digest=store_token.digest(compact),
    )


def mint(
    *,
    issuer: str,
    audience: str,
    token_id: str,
    purchase: str,
    kind: RevocationKind,
    issued_at: dt.datetime,
    expires_at: dt.datetime,
    key: Ed25519PrivateKey,
    kid: str,
) -> str:
    """Sign a token as a store does; compact form. Raises RevocationTokenError("claims")."""
    claims = _Claims(
        iss=issuer,
        aud=audience,
        jti=token_id,
        purchase=purchase,
        kind=kind,
        iat=store_token.numeric_date(issued_at),
        exp=store_token.numeric_date(expires_at),
    )
    return _TYPE.seal(claims, key=key, kid=kid)
