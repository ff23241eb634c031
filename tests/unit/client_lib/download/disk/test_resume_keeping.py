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

    @property
    def pieces_verified(self) -> int:
        return min(
            self.piece_count, int((trio.current_time() - self.began_s) * self.pieces_s + 1e-6)
        )

    async def wait_verified(self, pieces: int) -> None:
        if pieces > self.piece_count:
            await trio.sleep_forever()
        await trio.sleep_until(self.began_s + pieces / self.pieces_s)


async def points(line: Line, within_s: float) -> list[float]:
    """Seconds at which points were taken."""
    taken: list[float] = []

    async def keep() -> None:
        taken.append(round(trio.current_time() - line.began_s, 1))
        await trio.lowlevel.checkpoint()

    with trio.move_on_after(within_s):
        await keep_resumable(cast("Torrent", line), MIB, keep)
    return taken


async def test_a_small_album_on_a_fast_line_has_none(autojump_clock: MockClock) -> None:
    assert await points(Line(pieces=7, pieces_s=10), within_s=0.7) == []


async def test_a_large_one_has_one_each_64th_but_not_each_moment(autojump_clock: MockClock) -> None:
    assert await points(Line(pieces=640, pieces_s=100), within_s=6.4) == [0.1, 2.1, 4.1, 6.1]
    slow = await points(Line(pieces=6_400, pieces_s=25), within_s=17)
    assert slow == [4.0, 8.0, 12.0, 16.0]


async def test_on_a_slow_line_what_came_in_five_seconds_is_kept(autojump_clock: MockClock) -> None:
    assert await points(Line(pieces=640, pieces_s=0.5), within_s=20) == [5.0, 12.0, 19.0]
    assert await points(Line(pieces=640, pieces_s=0.01), within_s=60) == []
