"""Payment tokens of the test store."""

import datetime as dt
import re
import secrets
from pathlib import Path
from typing import Annotated

from client_lib.console import print_text
from client_lib.errors import IdentifierError, PaymentTokenError, UsageError
from client_lib.wire import payment_token
from client_lib.wire.payment_token import LineItem
from client_lib.wire.release import parse_torrent_name, split_torrent_name
from licensing.cli.root import Several, app
from licensing.config import DEFAULT_DATA, load_licensing_config, utc_now
from licensing.data_folder import DataFolder
from licensing.issuers import key_id, load_private_key

_DURATION = re.compile(r"([0-9]{1,9})([smhd])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@app.command
def mint_token(
    *,
    customer: str,
    item: Annotated[tuple[str, ...], Several],
    amount: int = 999,
    currency: str = "EUR",
    purchase: str | None = None,
    expires_in: str = "1h",
    device_limit: int | None = None,
    audience: str | None = None,
    data: Path = DEFAULT_DATA,
    config: Path | None = None,
) -> None:
    """Print a payment token signed by the test store.

    Parameters
    ----------
    customer
        The store's opaque id for the customer.
    item
        Torrent name of a release, RELEASE.FORMAT; may be repeated.
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
    settings = load_licensing_config(data, config)
    folder = DataFolder(data)
    if not folder.test_store_key.exists():
        raise UsageError(f"{data} has no test store: make one with init --test-store NAME")
    key = load_private_key(folder.test_store_key)
    kid = key_id(key.public_key())
    issuers = [issuer.name for issuer in settings.issuers if kid in issuer.keys]
    if not issuers:
        raise UsageError(f"the test store's key {kid} is in no [[issuers]] of the configuration")
    now = utc_now()
    try:
        token = payment_token.mint(
            issuer=issuers[0],
            audience=audience or settings.token_audience,
            subject=customer,
            token_id=secrets.token_urlsafe(16),
            purchase=purchase or f"purchase-{secrets.token_hex(8)}",
            issued_at=now,
            expires_at=now + _duration(expires_in),
            items=tuple(_line_item(name, amount, currency) for name in item),
            device_limit=device_limit,
            key=key,
            kid=kid,
        )
    except PaymentTokenError as error:
        raise UsageError(str(error)) from error
    print_text(token)


def _line_item(name: str, amount_minor: int, currency: str) -> LineItem:
    try:
        release_id, audio_format = split_torrent_name(parse_torrent_name(name))
    except IdentifierError as error:
        raise UsageError(f"--item: {error}") from error
    return LineItem(release_id, audio_format, amount_minor, currency)


def _duration(text: str) -> dt.timedelta:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is not a duration such as 90s, 15m, 1h or 7d")
    return dt.timedelta(seconds=int(found[1]) * _UNIT_S[found[2]])
