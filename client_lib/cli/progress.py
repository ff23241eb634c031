"""Progress of downloads: bars for people, JSON lines for programs."""

import dataclasses
import datetime as dt
import sys
from pathlib import Path
from typing import Protocol

import msgspec
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from client_lib.cli.selection import title
from client_lib.console import print_json
from client_lib.download import events
from client_lib.wire.licence import LicenceId
from client_lib.wire.licensing_api import LicenceRecord


class ProgressView(Protocol):
    """Shows events one after the other."""

    def show(self, event: events.Event) -> None:
        """Show one event."""

    def close(self) -> None:
        """Leave the terminal tidy."""


class JsonLines:
    """One JSON object a line on standard output: `event` is the event's name in kebab-case."""

    def show(self, event: events.Event) -> None:
        """Print it."""
        values = {
            field.name: _plain(getattr(event, field.name)) for field in dataclasses.fields(event)
        }
        name = "".join(f"-{c.lower()}" if c.isupper() else c for c in type(event).__name__)
        print_json({"event": name.lstrip("-"), **values})

    def close(self) -> None:
        """Nothing to tidy."""


class Bars:
    """A bar an album: title, rate, ETA, and how much came from customers and from seeders.

    Without a terminal it prints only what matters, a line each.
    """

    def __init__(self, licences: tuple[LicenceRecord, ...]) -> None:
        """Know the albums' titles."""
        self._titles = {licence.licence_id: title(licence) for licence in licences}
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
        self._bars.start()

    def show(self, event: events.Event) -> None:
        """Draw it."""
        name = self._titles.get(event.licence_id, event.name)
        match event:
            case events.Started():
                if event.resumed_bytes:
                    there = f"{decimal(event.resumed_bytes)} of {decimal(event.total_bytes)}"
                    self._say(f"{name}: resuming, {there} are there and verified")
            case events.Progress():
                self._draw(name, event)
            case events.Trouble():
                self._say(f"{name}: {event.message}")
            case events.Finished():
                self._forget(event.licence_id)
                self._say(_finished_line(name, event))
            case events.Failed():
                self._forget(event.licence_id)
                self._say(f"{name}: failed: {event.error}")
            case events.Fallback():
                what = "fetching from the store's web seed too" if event.joined else "swarm alone"
                self._say(f"{name}: {what}")
            case events.CertificateRenewed():
                pass

    def close(self) -> None:
        """Remove the bars."""
        self._bars.stop()

    def _draw(self, name: str, event: events.Progress) -> None:
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
    eta = dt.timedelta(seconds=round(event.eta_s))
    return f"{decimal(event.download_rate_bytes_s)}/s, {eta} left"


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


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Exception):
        return {"type": type(value).__name__, "message": str(value)}
    return msgspec.to_builtins(value)
