"""Which tracker a swarm lives on: rendezvous hashing over the info-hash."""

import hashlib

from client_lib.wire.infohash import InfoHash
from client_lib.wire.licence import LicenceId


def announce_tiers(
    trackers: tuple[str, ...], info_hash: InfoHash, licence_id: LicenceId
) -> tuple[tuple[str, ...], ...]:
    """Announce URLs of one licence, one a tier, in the swarm's order of trackers.

    BEP 12 shuffles inside a tier, and goes to the next one only when a tier is dead: so all
    customers of a swarm meet at its first living tracker. Adding or removing a tracker moves
    only the swarms that it wins or held.
    """
    ranked = sorted(trackers, key=lambda url: _weight(url, info_hash), reverse=True)
    return tuple((f"{url}/announce/{licence_id}",) for url in ranked)


def _weight(tracker: str, info_hash: InfoHash) -> bytes:
    return hashlib.sha256(info_hash.sha256 + tracker.encode()).digest()
