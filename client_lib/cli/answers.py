"""What the commands print with `--json`: the shape of every line.

Downloads print an event a line and a summary last, every other command one answer. Names and
meanings stay within a major version; fields, events and values may be added, so readers ignore
what they do not know. `docs/protocol/command-line.json` is made from what is here.
"""

import dataclasses
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from client_lib.download import events
from client_lib.download.queue import QueueEntry
from client_lib.download.summary import JobSummary
from client_lib.download.traffic import AlbumTraffic
from client_lib.download.verification import FileFinding
from client_lib.wire.licence import LicenceId
from client_lib.wire.licensing_api import (
    BalanceAnswer,
    LicenceRecord,
    PurchaseAnswer,
    RedemptionAnswer,
    ReleaseQuote,
)
from client_lib.wire.release import TorrentNameField

Count = Annotated[int, msgspec.Meta(ge=0)]


class ListedLicence(msgspec.Struct, frozen=True):
    """A licence; `folder` is where its album is complete on this device."""

    licence: LicenceRecord
    folder: str | None


class Listed(msgspec.Struct, frozen=True):
    """`list`."""

    licences: tuple[ListedLicence, ...]


class VerifiedAlbum(msgspec.Struct, frozen=True):
    """An album that was hashed: how many files it has, and those that are not what was bought.

    `surplus` are the customer's own files in its folder.
    """

    name: TorrentNameField
    files: Count
    wrong: tuple[FileFinding, ...]
    surplus: tuple[FileFinding, ...]


class VerifiedAlbums(msgspec.Struct, frozen=True):
    """`verify`."""

    albums: tuple[VerifiedAlbum, ...]


class RepairedAlbum(msgspec.Struct, frozen=True):
    """An album that is whole: which of its files were not, and where they came from."""

    name: TorrentNameField
    folder: str
    mended: tuple[FileFinding, ...]
    downloaded_bytes: Count
    reused_bytes: Count


class RepairedAlbums(msgspec.Struct, frozen=True):
    """`repair`, behind the events of its downloads."""

    albums: tuple[RepairedAlbum, ...]


class Exported(msgspec.Struct, frozen=True):
    """`export`."""

    name: TorrentNameField
    folder: str


class Queue(msgspec.Struct, frozen=True):
    """`queue show`, in order."""

    queue: tuple[QueueEntry, ...]


class Traffic(msgspec.Struct, frozen=True):
    """`stats`: over all runs, `albums` by licence id. `ratio` is null while nothing was taken."""

    total: AlbumTraffic
    ratio: float | None
    albums: dict[LicenceId, AlbumTraffic]


class SecretsState(msgspec.Struct, frozen=True):
    """`protect` and `unprotect`."""

    state: Literal["protected", "unprotected"]


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
    received_bytes: Count
    exit_code: Literal[0, 1, 2, 3, 4]


EVENTS: tuple[type, ...] = typing.get_args(events.Event)
ANSWERS: Mapping[str, type] = {
    "redeem": RedemptionAnswer,
    "list": Listed,
    "verify": VerifiedAlbums,
    "repair": RepairedAlbums,
    "stats": Traffic,
    "export": Exported,
    "balance": BalanceAnswer,
    "quote": ReleaseQuote,
    "buy": PurchaseAnswer,
    "protect": SecretsState,
    "unprotect": SecretsState,
    "queue show": Queue,
}
"""One line each. Commands that print an event a line, or nothing, are not in it."""


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
