"""`albumswarm-tracker`: the command line of the tracker."""

import functools
import sys
from pathlib import Path
from typing import Annotated, Any

import cyclopts
import msgspec
import structlog
import trio

from client_lib import __version__
from client_lib.config import load_config
from client_lib.console import EXIT_CODES, new_app, run_app, show_status
from client_lib.errors import UsageError
from client_lib.service.process import configure_logs, run_until_signalled
from tracker.app import serve as serve_tracker
from tracker.cli.status import rendered
from tracker.config import MAX_WORKERS, TrackerConfig
from tracker.operating.control import tracker_status
from tracker.workers import STOPPING_S, WorkerFailed, serve_as_worker, supervise

_HELP = f"""Introduces licensed peers to each other.

`albumswarm-tracker serve --help` has an example. {EXIT_CODES}
"""

app = new_app("albumswarm-tracker", _HELP, __version__)

_Workers = Annotated[
    int, cyclopts.Parameter(validator=cyclopts.validators.Number(gte=1, lte=MAX_WORKERS))
]
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
    workers: _Workers | None = None,
    plain_listen: list[str] | None = None,
    metrics_listen: str | None = None,
) -> None:
    r"""Serve announces until SIGTERM or SIGINT.

    It needs a licensing service that answers once: for the swarm CA, a host certificate and the
    revocation list, which are then kept in the data folder and renewed while serving. While
    licensing is away, those who hold a certificate are served for a day. The log is one JSON
    object a line on standard error; `"event": "serving"` tells the address. The tracker may be
    killed at any time: swarms and accounts are on disk every few seconds.

    Example, on the machine whose name licensing was told as a tracker's (see
    docs/how-to/run-tracker.md):

        albumswarm-licensing api-key tracker --host tracker.example > tracker.key
        albumswarm-tracker serve --licensing-url https://licensing.example \
            --api-key-file tracker.key

    Parameters
    ----------
    config
        TOML file: these options (`licensing_url = "https://…"`), intervals, limits and prices. All
        keys are in docs/how-to/run-tracker.md. Options win over the file.
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
    workers
        Processes, one a core (default: 1). Worker N listens on every port plus N and keeps
        its things in `worker-N` of the data folder; each one's URL goes into licensing's
        `trackers`.
    plain_listen
        `host:port` or `unix:/path` for plain HTTP from nginx or HAProxy, which pass the client's
        certificate on as `Client-Cert` (RFC 9440). May be given several times.
    metrics_listen
        `host:port` on loopback for Prometheus' `/metrics` (default: none).
    """
    flags = {
        "data": data,
        "licensing_url": licensing_url,
        "licensing_ca": licensing_ca,
        "api_key_file": api_key_file,
        "swarm_ca": swarm_ca,
        "host": host,
        "port": port,
        "workers": workers,
        "plain_listen": None if plain_listen is None else tuple(plain_listen),
        "metrics_listen": metrics_listen,
    }
    settings = effective_config(config, flags)
    configure_logs()
    if settings.workers == 1:
        await run_until_signalled(lambda stop: serve_tracker(settings, stop))
        return
    await _serve_with_workers(settings)


@app.command
async def status(
    *,
    config: Path | None = None,
    data: Path | None = None,
    watch: bool = False,
    json: bool = False,
) -> None:
    """Show how the tracker is doing: swarms, peers, offload, savings, refusals, fleet, oddities.

    All workers that serve from the data folder are asked. Exit code 4 if none does.

    Parameters
    ----------
    config
        TOML file, the one of `serve`.
    data
        Folder of `serve` (default: tracker-data).
    watch
        Again every two seconds.
    json
        One object a line instead of tables.
    """
    settings = effective_config(config, {"data": data})
    await show_status(
        functools.partial(tracker_status, settings.data), rendered, watch=watch, json=json
    )


@app.command(show=False)
async def worker(number: int) -> None:
    """Serve as one of the workers of `serve --workers`, which starts this."""
    configure_logs()
    structlog.contextvars.bind_contextvars(worker=number)
    await run_until_signalled(serve_as_worker)


async def _serve_with_workers(settings: TrackerConfig) -> None:
    failure: WorkerFailed | None = None

    async def run(stop: trio.Event) -> None:
        nonlocal failure
        try:
            await supervise(settings, stop)
        except WorkerFailed as failed:
            failure = failed

    await run_until_signalled(run, grace_s=STOPPING_S)
    if failure is not None:
        sys.exit(max(1, failure.returncode))  # it has said why itself, on our standard error


def effective_config(file: Path | None, flags: dict[str, Any]) -> TrackerConfig:
    """Configuration file, or defaults, with the given (not None) flags on top."""
    config = TrackerConfig() if file is None else load_config(file, TrackerConfig)
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return msgspec.structs.replace(config, **given)
    except ValueError as error:
        raise UsageError(str(error)) from error


def main() -> None:
    """Run the command line and exit."""
    run_app(app)


if __name__ == "__main__":
    main()
