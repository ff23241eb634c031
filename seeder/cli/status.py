"""Show what a node is doing."""

import datetime as dt

import trio
from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from client_lib.console import printable, show_status
from client_lib.service.fleet_table import fleet_table
from seeder.cli.root import NO_COMMON, CommonOptions, app
from seeder.config import configure
from seeder.status import NodeState, NodeStatus, ReleaseStatus, read_status

_SHOWN_RELEASES = 20
_OLD_S = 10.0


@app.command(name="status")
async def status_command(
    *,
    watch: bool = False,
    json: bool = False,
    common: CommonOptions = NO_COMMON,
) -> None:
    """Show what the node that serves from DATA is doing, or did last.

    Load, hot releases, caches, offload and cost of this node, and the fleet that it knows of.

    Parameters
    ----------
    watch
        Again every two seconds.
    json
        Print it as JSON, one object a line; docs/how-to/run-seeder.md has its members.
    """
    data = configure(common.config, data=common.data, origin=common.origin).data_folder

    async def read() -> NodeStatus:
        return await trio.to_thread.run_sync(read_status, data)

    def now_rendered(status: NodeStatus) -> RenderableType:
        return rendered(status, dt.datetime.now(dt.UTC))

    await show_status(read, now_rendered, watch=watch, json=json)


def rendered(status: NodeStatus, now: dt.datetime) -> RenderableType:
    """Tables for a terminal."""
    parts: list[RenderableType] = [_overview(status, now)]
    if status.releases:
        parts.append(_releases(status))
    if status.fleet:
        parts.append(fleet_table(status.fleet, now.timestamp()))
    problems = _problems(status, now)
    if problems:
        parts.append(_listed("problems", problems))
    return Group(*parts)


def _overview(status: NodeStatus, now: dt.datetime) -> Table:
    table = Table(show_header=False, box=None)
    age_s = max(0.0, (now - status.updated_at).total_seconds())
    table.add_row("node", f"{status.seeder_id}, port {status.port}, {status.policy}")
    table.add_row("state", f"{status.state}, as of {age_s:.0f} s ago")
    drain = status.drain
    if drain is not None:
        until = drain.until.astimezone().strftime("%H:%M:%S")
        others = "no other node takes over" if drain.alone else "others take over"
        table.add_row("", f"{drain.waiting_for} customers need it, until {until} at most; {others}")
    leechers = sum(release.leechers for release in status.releases)
    table.add_row("customers", f"{status.customers}, downloading {leechers}")
    line = status.line
    limit = f" of {decimal(line.limit_bytes_s)}/s" if line.limit_bytes_s else ", no limit"
    table.add_row("uploading", f"{decimal(line.upload_bytes_s)}/s{limit}")
    cost = status.cost
    paid = f", {cost.total:.2f} {cost.currency}" if cost.per_gb else ""
    table.add_row("uploaded", f"{decimal(status.uploaded_total_bytes)}{paid}")
    if status.web_seed_port is not None:
        sent = decimal(status.web_seed_bytes)
        table.add_row("web seed", f"port {status.web_seed_port}, {sent} of that since the start")
    table.add_row(
        "releases", f"{status.loaded_releases} loaded, catalogue at {status.catalogue_position}"
    )
    memory = status.memory
    table.add_row(
        "piece memory",
        f"{decimal(memory.used_bytes)} of {decimal(memory.capacity_bytes)}, "
        f"{memory.hits} hits, {memory.misses} reads",
    )
    cache = status.cache
    if cache is not None:
        table.add_row(
            "disk cache",
            f"{decimal(cache.used_bytes)} of {decimal(cache.capacity_bytes)}, {cache.hits} hits, "
            f"{cache.misses} misses, {cache.evictions} evictions",
        )
    crl = status.crl
    confirmed = "never confirmed" if crl.age_s is None else f"confirmed {crl.age_s:.0f} s ago"
    table.add_row(
        "revocations", f"{crl.revoked} certificates, {confirmed}; {status.revoked_cuts} cut"
    )
    refused = ", ".join(f"{count} {reason}" for reason, count in sorted(status.refused.items()))
    table.add_row("refused", f"{status.refused_connections}" + (f": {refused}" if refused else ""))
    return table


def _releases(status: NodeStatus) -> Table:
    hot = sorted(status.releases, key=_heat, reverse=True)
    more = len(hot) - _SHOWN_RELEASES
    title = "releases, hot ones first" + (f" ({more} more with --json)" if more > 0 else "")
    table = Table(title=title, title_justify="left")
    table.add_column("release", no_wrap=True)  # to be copied from
    for name in ("size", "customers", "copies with them", "offload", "uploaded"):
        table.add_column(name, justify="right")
    for release in hot[:_SHOWN_RELEASES]:
        table.add_row(
            Text(printable(release.name), style="red" if release.problem else ""),
            decimal(release.size_bytes),
            f"{release.customers} ({release.leechers} downloading)",
            f"{release.copies:.2f}",
            "-" if release.offload is None else f"{100 * release.offload:.1f} %",
            decimal(release.uploaded_total_bytes),
        )
    return table


def _heat(release: ReleaseStatus) -> tuple[bool, int, int, int]:
    problem = release.problem is not None
    return problem, release.leechers, release.customers, release.uploaded_total_bytes


def _problems(status: NodeStatus, now: dt.datetime) -> list[str]:
    found = [f"{each.url}: {each.problem}" for each in status.trackers if each.problem]
    found += [f"{each.name}: {each.problem}" for each in status.releases if each.problem]
    if status.cache is not None and status.cache.problem is not None:
        found.append(f"disk cache: {status.cache.problem}")
    if not status.crl.current:
        found.append("the revocation list is too old, or was never had")
    if status.certificate_expires_at <= now and status.state is not NodeState.STOPPED:
        found.append("the node's certificate has ended")
    if status.state is not NodeState.STOPPED and (now - status.updated_at).total_seconds() > _OLD_S:
        found.append("the node has died, or cannot write its status: see its log")
    return found


def _listed(title: str, lines: list[str]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, title_style="red")
    for line in lines:
        table.add_row(Text(printable(line)))
    return table
