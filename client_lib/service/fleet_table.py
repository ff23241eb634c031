"""The fleet of central seeders as a table for a terminal."""

from collections.abc import Sequence

from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from client_lib.console import printable
from client_lib.wire.demand import FleetMember


def fleet_table(fleet: Sequence[FleetMember], now_s: float) -> Table:
    """Draw a row a seeder; `now_s`: POSIX time."""
    table = Table(title="fleet", title_justify="left")
    for name in ("seeder", "where", "capacity", "state", "heard"):
        table.add_column(name)
    for node in fleet:
        table.add_row(
            Text(printable(node.seeder_id)),
            Text(f"{printable(', '.join(node.addresses))} port {node.port}"),
            f"{decimal(node.capacity)}/s" if node.capacity else "not limited",
            "draining" if node.draining else "serving",
            f"{max(0, int(now_s) - node.heard_at)} s ago",
        )
    return table
