"""Show what a node is doing."""

import datetime as dt

import trio
from rich.table import Table

from client_lib.console import human_console, print_json
from seeder.cli.root import NO_COMMON, CommonOptions, Flag, app
from seeder.config import configure
from seeder.status import NodeStatus, read_status


@app.command(name="status")
async def status_command(
    *,
    json: Flag = False,
    common: CommonOptions = NO_COMMON,
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
