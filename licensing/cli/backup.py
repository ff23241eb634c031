"""Backups: the whole service in one encrypted file, and back."""

import secrets
from functools import partial
from pathlib import Path

import trio

from client_lib.console import print_json, print_text
from client_lib.passphrase import read_passphrase
from licensing.backups.making import Source, make_backup
from licensing.backups.restoring import restore as restore_backup
from licensing.backups.sealed import SALT_BYTES
from licensing.cli.root import app
from licensing.config import CONFIG_NAME, DEFAULT_DATA, load_licensing_config, utc_now
from licensing.data_folder import DataFolder
from licensing.stores import open_ledger


@app.command
async def backup(
    file: Path,
    /,
    *,
    passphrase_file: Path,
    json: bool = False,
    data: Path = DEFAULT_DATA,
    config: Path | None = None,
) -> None:
    """Write ledger, keys and configuration to one encrypted file; the service may run meanwhile.

    Parameters
    ----------
    file
        The new file; one that exists is never overwritten.
    passphrase_file
        File with the passphrase that restores it. Keep that elsewhere.
    json
        Print one line of JSON.
    data
        The folder that `init` made.
    config
        Configuration file (default: licensing.toml in the folder).
    """
    passphrase = read_passphrase(passphrase_file)
    settings = load_licensing_config(data, config)
    folder = DataFolder(data)
    source = Source(folder, settings, config or data / CONFIG_NAME)
    async with open_ledger(folder, settings) as ledger:
        made = await ledger.inspect(
            partial(
                make_backup,
                source=source,
                target=file,
                passphrase=passphrase,
                now=utc_now(),
                salt=secrets.token_bytes(SALT_BYTES),
            )
        )
    if json:
        print_json(made)
    else:
        print_text(
            f"{file}: {made.events} events, {made.rows} rows, {made.files} files, "
            f"{made.size_bytes} bytes"
        )


@app.command
async def restore(
    file: Path,
    /,
    *,
    passphrase_file: Path,
    ledger: str | None = None,
    json: bool = False,
    data: Path = DEFAULT_DATA,
) -> None:
    """Restore a backup into a new folder, for `serve` to go on with.

    Parameters
    ----------
    file
        What `backup` wrote.
    passphrase_file
        File with the passphrase that it was written with.
    ledger
        Where the ledger shall be: a file in the folder or postgresql://user@host/database, which
        must be empty (default: a file as before).
    json
        Print one line of JSON.
    data
        The folder, new or empty.
    """
    passphrase = read_passphrase(passphrase_file)
    # Not interrupted half-way by Ctrl-C: it ends by itself, and then nothing is half there.
    restored = await trio.to_thread.run_sync(
        partial(restore_backup, file, data, passphrase, ledger=ledger)
    )
    if json:
        outside = {str(path): was for path, was in restored.outside}
        print_json({"made_at": restored.made_at, "events": restored.events, "outside": outside})
        return
    print_text(f"{data}: as of {restored.made_at}, {restored.events} events")
    for path, was in restored.outside:
        print_text(f"{path} was {was}: put it back there, or change the configuration")
