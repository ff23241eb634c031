"""What a node needs of an origin, whatever it is."""

from typing import Protocol

from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import TorrentName
from seeder.origins.pieces import PieceMap


class Reader(Protocol):
    """Reads the pieces of one release. Blocking; called in threads."""

    def read(self, piece: int) -> bytes:
        """A piece, verified. Raises StorageError (DamagedPiece)."""

    def hold(self, *, in_use: bool) -> None:
        """Say whether somebody is downloading the release just now. From the event loop."""


class Origin(Protocol):
    """Published releases. Blocking; called in threads."""

    def torrent(self, name: TorrentName) -> bytes | None:
        """A release's torrent as published, or None. Raises StorageError."""

    def where(self, name: TorrentName) -> str:
        """How to name a release's place to a person."""

    def defect(self, torrent: Metainfo) -> str | None:
        """Say what is plainly wrong with a release's files, or None."""

    def reader(self, torrent: Metainfo, pieces: PieceMap) -> Reader:
        """A reader of a release's pieces."""
