"""API keys of publishers, seeders and trackers."""

import secrets
from pathlib import Path

from client_lib.console import print_json, print_text
from licensing.api_keys import new_api_key
from licensing.cli.root import app
from licensing.config import DEFAULT_DATA, load_licensing_config, utc_now
from licensing.data_folder import DataFolder
from licensing.ledger import Role
from licensing.stores import open_ledger


@app.command
async def api_key(
    role: Role,
    /,
    *,
    id: str | None = None,  # noqa: A002 - the flag is called --id
    host: tuple[str, ...] = (),
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
        DNS name of a tracker, or of a seeder's web seed, as in its URL; may be repeated.
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
