"""Where a torrent announces: `announce` (BEP 3) and `announce-list` (BEP 12)."""

import re
from collections.abc import Mapping

from client_lib.errors import MetainfoError
from client_lib.wire.bencode import Decoded

AnnounceTiers = tuple[tuple[str, ...], ...]
"""Tracker URLs in tiers (BEP 12). Empty for a torrent as published."""

MAX_ANNOUNCE_URLS = 64
MAX_URL_BYTES = 1_024

# HTTPS only: libtorrent asks an SSL torrent's plain-HTTP tracker without any gate.
_ANNOUNCE_URL = re.compile(
    r"https://(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?/[!\"$-~]*"
)


def announce_keys(tiers: AnnounceTiers) -> dict[bytes, Decoded]:
    """Build `announce`, and `announce-list` (BEP 12) where there is more than one URL."""
    urls = [url.encode() for tier in tiers for url in tier]
    keys: dict[bytes, Decoded] = {b"announce": urls[0]} if urls else {}
    if len(urls) > 1:
        keys[b"announce-list"] = [[url.encode() for url in tier] for tier in tiers]
    return keys


def parse_announce_keys(entries: Mapping[bytes, Decoded]) -> AnnounceTiers:
    """Undo `announce_keys`, ignoring other keys. Raises MetainfoError.

    A client without BEP 12 reads `announce` alone, so it must be the list's first URL.
    """
    first, tiers = entries.get(b"announce"), entries.get(b"announce-list")
    if tiers is None:
        return () if first is None else ((_parse_url(first),),)
    if not isinstance(tiers, list) or not tiers or len(tiers) > MAX_ANNOUNCE_URLS:
        raise MetainfoError("announce-list is not a list of tiers")
    parsed: list[tuple[str, ...]] = []
    for tier in tiers:
        if not isinstance(tier, list) or not tier or len(tier) > MAX_ANNOUNCE_URLS:
            raise MetainfoError("announce-list: a tier is not a list of URLs")
        parsed.append(tuple(_parse_url(url) for url in tier))
    urls = [url for tier_urls in parsed for url in tier_urls]
    if len(urls) > MAX_ANNOUNCE_URLS or len(set(urls)) != len(urls):
        raise MetainfoError(f"announce-list repeats a URL or has more than {MAX_ANNOUNCE_URLS}")
    if first is None or _parse_url(first) != urls[0]:
        raise MetainfoError("announce is not the first URL of announce-list")
    return tuple(parsed)


def _parse_url(url: Decoded) -> str:
    text = url.decode() if isinstance(url, bytes) and url.isascii() else ""
    if len(text) > MAX_URL_BYTES or not _ANNOUNCE_URL.fullmatch(text):
        raise MetainfoError(f"announce URL {str(url)[:80]!r} is not an https:// URL")
    return text
