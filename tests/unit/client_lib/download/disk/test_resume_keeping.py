"""Resume points by bytes and by time: none for what is there at once, few on a fast line."""

from typing import cast

import trio
from trio.testing import MockClock

from client_lib.download.disk.resume_keeping import keep_resumable
from client_lib.swarm.torrent import Torrent

MIB = 1 << 20


class Line:
    """A torrent of 1 MiB pieces that come at a steady rate."""

    def __init__(self, pieces: int, pieces_s: float) -> None:
        self.piece_count = pieces
        self.pieces_s = pieces_s
        self.began_s = trio.current_time()
        self.flushed_s: list[float] = []

    @property
    def pieces_verified(self) -> int:
        return min(
            self.piece_count, int((trio.current_time() - self.began_s) * self.pieces_s + 1e-6)
        )

    async def flush(self) -> None:
        self.flushed_s.append(round(trio.current_time() - self.began_s, 2))
        await trio.lowlevel.checkpoint()


async def points(line: Line, within_s: float) -> list[float]:
    """Seconds at which points were taken."""
    taken: list[float] = []

    async def keep() -> None:
        taken.append(round(trio.current_time() - line.began_s, 2))
        await trio.lowlevel.checkpoint()

    with trio.move_on_after(within_s):
        await keep_resumable(cast("Torrent", line), MIB, keep)
    return taken


async def test_a_small_album_on_a_fast_line_has_none(autojump_clock: MockClock) -> None:
    line = Line(pieces=7, pieces_s=10)
    assert await points(line, within_s=0.9) == []
    assert line.flushed_s == [0.25, 0.5, 0.75]


async def test_a_large_one_has_one_each_64th_but_not_each_moment(autojump_clock: MockClock) -> None:
    assert await points(Line(pieces=640, pieces_s=100), within_s=6.4) == [0.25, 2.25, 4.25, 6.25]
    line = Line(pieces=6_400, pieces_s=25)
    assert await points(line, within_s=9.2) == [4.0, 8.0]
    assert line.flushed_s == [n / 4 for n in range(1, 37) if n not in (16, 32)]


async def test_on_a_slow_line_what_came_in_five_seconds_is_kept(autojump_clock: MockClock) -> None:
    line = Line(pieces=640, pieces_s=0.5)
    assert await points(line, within_s=20.2) == [5.0, 10.0, 15.0, 20.0]
    assert line.flushed_s == [2.0, 4.0, 6.0, 8.0, 12.0, 14.0, 16.0, 18.0], "when a piece has come"
    assert await points(Line(pieces=640, pieces_s=0.01), within_s=60) == []
