"""`albumswarm stats`: what this device took and gave."""

import datetime as dt

from rich.filesize import decimal

from client_lib.cli.answers import Traffic
from client_lib.cli.options import Options
from client_lib.console import print_json, print_table, print_text
from client_lib.download.traffic.file import read_traffic
from client_lib.download.traffic.ledger import AlbumTraffic, TrafficStats

_NO_OPTIONS = Options()


async def stats(*, options: Options = _NO_OPTIONS) -> None:
    """Show what was taken and given, by album and in all. Needs no network."""
    told = TrafficStats.of(read_traffic(options.data_folder()))
    if options.json:
        print_json(Traffic(told.total, told.ratio, told.albums))
        return
    if not told.albums:
        print_text("Nothing was taken or given yet.")
        return
    rows: list[tuple[str, ...]] = []
    rows += [("Name", "From customers", "From seeders", "From web seeds", "Given", "Ratio", "Time")]
    rows += [_row(album) for album in sorted(told.albums.values(), key=lambda one: one.name)]
    rows.append(_row(told.total))
    print_table(rows)


def _row(album: AlbumTraffic) -> tuple[str, ...]:
    taken = album.taken_bytes
    return (
        album.name,
        decimal(album.from_customers_bytes),
        decimal(album.from_seeders_bytes),
        decimal(album.from_web_seeds_bytes),
        decimal(album.given_bytes),
        f"{album.given_bytes / taken:.2f}" if taken else "-",
        str(dt.timedelta(seconds=round(album.given_s))),
    )
