"""Progress of downloads for people: a bar for each album under way, and one for all."""

import datetime as dt
import sys
import time

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from client_lib.cli.selection import title
from client_lib.cli.total_progress import TotalProgress
from client_lib.download import events
from client_lib.download.summary import JobSummary
from client_lib.wire.licence import LicenceId
from client_lib.wire.licensing_api import LicenceRecord


class Bars:
    """A bar for all, and one for each album under way: rate, ETA, who the bytes came from.

    Without a terminal it prints only what matters, a line each. With `giving`, complete albums
    that are given to others have bars too.
    """

    def __init__(self, licences: tuple[LicenceRecord, ...], *, giving: bool = False) -> None:
        """Know the albums' titles and sizes."""
        self._titles = {licence.licence_id: title(licence) for licence in licences}
        self._giving = giving
        self._ended: set[LicenceId] = set()
        self._total = TotalProgress({one.licence_id: one.size_bytes for one in licences})
        self._console = Console(file=sys.stderr, highlight=False)
        self._tasks: dict[LicenceId, TaskID] = {}
        self._bars = Progress(
            TextColumn("{task.fields[title]}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TextColumn("{task.fields[sources]}", markup=False, style="dim"),
            console=self._console,
            disable=not self._console.is_terminal,
            refresh_per_second=4,
        )
        self._all = self._bars.add_task(
            "", title="", total=None, rate="", sources="", visible=len(licences) > 1
        )
        self._bars.start()

    def show(self, event: events.Event) -> None:
        """Draw it."""
        if isinstance(event, events.Warned):
            self._say(f"warning: {event.message}")
            return
        if isinstance(event, events.PortMapped):
            self._say(event.detail)
            return
        name = self._titles.get(event.licence_id, event.name)
        self._total.update(event, time.monotonic())
        match event:
            case events.Started():
                self._ended.discard(event.licence_id)
                if event.resumed_bytes:
                    there = f"{decimal(event.resumed_bytes)} of {decimal(event.total_bytes)}"
                    self._say(f"{name}: resuming, {there} are there and verified")
            case events.Progress():
                self._draw(name, event)
            case events.Finished():
                self._forget(event.licence_id)
                self._say(_finished_line(name, event))
            case events.Failed():
                self._forget(event.licence_id)
                self._say(f"{name}: failed: {event.error}")
            case events.Paused() | events.DiskFull():
                self._forget(event.licence_id)
                self._say(f"{name}: {_waiting(event)}")
            case events.Stalled():
                self._say(f"{name}: nothing arrives: {event.detail}")
            case events.Trouble():
                self._say(f"{name}: {event.message}")
            case events.GoalReached():
                given = decimal(event.given_bytes)
                self._say(f"{name}: seeding goal reached, {given} given in all")
                self._forget(event.licence_id)
            case events.Fallback():
                what = "fetching from the store's web seed too" if event.joined else "swarm alone"
                self._say(f"{name}: {what}")
            case _:
                pass  # said by what follows, or of no interest to a person
        self._draw_total()

    def end(self, summary: JobSummary) -> None:
        """Say how many albums ended how, if there were several."""
        if len(summary.done) + len(summary.failed) + len(summary.skipped) > 1:
            parts = [f"{len(summary.done)} done ({decimal(summary.received_bytes)} received)"]
            parts += [f"{len(summary.failed)} failed"] * bool(summary.failed)
            parts += [f"{len(summary.skipped)} skipped"] * bool(summary.skipped)
            self._say(", ".join(parts))

    def close(self) -> None:
        """Remove the bars."""
        self._bars.stop()

    def _draw_total(self) -> None:
        total = self._total
        eta = "" if total.eta_s is None else f", {_duration(total.eta_s)} left"
        self._bars.update(
            self._all,
            title=f"{total.ended} of {total.albums} albums",
            total=total.total_bytes,
            completed=total.verified_bytes,
            rate=f"{decimal(round(total.rate_bytes_s))}/s{eta}",
        )

    def _draw(self, name: str, event: events.Progress) -> None:
        if event.licence_id in self._ended and not self._giving:
            return
        if event.licence_id not in self._tasks:
            self._tasks[event.licence_id] = self._bars.add_task(
                "", title=name, total=event.total_bytes, rate="", sources=""
            )
        self._bars.update(
            self._tasks[event.licence_id],
            completed=event.verified_bytes,
            rate=_rate(event),
            sources=_sources(event),
        )

    def _forget(self, licence_id: LicenceId) -> None:
        self._ended.add(licence_id)
        task = self._tasks.pop(licence_id, None)
        if task is not None:
            self._bars.remove_task(task)

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)


def _rate(event: events.Progress) -> str:
    if event.checking:
        return "checking what is there"
    if event.verified_bytes == event.total_bytes:
        return f"giving {decimal(event.upload_rate_bytes_s)}/s"
    if event.eta_s is None:
        return f"waiting, {event.connected_peers} peers"
    return f"{decimal(event.download_rate_bytes_s)}/s, {_duration(event.eta_s)} left"


def _duration(seconds: float) -> str:
    return str(dt.timedelta(seconds=round(seconds)))


def _waiting(event: events.Paused | events.DiskFull) -> str:
    if isinstance(event, events.Paused):
        return "paused (`albumswarm queue resume` lets it go on)"
    needed, free = decimal(event.needed_bytes), decimal(event.free_bytes)
    return f"waits for room in {event.where}: {needed} to come, {free} free"


def _sources(event: events.Progress) -> str:
    customers, seeders = event.from_customers_bytes, event.from_seeders_bytes
    if not customers + seeders:
        return ""
    share = customers * 100 // (customers + seeders)
    return f"{share}% from customers, {100 - share}% from seeders"


def _finished_line(name: str, event: events.Finished) -> str:
    if event.already_there:
        return f"{name}: already complete in {event.folder}"
    split = (
        f"{decimal(event.from_customers_bytes)} from customers, "
        f"{decimal(event.from_seeders_bytes)} from seeders"
    )
    return f"{name}: complete in {event.folder} ({split}, {event.seconds:.0f} s)"
