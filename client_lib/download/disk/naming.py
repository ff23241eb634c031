"""Names on the customer's disk: readable, and legal on Linux, macOS and Windows. Pure."""

import functools
import re
import unicodedata
from collections.abc import Sequence

from client_lib.wire.file_tree import LONE_FILE_FOLDER
from client_lib.wire.release import AudioFormat

MAX_NAME_BYTES = 180
"""Bytes of UTF-8 in one folder or file name: file systems take 255, some overlays less."""

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f]')
# Invisible and direction-changing characters: they make `gpj.exe` read as `exe.jpg`.
_DECEPTIVE = re.compile("[\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")
# Devices on Windows, with any extension, and with spaces before it.
_RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)")


def safe_name(text: str, *, fallback: str = "_") -> str:
    """One folder or file name out of any text. Never empty, `.` or `..`; keeps its extension."""
    name = _DECEPTIVE.sub("", text.encode("utf-8", "replace").decode())
    name = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", name)).strip()
    name = re.sub(r"^\.", "_", name)  # "...And Justice" is not a hidden file
    name = _without_end(_cut(name))
    if _RESERVED.match(name):
        name = f"_{name}"
    return name or fallback


def _without_end(name: str) -> str:
    """Take off dots and all kinds of space, in any order: Windows drops the common ones."""
    while name != (shorter := name.rstrip(".").rstrip()):
        name = shorter
    return name


def _cut(name: str) -> str:
    """Shorten to MAX_NAME_BYTES, between characters, keeping a short extension."""
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > 10:
        stem, dot, extension = name, "", ""
    room = MAX_NAME_BYTES - len((dot + extension).encode())
    return cut_text(stem, room) + dot + extension


def cut_text(text: str, room_bytes: int) -> str:
    """Shorten to so many bytes of UTF-8, between characters, without a dot or space at the end."""
    return _without_end(text.encode()[: max(0, room_bytes)].decode("utf-8", "ignore"))


@functools.lru_cache(maxsize=8192)
def comparable(path: str) -> str:
    """Equal for names that some file system takes for one (Unicode, D147 and a last NFKC)."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFD", path).casefold()).casefold()
    return unicodedata.normalize("NFKC", folded)


def format_label(audio_format: AudioFormat) -> str:
    """`flac-24-96` as people write it: `FLAC 24-96`."""
    codec, _, quality = audio_format.partition("-")
    return f"{codec.upper()} {quality}".strip()


def local_paths(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Give each file of a torrent a path below the album folder, `/` between parts.

    Deterministic: a later run finds the files again. Names that become equal on a file system
    that ignores case or normalises Unicode get ` (2)`, ` (3)`, … A lone file leaves the folder
    that it needs in a torrent.
    """
    if len(paths) == 1 and paths[0][:-1] == (LONE_FILE_FOLDER,):
        paths = [paths[0][-1:]]
    folders: dict[tuple[str, ...], str] = {(): ""}
    taken: set[str] = set()
    # Where the search ended for such a name: a torrent may have 100,000 that become one.
    numbers: dict[tuple[str, str], int] = {}

    def unique(parent: str, name: str) -> str:
        stem, dot, extension = name.rpartition(".")
        alike = comparable(parent + stem), comparable(dot + extension)
        number = 1
        candidate = name
        while (key := comparable(parent + candidate)) in taken:
            number = max(number, numbers.get(alike, 1))
            number += 1
            candidate = f"{stem} ({number}){dot}{extension}" if stem else f"{name} ({number})"
        taken.add(key)
        numbers[alike] = number
        return parent + candidate

    def folder(parts: tuple[str, ...]) -> str:
        if parts not in folders:
            folders[parts] = unique(folder(parts[:-1]), safe_name(parts[-1])) + "/"
        return folders[parts]

    return tuple(unique(folder(parts[:-1]), safe_name(parts[-1])) for parts in paths)
