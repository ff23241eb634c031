"""What downloads print with `--json`: an event a line, and a summary last.

Names and meanings stay within a major version; fields, events and values may be added, so readers
ignore what they do not know. `docs/protocol/command-line.json` is made from what is here.
"""

import dataclasses
import typing
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from client_lib.download import events
from client_lib.download.summary import JobSummary
from client_lib.wire.release import TorrentNameField


class ErrorSaid(msgspec.Struct, frozen=True):
    """An error: the name of its class in `client_lib.errors`, and its sentence."""

    type: str
    message: str


class FailedAlbum(msgspec.Struct, frozen=True):
    """An album that could not be completed."""

    name: TorrentNameField
    error: ErrorSaid


class Summary(msgspec.Struct, frozen=True, tag_field="event", tag="summary"):
    """The last line of `get` and `seed`; `exit_code` is that of the command."""

    done: tuple[TorrentNameField, ...]
    failed: tuple[FailedAlbum, ...]
    skipped: tuple[TorrentNameField, ...]
    received_bytes: Annotated[int, msgspec.Meta(ge=0)]
    exit_code: Literal[0, 1, 2, 3, 4]


EVENTS: tuple[type, ...] = typing.get_args(events.Event)


def event_name(kind: type) -> str:
    """Name of an event: that of its class in kebab-case."""
    name = "".join(f"-{c.lower()}" if c.isupper() else c for c in kind.__name__)
    return name.removeprefix("-")


def event_line(event: events.Event) -> dict[str, object]:
    """An event as an object: its name as `event`, and its fields."""
    fields = (field.name for field in dataclasses.fields(event))
    return {
        "event": event_name(type(event)),
        **{name: _plain(getattr(event, name)) for name in fields},
    }


def summary_line(summary: JobSummary) -> Summary:
    """How a job ended."""
    return Summary(
        done=tuple(end.name for end in summary.done),
        failed=tuple(FailedAlbum(end.name, _error(end.error)) for end in summary.failed),
        skipped=summary.skipped,
        received_bytes=summary.received_bytes,
        exit_code=typing.cast("Literal[0, 1, 2, 3, 4]", summary.exit_code),
    )


def _error(error: Exception) -> ErrorSaid:
    return ErrorSaid(type(error).__name__, str(error))


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Exception):
        return _error(value)
    return value
