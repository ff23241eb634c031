"""Where a torrent's files can be had over HTTPS: `url-list` (BEP 19).

A URL is a folder: below it lies `<torrent name>/<file path>`, each name percent-encoded.
"""

import re
from collections.abc import Mapping

from client_lib.errors import MetainfoError
from client_lib.wire.bencode import Decoded

WEB_SEED_FOLDER = "releases"
"""What web seeds of this network have between host and torrent name."""

MAX_WEB_SEEDS = 16
MAX_URL_BYTES = 1_024

# HTTPS only: libtorrent asks an SSL torrent's plain-HTTP web seed without any gate. No query
# either: it asks none with a query on a private network.
_URL = re.compile(
    r"https://(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?/"
    r"(?:[A-Za-z0-9._~-]+/)*"
)


def web_seed_url(base_url: str) -> str:
    """The folder of releases at `https://host:port`."""
    return f"{base_url}/{WEB_SEED_FOLDER}/"


def web_seed_keys(urls: tuple[str, ...]) -> dict[bytes, Decoded]:
    """Build `url-list`; nothing without URLs."""
    return {b"url-list": [url.encode() for url in urls]} if urls else {}


def parse_web_seed_keys(entries: Mapping[bytes, Decoded]) -> tuple[str, ...]:
    """Undo `web_seed_keys`, ignoring other keys. Raises MetainfoError."""
    listed = entries.get(b"url-list")
    if listed is None:
        return ()
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_WEB_SEEDS:
        raise MetainfoError(f"url-list is not a list of 1 to {MAX_WEB_SEEDS} web seeds")
    urls = tuple(_parse_url(url) for url in listed)
    if len(set(urls)) < len(urls):
        raise MetainfoError("url-list repeats a web seed")
    return urls


def _parse_url(url: Decoded) -> str:
    text = url.decode() if isinstance(url, bytes) and url.isascii() else ""
    if len(text) > MAX_URL_BYTES or not _URL.fullmatch(text):
        raise MetainfoError(f"web seed {str(url)[:80]!r} is not an https:// URL that ends in /")
    return text
