"""Giving a complete album to others, for as long as the customer wants."""

from collections.abc import Callable

import trio

from client_lib.download.events import Progress
from client_lib.download.traffic.ledger import AlbumTraffic
from client_lib.download.traffic.seeding_goal import SeedingGoal
from client_lib.download.traffic.totals import AlbumTotals
from client_lib.swarm.torrent import Torrent

_SAMPLE_S = 5.0  # a thousand albums may be given at once


async def give_until_goal(
    torrent: Torrent, totals: AlbumTotals, goal: SeedingGoal, emit: Callable[[Progress], None]
) -> AlbumTraffic:
    """Wait until a complete album has reached its goal, counting; returns what was counted.

    For ever without a goal.
    """
    while True:
        given = totals.all_time
        left_s = goal.seconds_left(given.given_bytes, torrent.total_bytes, given.given_s)
        if not left_s:
            await trio.lowlevel.checkpoint()
            return given
        began_s = trio.current_time()
        try:
            await trio.sleep(min(_SAMPLE_S, left_s))
        finally:
            totals.add_given_s(trio.current_time() - began_s)
        emit(totals.update(torrent.status(), torrent.peers))
