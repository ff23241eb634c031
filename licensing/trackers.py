"""Which tracker and which web seeds a swarm has: rendezvous hashing over the info-hash."""

import hashlib

from client_lib.wire.infohash import InfoHash
from client_lib.wire.licence import LicenceId
from client_lib.wire.web_seeds import MAX_WEB_SEEDS, web_seed_url


def announce_tiers(
    trackers: tuple[str, ...], info_hash: InfoHash, licence_id: LicenceId
) -> tuple[tuple[str, ...], ...]:
    """Announce URLs of one licence, one a tier, in the swarm's order of trackers.

    BEP 12 shuffles inside a tier, and goes to the next one only when a tier is dead: so all
    customers of a swarm meet at its first living tracker. Adding or removing a tracker moves
    only the swarms that it wins or held.
    """
    return tuple((f"{url}/announce/{licence_id}",) for url in _ranked(trackers, info_hash))


def web_seeds(hosts: tuple[str, ...], info_hash: InfoHash) -> tuple[str, ...]:
    """The release's folder at each web seed, in the swarm's order of them, 16 at most.

    Clients begin with the first, so that a node's memory holds its own share of the releases.
    """
    return tuple(web_seed_url(url) for url in _ranked(hosts, info_hash)[:MAX_WEB_SEEDS])


def _ranked(urls: tuple[str, ...], info_hash: InfoHash) -> list[str]:
    return sorted(urls, key=lambda url: _weight(url, info_hash), reverse=True)


def _weight(url: str, info_hash: InfoHash) -> bytes:
    return hashlib.sha256(info_hash.sha256 + url.encode()).digest()
