"""What `albumswarm-tracker status` shows on a terminal: how all workers are doing."""

import datetime as dt

from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from client_lib.console import printable
from client_lib.service.fleet_table import fleet_table
from tracker.operating.status import Moved, TrackerStatus

_SHOWN_FLAGS = 10


def rendered(status: TrackerStatus) -> RenderableType:
    """Tables for a terminal."""
    parts: list[RenderableType] = [_overview(status), _offload(status)]
    if status.releases:
        parts.append(_releases(status))
    if status.refusals:
        parts.append(_counted("refused since the start", "reason", status.refusals))
    if status.fleet:
        parts.append(fleet_table(status.fleet, status.at))
    if status.flags:
        parts.append(_flags(status))
    return Group(*parts)


def _overview(status: TrackerStatus) -> Table:
    table = Table(show_header=False, box=None)
    table.add_row("workers", f"{len(status.workers)}: {', '.join(status.workers)}")
    if status.silent:
        table.add_row("silent", ", ".join(status.silent), style="red")
    table.add_row("up for", str(dt.timedelta(seconds=int(status.uptime_s))))
    table.add_row("swarms", f"{status.swarms}, with leechers {status.hot_swarms}")
    peers = status.peers
    table.add_row(
        "peers", f"{peers.leechers} leechers, {peers.complete} complete, {peers.central} central"
    )
    announces = status.announces
    table.add_row(
        "announces",
        f"{announces.get('licence', 0)} customers', {announces.get('seeder', 0)} seeders'",
    )
    crl = status.crl
    age = "never confirmed" if crl.age_s is None else f"confirmed {crl.age_s:.0f} s ago"
    table.add_row(
        "revocations",
        f"{crl.revoked} certificates, {age}{'' if crl.current else ': TOO OLD'}",
        style=None if crl.current else "red",
    )
    table.add_row(
        "saved", f"{decimal(status.total.saved_bytes)}, {status.saved_money:.2f} {status.currency}"
    )
    return table


def _offload(status: TrackerStatus) -> Table:
    table = Table(title="delivered", title_justify="left")
    for name in ("", "downloaded", "central uploaded", "offload", "albums"):
        table.add_column(name, justify="right" if name else "left")
    for day in status.days:
        table.add_row(day.date.isoformat(), *_cells(day.moved))
    table.add_row("ever", *_cells(status.total), style="bold")
    return table


def _releases(status: TrackerStatus) -> Table:
    table = Table(title="most moved today", title_justify="left")
    for name in ("release", "downloaded", "central uploaded", "offload", "albums"):
        table.add_column(name, justify="left" if name == "release" else "right")
    for each in status.releases:
        table.add_row(Text(printable(each.name or each.info_hash)), *_cells(each.moved))
    return table


def _cells(moved: Moved) -> tuple[str, ...]:
    offload = "-" if moved.offload is None else f"{100 * moved.offload:.1f} %"
    return (
        decimal(moved.downloaded_bytes),
        decimal(moved.central_uploaded_bytes),
        offload,
        str(moved.completions),
    )


def _counted(title: str, what: str, counts: dict[str, int]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(what)
    table.add_column("times", justify="right")
    for name, count in sorted(counts.items(), key=lambda item: -item[1]):
        table.add_row(name, str(count))
    return table


def _flags(status: TrackerStatus) -> Table:
    table = Table(title="to look at (nobody is banned for it)", title_justify="left")
    for name in ("flag", "who", "evidence", "times"):
        table.add_column(name)
    for flag in status.flags[:_SHOWN_FLAGS]:
        table.add_row(
            flag.kind, Text(printable(flag.subject)), Text(flag.evidence), str(flag.times)
        )
    return table
