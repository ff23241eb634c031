"""In which order an album is listened to: its audio files, by folder and name. Pure."""

import re
from collections.abc import Sequence

from client_lib.download.disk.file_selection import wanted_files
from client_lib.errors import UsageError

_AUDIO = re.compile(
    r"(?i)\.(aac|ac3|aif|aiff|alac|ape|dff|dsf|flac|m4a|m4b|mp2|mp3|mpc|oga|ogg|opus|wav|wma|wv)\Z"
)


def listening_order(paths: Sequence[str]) -> list[int]:
    """Indexes of the audio files; numbers in names count as numbers, `2 …` before `10 …`."""
    audio = [index for index, path in enumerate(paths) if _AUDIO.search(path)]
    return sorted(audio, key=lambda index: _natural(paths[index]))


def find_track(name: str, track: str, paths: Sequence[str]) -> int:
    """Index of the one file that `track` means: a path, a pattern, or a number from 1 on.

    Raises UsageError.
    """
    if track.isascii() and track.isdecimal() and track not in paths:
        order = listening_order(paths)
        if not 1 <= int(track[:9]) <= len(order):
            raise UsageError(f"{name}: no track {track}; it has {len(order)} tracks")
        return order[int(track) - 1]
    fitting = wanted_files(name, [track], paths)
    if len(fitting) > 1:
        raise UsageError(f"{name}: {len(fitting)} files fit {track!r}: name one")
    (index,) = fitting
    return index


def played_from(name: str, first: str, paths: Sequence[str]) -> list[int]:
    """All audio files from track `first` on, and then those before it. Raises UsageError."""
    order, start = listening_order(paths), find_track(name, first, paths)
    if start not in order:
        return [start, *order]
    at = order.index(start)
    return order[at:] + order[:at]


def _natural(path: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"([0-9]{1,18})", path.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]
