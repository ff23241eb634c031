"""Which central seeders serve a swarm: weighted rendezvous hashing over the live fleet.

Trackers and seeders compute it alone and agree, because they know the same fleet. A seeder that
comes or goes moves only the swarms that it wins or held (Thaler and Ravishankar, 1998); weights
after Schindelhauer and Schomaker (2005).
"""

import hashlib
import math
from collections.abc import Sequence

from client_lib.wire.demand import FleetMember

STANDBYS = 1
"""Seeders that customers know beside the active ones: they take over at once if one dies."""
_LEECHERS_PER_SEEDER = 64
_MOST_ACTIVE = 4


def active_count(leechers: int) -> int:
    """How many seeders share a swarm: one, unless it is hot."""
    return min(_MOST_ACTIVE, 1 + leechers // _LEECHERS_PER_SEEDER)


def placed(info_hash_hex: str, fleet: Sequence[FleetMember], count: int) -> tuple[FleetMember, ...]:
    """The `count` seeders of a swarm, first the one that wins it. Draining ones serve nothing new.

    `info_hash_hex`: 40 digits. A capacity of 0 says nothing, and counts as that of an average node.
    """
    staying = [member for member in fleet if not member.draining]
    known = [member.capacity for member in staying if member.capacity]
    usual = sum(known) / len(known) if known else 1.0
    ranked = sorted(
        staying,
        key=lambda member: _score(info_hash_hex, member.seeder_id, member.capacity or usual),
    )
    return tuple(ranked[:count])


def _score(info_hash_hex: str, seeder_id: str, capacity: float) -> float:
    digest = hashlib.blake2b(f"{info_hash_hex}/{seeder_id}".encode(), digest_size=8).digest()
    uniform = (int.from_bytes(digest, "big") + 1) / 2.0**64
    return -math.log(uniform) / capacity
