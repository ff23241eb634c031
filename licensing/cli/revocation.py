"""Refunds, chargebacks and lost keys."""

from pathlib import Path

from client_lib.console import print_json, print_text
from client_lib.errors import IdentifierError, UsageError
from client_lib.wire.licence import LicenceId, parse_licence_id
from licensing.cli.root import app
from licensing.config import DEFAULT_DATA, LicensingConfig, load_licensing_config, utc_now
from licensing.data_folder import DataFolder
from licensing.stores import open_ledger


@app.command
async def revoke(
    *,
    purchase: str | None = None,
    store: str | None = None,
    licence: str | None = None,
    api_key: str | None = None,
    reason: str = "",
    undo: bool = False,
    json: bool = False,
    data: Path = DEFAULT_DATA,
    config: Path | None = None,
) -> None:
    """Revoke a purchase, one licence, or the API keys of a node; a running service sees it at once.

    Revoking a purchase is a refund: royalties count it, and credit moves back. Revoking a single
    licence is not.

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
    undo
        Take an earlier revocation of the purchase or licence back.
    json
        Print one line of JSON.
    data
        The folder that `init` made.
    config
        Configuration file (default: licensing.toml in the folder).
    """
    if sum(what is not None for what in (purchase, licence, api_key)) != 1:
        raise UsageError("name one thing to revoke: --purchase, --licence or --api-key")
    if undo and api_key is not None:
        raise UsageError("a revoked API key stays revoked: make a new one with api-key")
    settings = load_licensing_config(data, config)
    now = utc_now()
    async with open_ledger(DataFolder(data), settings) as ledger:
        if purchase is not None:
            owner = store or _only_store(settings)
            change = ledger.reinstate_purchase if undo else ledger.revoke_purchase
            count = await change(owner, purchase, reason=reason, now=now)
            what = f"purchase {purchase} of {owner}: {count} licences"
        elif licence is not None:
            change_one = ledger.reinstate_licence if undo else ledger.revoke_licence
            await change_one(_parsed(licence), reason=reason, now=now)
            count, what = 1, f"licence {licence}"
        else:
            node = api_key or ""
            count = await ledger.revoke_api_key(node, now=now)
            what = f"{count} API keys of {node}"
    done = "reinstated" if undo else "revoked"
    if json:
        print_json({done: count, "what": what})
    else:
        print_text(f"{done} {what}")


def _parsed(licence: str) -> LicenceId:
    try:
        return parse_licence_id(licence)
    except IdentifierError as error:
        raise UsageError(str(error)) from error


def _only_store(settings: LicensingConfig) -> str:
    if len(settings.issuers) != 1:
        names = ", ".join(issuer.name for issuer in settings.issuers) or "none"
        raise UsageError(f"whose purchase? name its --store (configured: {names})")
    return settings.issuers[0].name
