"""`albumswarm-licensing`: the command line of the licensing service."""

import datetime as dt
import random
import re
import secrets
from functools import partial
from pathlib import Path
from typing import Annotated

import cyclopts
import msgspec

from client_lib import __version__
from client_lib.console import new_app, print_json, print_text, run_app
from client_lib.errors import IdentifierError, PaymentTokenError, UsageError
from client_lib.service import configure_logs, run_until_signalled
from client_lib.wire import payment_token
from client_lib.wire.licence import parse_licence_id
from client_lib.wire.payment_token import LineItem
from client_lib.wire.release import parse_torrent_name, split_torrent_name
from licensing.api_keys import new_api_key
from licensing.config import DEFAULT_DATA, LicensingConfig, load_licensing_config, utc_now
from licensing.data_folder import DataFolder, found, random_serial
from licensing.issuers import key_id, load_private_key
from licensing.ledger import Role
from licensing.stores import open_ledger

app = new_app(
    "albumswarm-licensing",
    "Turns payment tokens into licences: who may join which swarm.",
    __version__,
)

_Several = cyclopts.Parameter(negative="")
_DURATION = re.compile(r"([0-9]{1,9})([smhd])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@app.command
async def init(
    *,
    store: str,
    public_url: str = "https://localhost:8443",
    tracker: Annotated[tuple[str, ...], _Several] = (),
    listen: Annotated[tuple[str, ...], _Several] = (),
    test_store: str | None = None,
    data: Path = DEFAULT_DATA,
) -> None:
    """Make a new swarm CA, torrent signer, ledger and configuration in a folder.

    Parameters
    ----------
    store
        Reverse-DNS name of the store, such as com.example.shop: it signs the torrents.
    public_url
        `https://host:port` where customers will reach licensing.
    tracker
        Base URL of a tracker, `https://host:port`; may be repeated.
    listen
        Address to listen on, `host:port`; may be repeated (default: from public_url).
    test_store
        Also make a store of that name whose key is here, for mint-token.
    data
        The folder, new or empty.
    """
    settings: dict[str, object] = {
        "store": store,
        "public_url": public_url,
        "trackers": tracker or ("https://localhost:8444",),
    }
    settings["listen"] = listen or _listen_for(public_url)
    await found(
        DataFolder(data),
        settings,
        test_store=test_store,
        serials=random_serial,
        now=utc_now(),
        rng=random.SystemRandom(),
    )
    print_text(f"initialised {data}: keep swarm-ca.key.pem secret and backed up")


def _listen_for(public_url: str) -> tuple[str, ...]:
    host, _, port = public_url.removeprefix("https://").partition(":")
    port = port or "443"
    return (f"localhost:{port}",) if host == "localhost" else (f"0.0.0.0:{port}", f"[::]:{port}")


@app.command
async def serve(
    *,
    listen: Annotated[tuple[str, ...], _Several] = (),
    data: Path = DEFAULT_DATA,
    config: Path | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Parameters
    ----------
    listen
        Address to listen on instead of the configuration's; may be repeated.
    data
        The folder that `init` made.
    config
        Configuration file (default: licensing.toml in the folder).
    """
    # Here, not above: the HTTP framework takes longer to load than the other commands to run.
    from licensing.app import serve as serve_licensing

    configure_logs()
    settings = load_licensing_config(data, config)
    if listen:
        settings = _with_listen(settings, listen)
    await run_until_signalled(lambda stop: serve_licensing(settings, data, stop=stop))


def _with_listen(settings: LicensingConfig, listen: tuple[str, ...]) -> LicensingConfig:
    try:
        return msgspec.structs.replace(settings, listen=listen)
    except ValueError as error:
        raise UsageError(str(error)) from error


@app.command
def mint_token(
    *,
    customer: str,
    item: Annotated[tuple[str, ...], _Several],
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


@app.command
async def api_key(
    role: Role,
    /,
    *,
    id: str | None = None,  # noqa: A002 - the flag is called --id
    host: Annotated[tuple[str, ...], _Several] = (),
    json: bool = False,
    data: Path = DEFAULT_DATA,
    config: Path | None = None,
) -> None:
    """Make an API key and print it, this once.

    Parameters
    ----------
    role
        What it is for: publisher, seeder or tracker.
    id
        Name of the node, as its certificates and the log show it (default: the role's name).
    host
        DNS name of a tracker's host, as in its URL; may be repeated.
    json
        Print one line of JSON with id, role and key.
    data
        The folder that `init` made.
    config
        Configuration file (default: licensing.toml in the folder).
    """
    settings = load_licensing_config(data, config)
    secret, key = new_api_key(role, id or role.value, host, token=secrets.token_urlsafe)
    async with open_ledger(DataFolder(data), settings) as ledger:
        await ledger.add_api_key(key, now=utc_now())
    if json:
        print_json({"id": key.key_id, "role": key.role.value, "key": secret})
    else:
        print_text(secret)


@app.command
async def revoke(
    *,
    purchase: str | None = None,
    store: str | None = None,
    licence: str | None = None,
    api_key: str | None = None,
    reason: str = "",
    json: bool = False,
    data: Path = DEFAULT_DATA,
    config: Path | None = None,
) -> None:
    """Revoke a purchase, one licence, or the API keys of a node; a running service sees it at once.

    Parameters
    ----------
    purchase
        Id of the purchase, as its payment token names it.
    store
        The store of that purchase (default: the only issuer in the configuration).
    licence
        A licence id.
    api_key
        Id of a node, as `api-key --id` gave it.
    reason
        A note for the ledger.
    json
        Print one line of JSON.
    data
        The folder that `init` made.
    config
        Configuration file (default: licensing.toml in the folder).
    """
    if sum(what is not None for what in (purchase, licence, api_key)) != 1:
        raise UsageError("name one thing to revoke: --purchase, --licence or --api-key")
    settings = load_licensing_config(data, config)
    now = utc_now()
    async with open_ledger(DataFolder(data), settings) as ledger:
        if purchase is not None:
            owner = store or _only_store(settings)
            count = await ledger.revoke_purchase(owner, purchase, reason=reason, now=now)
            what = f"purchase {purchase} of {owner}: {count} licences"
        elif licence is not None:
            try:
                licence_id = parse_licence_id(licence)
            except IdentifierError as error:
                raise UsageError(str(error)) from error
            await ledger.revoke_licence(licence_id, reason=reason, now=now)
            count, what = 1, f"licence {licence}"
        else:
            node = api_key or ""
            count = await ledger.revoke_api_key(node, now=now)
            what = f"{count} API keys of {node}"
    if json:
        print_json({"revoked": count, "what": what})
    else:
        print_text(f"revoked {what}")


def _only_store(settings: LicensingConfig) -> str:
    if len(settings.issuers) != 1:
        names = ", ".join(issuer.name for issuer in settings.issuers) or "none"
        raise UsageError(f"whose purchase? name its --store (configured: {names})")
    return settings.issuers[0].name


main = partial(run_app, app)

if __name__ == "__main__":
    main()
