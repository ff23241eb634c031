"""`albumswarm-tracker`: the command line of the tracker."""

from pathlib import Path
from typing import Annotated, Any

import cyclopts
import msgspec
import trio

from client_lib import __version__
from client_lib.config import load_config
from client_lib.console import new_app, run_app
from client_lib.service import configure_logs, run_until_signalled
from tracker.app import serve as serve_tracker
from tracker.config import TrackerConfig

app = new_app("albumswarm-tracker", "Introduces licensed peers to each other.", __version__)

_Port = Annotated[int, cyclopts.Parameter(validator=cyclopts.validators.Number(gte=0, lte=65_535))]


@app.command
async def serve(
    *,
    config: Path | None = None,
    data: Path | None = None,
    licensing_url: str | None = None,
    licensing_ca: Path | None = None,
    api_key_file: Path | None = None,
    swarm_ca: Path | None = None,
    host: str | None = None,
    port: _Port | None = None,
) -> None:
    """Serve announces until SIGTERM or SIGINT.

    Parameters
    ----------
    config
        TOML file; flags override it. Its keys are those of `tracker/config.py`.
    data
        Folder for what the tracker keeps (default: tracker-data).
    licensing_url
        The licensing service (default: https://localhost:8443).
    licensing_ca
        PEM file of the CA behind the licensing service's certificate (default: the system's).
    api_key_file
        File with the tracker's API key for licensing.
    swarm_ca
        PEM file of the swarm CA (default: fetched from licensing once).
    host
        Name or address to listen on (default: every interface).
    port
        Port to listen on, 0 for any free one (default: 8444).
    """
    flags = {
        "data": data,
        "licensing_url": licensing_url,
        "licensing_ca": licensing_ca,
        "api_key_file": api_key_file,
        "swarm_ca": swarm_ca,
        "host": host,
        "port": port,
    }
    settings = effective_config(config, flags)
    configure_logs()

    async def run(stop: trio.Event) -> None:
        await serve_tracker(settings, stop)

    await run_until_signalled(run)


def effective_config(file: Path | None, flags: dict[str, Any]) -> TrackerConfig:
    """Configuration file, or defaults, with the given (not None) flags on top."""
    config = TrackerConfig() if file is None else load_config(file, TrackerConfig)
    given = {name: value for name, value in flags.items() if value is not None}
    return msgspec.structs.replace(config, **given)


def main() -> None:
    """Run the command line and exit."""
    run_app(app)


if __name__ == "__main__":
    main()
