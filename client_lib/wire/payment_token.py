"""Payment tokens: what a store signs when it has been paid; see `wire.store_token`.

Header `{"alg": "EdDSA", "typ": "payment+jwt", "kid": …}`; every claim is required but
`device_limit` and `nbf`; exactly one of `items` and `credit`.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_lib.errors import PaymentTokenError
from client_lib.wire import store_token
from client_lib.wire.money import AmountField, CurrencyField
from client_lib.wire.release import (
    AudioFormatField,
    ReleaseIdField,
    TorrentName,
    parse_torrent_name,
    torrent_name,
)
from client_lib.wire.store_token import (
    DEFAULT_LEEWAY_S,
    MAX_TOKEN_CHARACTERS,
    REASONS,
    Claims,
    IdField,
    IssuerKeys,
    NameField,
    TokenType,
)

__all__ = [
    "MAX_TOKEN_CHARACTERS",
    "REASONS",
    "Credit",
    "LineItem",
    "PaymentToken",
    "mint",
    "verify",
]

DEFAULT_DEVICE_LIMIT = 5
_TYPE = TokenType("payment+jwt", "payment token", PaymentTokenError)  # RFC 8725, section 3.11
_DeviceLimit = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class LineItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One release that was sold. `amount_minor` in the currency's smallest unit (ISO 4217)."""

    release_id: ReleaseIdField
    format: AudioFormatField
    amount_minor: AmountField
    currency: CurrencyField

    def __post_init__(self) -> None:
        """Check the ids once more: `$` in a JSON schema pattern lets a newline through."""
        parse_torrent_name(self.name)

    @property
    def name(self) -> TorrentName:
        """Torrent name of the release."""
        return torrent_name(self.release_id, self.format)


class Credit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A top-up of the customer's prepaid balance."""

    amount_minor: AmountField
    currency: CurrencyField


class _Claims(Claims, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    sub: NameField
    purchase: IdField
    device_limit: _DeviceLimit | None = None
    items: Annotated[tuple[LineItem, ...], msgspec.Meta(max_length=500)] | None = None
    credit: Credit | None = None


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
        _TYPE.require_unexpired(self.expires_at, now=now, leeway_s=leeway_s)


def verify(
    compact: str,
    *,
    keys: IssuerKeys,
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
    claims = _TYPE.open(compact, _Claims, keys=keys, audience=audience)
    _require_goods(claims)
    _TYPE.require_valid(claims, now=now, leeway_s=leeway_s)
    token = PaymentToken(
        issuer=claims.iss,
        audience=claims.aud,
        subject=claims.sub,
        token_id=claims.jti,
        purchase=claims.purchase,
        issued_at=store_token.instant(claims.iat),
        expires_at=store_token.instant(claims.exp),
        device_limit=claims.device_limit or DEFAULT_DEVICE_LIMIT,
        items=claims.items or (),
        credit=claims.credit,
        digest=store_token.digest(compact),
    )
    if check_expiry:
        token.require_unexpired(now, leeway_s=leeway_s)
    return token


def _require_goods(claims: _Claims) -> None:
    items = claims.items or ()
    if bool(items) == (claims.credit is not None):
        raise _TYPE.refusal("claims", "needs either items or credit")
    if len({item.name for item in items}) < len(items):
        raise _TYPE.refusal("claims", "names a release twice")


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
        iat=store_token.numeric_date(issued_at),
        exp=store_token.numeric_date(expires_at),
        device_limit=device_limit,
        items=items or None,
        credit=credit,
    )
    _require_goods(claims)
    return _TYPE.seal(claims, key=key, kid=kid)
