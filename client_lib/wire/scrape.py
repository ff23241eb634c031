"""Scrapes (BEP 48): how many peers a swarm has, without joining it."""

from collections.abc import Mapping
from typing import NamedTuple

from client_lib.errors import AnnounceError
from client_lib.wire import bencode
from client_lib.wire.announce import MAX_QUERY_BYTES, unescaped
from client_lib.wire.infohash import TruncatedInfoHash

MAX_SCRAPED = 64
"""Info-hashes of one scrape, at most: those that fit into a query."""


class SwarmCounts(NamedTuple):
    """What a scrape tells about one swarm."""

    complete: int
    """Peers with the whole album."""
    downloaded: int
    """Times that a peer turned complete, since the swarm was last empty."""
    incomplete: int
    """Peers that still want something."""


def parse_scrape(raw: bytes) -> list[TruncatedInfoHash]:
    """Parse a query string: the info-hashes, in their order, each of them once.

    Other parameters are ignored. Raises AnnounceError, also if there is no info-hash: a list of all
    swarms is not to be had.
    """
    if len(raw) > MAX_QUERY_BYTES:
        raise AnnounceError(f"query of more than {MAX_QUERY_BYTES} bytes")
    found: dict[TruncatedInfoHash, None] = {}
    for parameter in raw.split(b"&"):
        name, _, value = parameter.partition(b"=")
        if name == b"info_hash":
            found[TruncatedInfoHash(unescaped(value, "info_hash"))] = None
    if not found:
        raise AnnounceError("a scrape names info-hashes")
    if len(found) > MAX_SCRAPED:
        raise AnnounceError(f"more than {MAX_SCRAPED} info-hashes")
    if any(len(info_hash) != 20 for info_hash in found):
        raise AnnounceError("info_hash is 20 bytes")
    return list(found)


def encode_scrape(swarms: Mapping[TruncatedInfoHash, SwarmCounts]) -> bytes:
    """Bencode an answer."""
    files: dict[bytes, bencode.Bencodable] = {
        info_hash: {name.encode(): count for name, count in counts._asdict().items()}
        for info_hash, counts in swarms.items()
    }
    return bencode.encode({b"files": files})
