"""What commands other than downloads print with `--json`: one answer, on one line.

Names and meanings stay within a major version; fields and values may be added, so readers ignore
what they do not know. `docs/protocol/command-line.json` is made from what is here.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from client_lib.download.disk.verification import FileFinding
from client_lib.download.queue import QueueEntry
from client_lib.download.traffic.ledger import AlbumTraffic
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
