"""Work out how many seeders a store needs."""

import msgspec
from rich.filesize import decimal
from rich.table import Table

from client_lib.byte_counts import parse_bytes
from client_lib.console import human_console, print_json
from client_lib.errors import UsageError
from seeder.cli.durations import seconds
from seeder.cli.root import app
from seeder.config import named_option
from seeder.planning import Plan, Store, plan


@app.command(name="plan")
def plan_command(
    *,
    purchases_per_day: float,
    album: str = "400MB",
    rate: str = "1MB",
    upload: str = "600kB",
    seeding: str = "2h",
    peak: float = 2.5,
    releases: int = 10_000,
    zipf: float = 0.8,
    line: str = "125MB",
    price_per_gb: float = 0.0,
    currency: str = "EUR",
    json: bool = False,
) -> None:
    """Say how many seeders a store needs, what its customers carry, and what that costs a month.

    By the bounds of Kumar and Ross, for swarms whose customers come by chance;
    docs/how-to/plan-seeders.md has the model. Nothing is contacted.

    Parameters
    ----------
    purchases_per_day
        Albums sold a day.
    album
        Mean size of an album.
    rate
        What every customer shall gain, bytes/s. The more above upload, the more seeders give.
    upload
        What a customer's line gives, bytes/s.
    seeding
        How long a customer stays when it is complete: 0s, 30min, 2h.
    peak
        Purchases in the busiest hour, over those in a mean hour.
    releases
        Releases among which the purchases fall.
    zipf
        How unevenly: 0 for evenly, 1 for a few hits and a long tail.
    line
        What a seeder's line carries, bytes/s.
    price_per_gb
        What 10^9 bytes from a seeder cost.
    currency
        Of that price.
    json
        Print it as JSON.
    """
    asked: dict[str, object] = {
        "purchases_per_day": purchases_per_day,
        "album_bytes": parse_bytes("--album", album),
        "rate_bytes_s": parse_bytes("--rate", rate),
        "upload_bytes_s": parse_bytes("--upload", upload),
        "seeding_s": seconds("--seeding", seeding),
        "peak": peak,
        "releases": releases,
        "zipf": zipf,
        "line_bytes_s": parse_bytes("--line", line),
        "price_per_gb": price_per_gb,
    }
    try:
        found = plan(msgspec.convert(asked, Store))
    except msgspec.ValidationError as error:
        raise UsageError(named_option(error, ("_bytes_s", "_bytes", "_s"))) from error
    if json:
        print_json(found)
    else:
        human_console().print(_table(found, currency))


def _table(found: Plan, currency: str) -> Table:
    table = Table(show_header=False, box=None)
    table.add_row("customers online", f"{found.customers_online:.0f} in the peak hour")
    table.add_row("they gain together", f"{decimal(round(found.demand_bytes_s))}/s")
    table.add_row(
        "seeders' part",
        f"{decimal(round(found.seeder_bytes_s))}/s, laid out for "
        f"{decimal(round(found.laid_out_bytes_s))}/s; offload {100 * found.offload_at_peak:.1f} %",
    )
    table.add_row("nodes", f"{found.nodes}, one of them spare")
    table.add_row(
        "a month",
        f"{found.delivered_gb:.0f} GB delivered, {found.seeder_gb:.0f} GB of it by seeders; "
        f"offload {100 * found.offload:.1f} %",
    )
    if found.cost_without_swarm:
        table.add_row(
            "costs",
            f"{found.cost:.2f} {currency}; without the swarm {found.cost_without_swarm:.2f} "
            f"{currency}",
        )
    return table
