"""When an album that is being fetched gets its next resume point."""

from collections.abc import Awaitable, Callable

import trio

from client_lib.swarm.torrent import Torrent

# What a crash leaves behind its last point is hashed by the next run: 64 MB in 0.1 s or less.
_SHARE = 64
_LEAST_BYTES = 8 << 20
_PAUSE_S = 2.0
_LATEST_S = 5.0


async def keep_resumable(
    torrent: Torrent, piece_length_bytes: int, keep: Callable[[], Awaitable[None]]
) -> None:
    """Keep a resume point when enough has come since the last one, for ever.

    Enough is 1/64 of the album and 8 MiB, or what came in five seconds; never sooner than two
    seconds after the last one. So small albums on a fast line have none at all.
    """
    step = max(1, torrent.piece_count // _SHARE, _LEAST_BYTES // piece_length_bytes)
    kept = torrent.pieces_verified
    while True:
        with trio.move_on_after(_LATEST_S):
            await torrent.wait_verified(kept + step)
        if torrent.pieces_verified > kept:
            kept = torrent.pieces_verified
            await keep()
            await trio.sleep(_PAUSE_S)
