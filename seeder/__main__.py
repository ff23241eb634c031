"""`albumswarm-seeder`: the command line."""

import datetime as dt
import random
from typing import Literal

import trio
from rich.table import Table

from client_lib import __version__
from client_lib.console import human_console, new_app, print_json, run_app
from client_lib.service import configure_logs, run_until_signalled
from seeder import app as service
from seeder.cli.options import CommonOptions, Flag, LicensingOptions, Several, configured
from seeder.cli.publish import publish_command
from seeder.config import configure
from seeder.status import NodeStatus, read_status

app = new_app("albumswarm-seeder", "Publish albums and guarantee their delivery.", __version__)
app.command(publish_command, name="publish")


@app.command(name="serve")
async def serve_command(
    *,
    tracker: Several = (),
    port: int | None = None,
    web_seed_port: int | None = None,
    listen_host: str | None = None,
    upload_limit: str | None = None,
    policy: Literal["thrifty", "balanced", "fast"] | None = None,
    min_rate: str | None = None,
    poll_s: float | None = None,
    common: CommonOptions = CommonOptions(),
    licensing: LicensingOptions = LicensingOptions(),
) -> None:
    """Serve every published release that is in the origin, until SIGTERM.

    A release is loaded when the first customer asks for it, so that the catalogue may be as large
    as it likes.

    Parameters
    ----------
    tracker
        Base URL of a tracker, https://host:port; may be given several times.
    port
        Port for peers, 6881 by default; 0 takes any free one.
    web_seed_port
        Port of an HTTPS web seed for customers whose network blocks BitTorrent; none without it.
        The API key needs the web seed's host names. 0 takes any free port.
    listen_host
        Listen on this address only.
    upload_limit
        Upload limit of the node in bytes/s, such as 16MB; 0 for none.
    policy
        thrifty gives each piece once and lets the customers do the rest; fast gives all that the
        line carries; balanced, the default, lies between.
    min_rate
        No customer shall gain less while there is capacity, such as 100kB (bytes/s).
    poll_s
        Seconds between two looks at the catalogue.
    """
    config = configured(
        common,
        licensing,
        trackers=tracker or None,
        port=port,
        web_seed_port=web_seed_port,
        listen_host=listen_host,
        upload_limit=upload_limit,
        policy=policy,
        min_rate=min_rate,
        poll_s=poll_s,
    )
    configure_logs()

    async def serve(stop: trio.Event) -> None:
        await service.serve(
            config, stop, clock=lambda: dt.datetime.now(dt.UTC), rng=random.SystemRandom()
        )

    await run_until_signalled(serve)


@app.command(name="status")
async def status_command(
    *,
    json: Flag = False,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Show what the node that serves from DATA is doing.

    Parameters
    ----------
    json
        Print it as JSON.
    """
    config = configure(common.config, data=common.data, origin=common.origin)
    status = await trio.to_thread.run_sync(read_status, config.data_folder)
    if json:
        print_json(status)
    else:
        human_console().print(_table(status))


def _table(status: NodeStatus) -> Table:
    age_s = (dt.datetime.now(dt.UTC) - status.updated_at).total_seconds()
    heading = (
        f"{status.seeder_id}, port {status.port}, {status.policy}: {status.state}, "
        f"as of {age_s:.0f} s ago, {status.customers} customers"
    )
    if status.web_seed_port is not None:
        sent = f"{status.web_seed_bytes / 1e6:.1f} MB"
        heading += f"; web seed on port {status.web_seed_port}, {sent} since the start"
    table = Table(title=heading)
    for column in ("release", "MB", "MB uploaded", "customers", "copies with them", "problem"):
        table.add_column(column)
    for release in status.releases:
        table.add_row(
            release.name,
            f"{release.size_bytes / 1e6:.1f}",
            f"{release.uploaded_total_bytes / 1e6:.1f}",
            f"{release.customers} ({release.leechers} downloading)",
            f"{release.copies:.2f}",
            release.problem or "",
        )
    return table


def main() -> None:
    """Run the command line."""
    run_app(app)


if __name__ == "__main__":
    main()
