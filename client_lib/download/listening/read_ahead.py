"""Which pieces a listener needs next, and how badly. Pure: positions and pieces are handed in.

Peers are asked for what lies within `far_bytes`, the nearest first. When less than `low_bytes` of
it is there, the listener is hungry until `near_bytes` are: then the store's web seed helps, and
other downloads stand back. At 1 Mbit/s 512 KiB are 4 seconds, 2 MiB are 16.
"""

from collections.abc import Container
from dataclasses import dataclass

_STEP_MS = 250  # from the deadline of one piece to the next one's
_MOST_PIECES = 64


@dataclass(frozen=True, slots=True)
class ReadAhead:
    """The policy's figures."""

    far_bytes: int = 8 << 20
    near_bytes: int = 2 << 20
    low_bytes: int = 512 << 10


@dataclass(frozen=True, slots=True)
class TrackPieces:
    """A file of a v2 torrent: it begins with a piece, and has its pieces for itself (BEP 52)."""

    first_piece: int
    piece_length_bytes: int
    length_bytes: int

    def piece_at(self, position_bytes: int) -> int:
        """Tell which piece has a byte of the file."""
        return self.first_piece + position_bytes // self.piece_length_bytes

    def start_of(self, piece: int) -> int:
        """Tell which byte of the file a piece begins with."""
        return (piece - self.first_piece) * self.piece_length_bytes

    def pieces(self, begin_bytes: int, end_bytes: int) -> range:
        """Pieces with any byte from `begin_bytes` to before `end_bytes`."""
        end_bytes = min(end_bytes, self.length_bytes)
        if begin_bytes >= end_bytes:
            return range(0)
        return range(self.piece_at(begin_bytes), self.piece_at(end_bytes - 1) + 1)


@dataclass(frozen=True, slots=True)
class Wishes:
    """Missing pieces, the nearest first: all within reach, and those that are near."""

    ahead: tuple[int, ...]
    near: tuple[int, ...]
    there_bytes: int
    """How much can be played from here without waiting."""
    to_come_bytes: int
    """How much of the file is left to play."""

    @property
    def deadlines_ms(self) -> dict[int, int]:
        """When to have the pieces, for the swarm."""
        return {piece: number * _STEP_MS for number, piece in enumerate(self.ahead)}

    def is_hungry(self, was: bool, tuning: ReadAhead) -> bool:
        """Tell whether too little is there; once hungry, until all that is near is there."""
        if was:
            return bool(self.near)
        return self.there_bytes < min(tuning.low_bytes, self.to_come_bytes)


def wishes(
    track: TrackPieces, position_bytes: int, there: Container[int], tuning: ReadAhead
) -> Wishes:
    """Look ahead from a position in the file."""
    far = track.pieces(position_bytes, position_bytes + tuning.far_bytes)
    near = track.pieces(position_bytes, position_bytes + tuning.near_bytes)
    missing = [piece for piece in far if piece not in there]
    end_bytes = position_bytes + tuning.far_bytes
    if missing:
        end_bytes = max(position_bytes, track.start_of(missing[0]))
    return Wishes(
        ahead=tuple(missing[:_MOST_PIECES]),
        near=tuple(piece for piece in missing if piece in near)[:_MOST_PIECES],
        there_bytes=min(end_bytes, track.length_bytes) - min(position_bytes, track.length_bytes),
        to_come_bytes=max(0, track.length_bytes - position_bytes),
    )
