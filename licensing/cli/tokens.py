"""Payment and revocation tokens of the test store."""

import datetime as dt
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_lib.console import print_text
from client_lib.errors import (
    IdentifierError,
    PaymentTokenError,
    RevocationTokenError,
    UsageError,
)
from client_lib.wire import payment_token, revocation_token
from client_lib.wire.money import CURRENCY_PATTERN
from client_lib.wire.payment_token import Credit, LineItem
from client_lib.wire.release import parse_torrent_name, split_torrent_name
from client_lib.wire.revocation_token import RevocationKind
from licensing.cli.root import app
from licensing.config import DEFAULT_DATA, LicensingConfig, load_licensing_config, utc_now
from licensing.data_folder import DataFolder
from licensing.issuers import key_id, load_private_key

_DURATION = re.compile(r"([0-9]{1,9})([smhd])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@app.command
def mint_token(
    *,
    customer: str,
    item: tuple[str, ...] = (),
    credit: int | None = None,
    amount: int = 999,
    currency: str = "EUR",
    purchase: str | None = None,
    expires_in: str = "1h",
    device_limit: int | None = None,
    audience: str | None = None,
    data: Path = DEFAULT_DATA,
    config: Path | None = None,
) -> None:
    """Print a payment token signed by the test store, for releases or for prepaid credit.

    Parameters
    ----------
    customer
        The store's opaque id for the customer.
    item
        Torrent name of a release, RELEASE.FORMAT; may be repeated.
    credit
        Prepaid credit instead of releases, in the currency's smallest unit.
    amount
        Price of each item in the currency's smallest unit.
    currency
        ISO 4217 code.
    purchase
        Id of the purchase; that of an earlier one mints again for another device.
    expires_in
        Life of the token: a number and s, m, h or d.
    device_limit
        How many devices the purchase may be on (default: 5).
    audience
        Service that the token is meant for (default: this one).
    data
        The folder that `init --test-store` made.
    config
        Configuration file (default: licensing.toml in the folder).
    """
    if bool(item) == (credit is not None):
        raise UsageError("name what was paid for: --item, or --credit")
    if not re.fullmatch(CURRENCY_PATTERN, currency):
        raise UsageError(f"--currency: {currency!r} is not an ISO 4217 code such as EUR")
    settings = load_licensing_config(data, config)
    store = _test_store(settings, data)
    now = utc_now()
    try:
        token = payment_token.mint(
            issuer=store.name,
            audience=audience or settings.token_audience,
            subject=customer,
            token_id=secrets.token_urlsafe(16),
            purchase=purchase or f"purchase-{secrets.token_hex(8)}",
            issued_at=now,
            expires_at=now + _duration(expires_in),
            items=tuple(_line_item(name, amount, currency) for name in item),
            credit=None if credit is None else Credit(credit, currency),
            device_limit=device_limit,
            key=store.key,
            kid=store.kid,
        )
    except PaymentTokenError as error:
        raise UsageError(str(error)) from error
    print_text(token)


@app.command
def mint_revocation(
    *,
    purchase: str,
    kind: RevocationKind = RevocationKind.REFUND,
    expires_in: str = "1h",
    audience: str | None = None,
    data: Path = DEFAULT_DATA,
    config: Path | None = None,
) -> None:
    """Print a revocation token signed by the test store, for POST /v1/revocations.

    Parameters
    ----------
    purchase
        Id of the purchase, as its payment token names it.
    kind
        refund or chargeback; or reinstate, which takes the earlier one back.
    expires_in
        Life of the token: a number and s, m, h or d.
    audience
        Service that the token is meant for (default: this one).
    data
        The folder that `init --test-store` made.
    config
        Configuration file (default: licensing.toml in the folder).
    """
    settings = load_licensing_config(data, config)
    store = _test_store(settings, data)
    now = utc_now()
    try:
        token = revocation_token.mint(
            issuer=store.name,
            audience=audience or settings.token_audience,
            token_id=secrets.token_urlsafe(16),
            purchase=purchase,
            kind=kind,
            issued_at=now,
            expires_at=now + _duration(expires_in),
            key=store.key,
            kid=store.kid,
        )
    except RevocationTokenError as error:
        raise UsageError(str(error)) from error
    print_text(token)


@dataclass(frozen=True, slots=True, repr=False)
class _TestStore:
    """The store whose key `init --test-store` left in the data folder."""

    name: str
    key: Ed25519PrivateKey
    kid: str


def _test_store(settings: LicensingConfig, data: Path) -> _TestStore:
    folder = DataFolder(data)
    if not folder.test_store_key.exists():
        raise UsageError(f"{data} has no test store: make one with init --test-store NAME")
    key = load_private_key(folder.test_store_key)
    kid = key_id(key.public_key())
    issuers = [issuer.name for issuer in settings.issuers if kid in issuer.keys]
    if not issuers:
        raise UsageError(f"the test store's key {kid} is in no [[issuers]] of the configuration")
    return _TestStore(issuers[0], key, kid)


def _line_item(name: str, amount_minor: int, currency: str) -> LineItem:
    try:
        release_id, audio_format = split_torrent_name(parse_torrent_name(name))
    except IdentifierError as error:
        raise UsageError(f"--item: {error}") from error
    return LineItem(release_id, audio_format, amount_minor, currency)


def _duration(text: str) -> dt.timedelta:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise UsageError(f"--expires-in: {text!r} is not a duration such as 90s, 15m, 1h or 7d")
    return dt.timedelta(seconds=int(found[1]) * _UNIT_S[found[2]])
