"""Found a licensing service, and serve."""

import random
from pathlib import Path

import msgspec

from client_lib.console import print_text
from client_lib.errors import UsageError
from client_lib.passphrase import environment_passphrase, read_passphrase
from client_lib.service.process import configure_logs, run_until_signalled
from licensing.cli.root import app
from licensing.config import DEFAULT_DATA, LicensingConfig, load_licensing_config, utc_now
from licensing.data_folder import DataFolder, found, random_serial
from licensing.passphrase import ENVIRONMENT_VARIABLE


@app.command
async def init(
    *,
    store: str,
    public_url: str = "https://localhost:8443",
    tracker: tuple[str, ...] = (),
    listen: tuple[str, ...] = (),
    test_store: str | None = None,
    ledger: str | None = None,
    passphrase_file: Path | None = None,
    data: Path = DEFAULT_DATA,
) -> None:
    """Make a new swarm CA, torrent signer, ledger and configuration in a folder.

    Then look through its licensing.toml, where every key is explained, and `serve`. Keep a backup
    of the folder: whoever loses the CA's key has lost the swarms.

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
    ledger
        An SQLite file (default: ledger.sqlite3 in the folder), or postgresql://user@host/database.
    passphrase_file
        File with a passphrase that encrypts the keys of CA and torrent signer. (The environment's
        ALBUMSWARM_LICENSING_PASSPHRASE does so, too.)
    data
        The folder, new or empty.
    """
    settings: dict[str, object] = {
        "store": store,
        "public_url": public_url,
        "trackers": tracker or ("https://localhost:8444",),
    }
    settings["listen"] = listen or _listen_for(public_url)
    if ledger is not None:
        settings["ledger"] = ledger
    passphrase = environment_passphrase(ENVIRONMENT_VARIABLE)
    if passphrase_file is not None:
        passphrase = read_passphrase(passphrase_file)
        settings["passphrase_file"] = _absolute(passphrase_file)
    await found(
        DataFolder(data),
        settings,
        test_store=test_store,
        serials=random_serial,
        now=utc_now(),
        rng=random.SystemRandom(),
        passphrase=passphrase,
    )
    print_text(f"initialised {data}: keep swarm-ca.key.pem secret and backed up")


def _absolute(path: Path) -> str:
    return str(path.absolute())


def _listen_for(public_url: str) -> tuple[str, ...]:
    host, _, port = public_url.removeprefix("https://").partition(":")
    port = port or "443"
    return (f"localhost:{port}",) if host == "localhost" else (f"0.0.0.0:{port}", f"[::]:{port}")


@app.command
async def serve(
    *,
    listen: tuple[str, ...] = (),
    data: Path = DEFAULT_DATA,
    config: Path | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT.

    The log is one JSON object a line on standard error; "event": "serving" tells the address. It
    may be killed at any time: what was acknowledged is on disk.

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
