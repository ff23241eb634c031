"""What of an album that is being fetched is on the disk, and when that is noted."""

from collections.abc import Awaitable, Callable

import trio

from client_lib.download.disk.hashing_ahead import HashingAhead
from client_lib.swarm.torrent import Torrent

_WRITTEN_S = 0.25  # with half a second 20 kills cost 1.056 times the bytes in the drill
# What a crash leaves behind its last point is hashed by the next run: 64 MB in 0.1 s or less.
_SHARE = 64
_LEAST_BYTES = 8 << 20
_PAUSE_S = 2.0
_LATEST_S = 5.0


async def keep_resumable(
    torrent: Torrent,
    piece_length_bytes: int,
    keep: Callable[[], Awaitable[None]],
    hashing: HashingAhead | None = None,
) -> None:
    """Have everything written four times a second; keep a resume point when enough has come since.

    Enough is 1/64 of the album and 8 MiB, or what came in five seconds; never sooner than two
    seconds after the last point. So small albums on a fast line have none at all. `hashing` hears
    what has been written. For ever.
    """
    step = max(1, torrent.piece_count // _SHARE, _LEAST_BYTES // piece_length_bytes)
    kept = written = torrent.pieces_verified
    began_s = trio.current_time()
    kept_s: float | None = None
    while True:
        await trio.sleep(_WRITTEN_S)
        verified = torrent.pieces_verified
        reached = hashing.reached() if hashing is not None and verified > written else {}
        past_s = trio.current_time() - (began_s if kept_s is None else kept_s)
        enough = verified - kept >= step and (kept_s is None or past_s >= _PAUSE_S)
        if verified > kept and (enough or past_s >= _LATEST_S):
            await keep()
            kept, kept_s = verified, trio.current_time()
        elif verified > written:
            # Left to itself, libtorrent keeps verified pieces in memory until it needs that.
            await torrent.flush()
        if reached and hashing is not None:
            hashing.written(reached)
        written = verified
