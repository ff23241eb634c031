"""What one swarm lacks, from its peers and what they said to have left."""

from collections.abc import Callable

from client_lib.wire.demand import SwarmDemand
from client_lib.wire.infohash import TruncatedInfoHash
from tracker.swarms.peers import OWNER_BYTES, Owner, Standing
from tracker.swarms.swarm import Swarm

LeftBytes = Callable[[Owner, TruncatedInfoHash, bytes], int | None]
"""What a client of an owner said to have left in a swarm; None where that is not known."""

_LOOKED_AT = 64
"""Leechers of a swarm at most, 4 µs each, newest first; the sum is scaled up from them."""


def needs(info_hash: TruncatedInfoHash, swarm: Swarm, left_bytes: LeftBytes) -> SwarmDemand:
    """Measure a swarm. A dual-stack leecher counts once; of a large swarm a part is looked at."""
    known: dict[tuple[bytes, bytes], int] = {}
    for side in swarm.sides:
        pool = side.pools[Standing.LEECHER]
        there = len(pool.slots)
        every = max(1, -(-there // _LOOKED_AT))
        for index in range(there - 1, -1, -every):
            owner, client = Owner(pool.slots[index][:OWNER_BYTES]), pool.client(index)
            if (owner, client) not in known:
                left = left_bytes(owner, info_hash, client)
                if left is not None:
                    known[owner, client] = left
    leechers, complete, central = swarm.counts
    total = sum(known.values())
    return SwarmDemand(
        info_hash.hex(),
        leechers,
        complete,
        central,
        total * leechers // len(known) if known else 0,
        max(known.values(), default=0),
    )


def worth_telling(before: SwarmDemand | None, now: SwarmDemand) -> bool:
    """Whether seeders should hear of it: counts changed, or an eighth of what was left arrived."""
    if before is None:
        return True
    if (before.leechers, before.complete, before.central) != (
        now.leechers,
        now.complete,
        now.central,
    ):
        return True
    return abs(now.left_bytes - before.left_bytes) * 8 > before.left_bytes
