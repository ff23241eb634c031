"""What a request's target names: a file of a release, by exact match. No path of ours is built."""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from client_lib.errors import IdentifierError
from client_lib.wire.file_tree import MAX_PATH_BYTES
from client_lib.wire.release import TorrentName, parse_torrent_name
from client_lib.wire.web_seeds import WEB_SEED_FOLDER

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SCHEME = re.compile(r"https?://[^/]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """A file of a release: whether there is one, the torrent says."""

    name: TorrentName
    path: tuple[str, ...]


def parse_target(target: str) -> Target | None:
    """Read `/releases/<torrent name>/<file path>`; None for anything else.

    A name is decoded after the path is cut at its slashes, so that `%2F` is no separator, and
    `..` is a name that no torrent has.
    """
    target = target.partition("?")[0]
    target = _SCHEME.sub("", target, count=1)
    if len(target) > 3 * MAX_PATH_BYTES + 256 or _BROKEN_ESCAPE.search(target):
        return None
    folders, names = target.split("/")[:2], target.split("/")[2:]
    if folders != ["", WEB_SEED_FOLDER] or len(names) < 2:
        return None
    try:
        name, *path = (unquote_to_bytes(part).decode() for part in names)
        return Target(parse_torrent_name(name), tuple(path))
    except (UnicodeDecodeError, IdentifierError):
        return None
