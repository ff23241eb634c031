"""Single pieces of a torrent: read one, want some sooner, put in one from elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import libtorrent as lt
import trio

from client_lib.errors import StorageError

NORMAL, SOONEST = 4, 7
"""libtorrent's priorities."""


@dataclass(eq=False, slots=True)
class _Read:
    data: bytes | None = None
    failure: str = ""
    done: trio.Event = field(default_factory=trio.Event)


class Pieces:
    """Pieces by index. A `Torrent` has one; `held_back` are those that must not come yet."""

    def __init__(self, handle: lt.torrent_handle, held_back: set[int]) -> None:
        """Made by `Torrent`."""
        self._handle = handle
        self._held_back = held_back
        self._verified: set[int] | None = None
        self._hastened: frozenset[int] = frozenset()
        self._reads: dict[int, list[_Read]] = {}

    def __contains__(self, piece: object) -> bool:
        """Tell whether a piece is here and verified."""
        return piece in self.verified

    @property
    def verified(self) -> set[int]:
        """Pieces that are here; not to be changed."""
        if self._verified is None:
            flags = self._handle.status().pieces
            self._verified = {piece for piece, there in enumerate(flags) if there}
        return self._verified

    async def read(self, piece: int) -> bytes:
        """Bytes of a verified piece, from libtorrent's cache or the disk. Raises StorageError."""
        mine = _Read()
        waiting = self._reads.setdefault(piece, [])
        waiting.append(mine)
        if len(waiting) == 1:
            self._handle.read_piece(piece)
        await mine.done.wait()
        if mine.data is None:
            raise StorageError(f"piece {piece} cannot be read: {mine.failure}")
        return mine.data

    def hasten(self, deadlines_ms: Mapping[int, int]) -> None:
        """Want these pieces first, within so many milliseconds; others as ever again."""
        wanted = frozenset(deadlines_ms) - self._held_back
        past, new = self._hastened - wanted, wanted - self._hastened
        self._hastened = wanted
        for piece in past:
            self._handle.reset_piece_deadline(piece)
        back = [(piece, NORMAL) for piece in past - self.verified - self._held_back]
        if back or new:
            self._handle.prioritize_pieces(back + [(piece, SOONEST) for piece in new])
        for piece in sorted(new):
            self._handle.set_piece_deadline(piece, deadlines_ms[piece])

    def leave_to_us(self, piece: int) -> None:
        """Ask no peer for a piece (any more) that is being fetched elsewhere."""
        if piece in self._hastened:
            self._hastened -= {piece}
            self._handle.reset_piece_deadline(piece)
        self._handle.prioritize_pieces([(piece, 0)])

    def back_to_peers(self, piece: int) -> None:
        """Have a piece from peers again."""
        if piece not in self.verified and piece not in self._held_back:
            self._handle.prioritize_pieces([(piece, NORMAL)])

    def put(self, piece: int, data: bytes) -> None:
        """Put in a piece from elsewhere: libtorrent hashes and writes it as any other."""
        self.back_to_peers(piece)
        self._handle.add_piece(piece, data, 0)

    def abandon_reads(self, why: str) -> None:
        """Have every read that is under way fail."""
        for piece in tuple(self._reads):
            self._answer(piece, None, why)

    def forget(self) -> None:
        """Forget what is here: everything is hashed again."""
        self._verified = set()

    def on_verified(self, piece: int) -> None:
        """Note a piece that passed its hash check."""
        if self._verified is not None:
            self._verified.add(piece)

    def on_read(self, alert: lt.read_piece_alert) -> None:
        """Take what was read, before the alert dies."""
        if alert.error.value():
            if self._verified is not None:
                self._verified.discard(alert.piece)
            self._answer(alert.piece, None, alert.error.message())
        else:
            self._answer(alert.piece, bytes(alert.buffer), "")

    def _answer(self, piece: int, data: bytes | None, failure: str) -> None:
        for read in self._reads.pop(piece, []):
            read.data, read.failure = data, failure
            read.done.set()
