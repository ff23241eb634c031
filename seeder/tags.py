"""An album's artist, title, year and tracks, as the tags of its files tell them.

Tags come from anywhere: text is cleaned and cut, numbers are bounded, and a file that mutagen
cannot read is a track without tags, known by its file name.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import mutagen

from client_lib.wire.release import Album, Track

V = TypeVar("V", str, int)

AUDIO_SUFFIXES = frozenset(
    {".aif", ".aifc", ".aiff", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav"}
)
MAX_TEXT_CHARACTERS = 300
UNKNOWN_ARTIST = "Unknown Artist"
VARIOUS_ARTISTS = "Various Artists"

_MAX_DURATION_S = 1e6
# What mutagen calls a field in Vorbis comments (FLAC, Ogg, Opus), ID3 (MP3, WAV, AIFF), MP4.
_NAMES = {
    "artist": ("artist", "TPE1", "\xa9ART"),
    "album_artist": ("albumartist", "album artist", "TPE2", "aART"),
    "album": ("album", "TALB", "\xa9alb"),
    "date": ("date", "year", "originaldate", "TDRC", "TYER", "TDRL", "TDOR", "\xa9day"),
    "disc": ("discnumber", "disc", "TPOS", "disk"),
    "number": ("tracknumber", "track", "TRCK", "trkn"),
    "title": ("title", "TIT2", "\xa9nam"),
}
# Not only control characters: lone surrogates cannot be sent as JSON, and bidirectional controls
# make text lie about its order.
_UNPRINTABLE_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_BIDIRECTIONAL = re.compile("[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the operator says better than the tags."""

    artist: str | None = None
    title: str | None = None
    year: int | None = None


@dataclass(frozen=True, slots=True)
class FileTags:
    """One file's tags, cleaned. Empty text and 0 mean that there is no such tag."""

    artist: str = ""
    album_artist: str = ""
    album: str = ""
    year: int = 0
    disc: int = 0
    number: int = 0
    title: str = ""
    duration_s: float = 0.0


def clean(text: str, max_characters: int = MAX_TEXT_CHARACTERS) -> str:
    """Make text from outside safe to show and send: one line, printable, of bounded length."""
    printable = (
        " " if unicodedata.category(character) in _UNPRINTABLE_CATEGORIES else character
        for character in _BIDIRECTIONAL.sub("", text[: 4 * max_characters])
    )
    return " ".join("".join(printable).split())[:max_characters].strip()


def read_file_tags(path: Path) -> FileTags:
    """Read one file. One that is damaged, or no audio at all, has no tags."""
    try:
        file = mutagen.File(path)
        if file is None:
            return FileTags()
        tags = file.tags if file.tags is not None else {}
        duration_s = getattr(file.info, "length", 0.0)
        texts = {field: _first(tags, names) for field, names in _NAMES.items()}
    except Exception:  # mutagen raises a dozen kinds of error for hostile files
        return FileTags()
    return FileTags(
        artist=clean(texts["artist"]),
        album_artist=clean(texts["album_artist"]),
        album=clean(texts["album"]),
        year=_year(texts["date"]),
        disc=_number(texts["disc"], 999),
        number=_number(texts["number"], 9999),
        title=clean(texts["title"]),
        duration_s=_duration(duration_s),
    )


def describe_album(
    folder: Path, files: Iterable[tuple[str, ...]], overrides: Overrides | None = None
) -> Album:
    """Read the tags of the audio files among `files` (paths below `folder`). Blocking."""
    tagged = [
        (path, read_file_tags(folder.joinpath(*path)))
        for path in files
        if Path(path[-1]).suffix.lower() in AUDIO_SUFFIXES
    ]
    return album_of(tagged, fallback_title=folder.name, overrides=overrides)


def album_of(
    tagged: Sequence[tuple[tuple[str, ...], FileTags]],
    *,
    fallback_title: str,
    overrides: Overrides | None = None,
) -> Album:
    """Compose the album from its files' tags; what the operator overrides wins."""
    overrides = overrides or Overrides()
    artist = clean(overrides.artist or "") or _album_artist([tags for _, tags in tagged])
    title = clean(overrides.title or "") or _commonest(tags.album for _, tags in tagged)
    year = overrides.year or _commonest(tags.year for _, tags in tagged)
    # By folder between disc and number: untagged discs in folders of their own do not mix.
    in_order = sorted(tagged, key=_playing_order)
    return Album(
        artist=artist or UNKNOWN_ARTIST,
        title=title or clean(fallback_title) or "Untitled",
        year=year or None,
        tracks=tuple(_track(path, tags, artist or UNKNOWN_ARTIST) for path, tags in in_order),
    )


def _playing_order(item: tuple[tuple[str, ...], FileTags]) -> tuple[object, ...]:
    path, tags = item
    return tags.disc or 1, path[:-1], tags.number, path


def _track(path: tuple[str, ...], tags: FileTags, album_artist: str) -> Track:
    return Track(
        path="/".join(path),
        title=tags.title or clean(Path(path[-1]).stem) or "Untitled",
        artist=tags.artist or album_artist,
        disc=tags.disc or 1,
        number=tags.number,
        duration_s=tags.duration_s,
    )


def _album_artist(tags: list[FileTags]) -> str:
    said = _commonest(file.album_artist for file in tags)
    if said:
        return said
    artists = {file.artist for file in tags if file.artist}
    return VARIOUS_ARTISTS if len(artists) > 1 else next(iter(artists), "")


def _commonest(values: Iterable[V]) -> V | None:
    """The value that most files agree on; of equals, the one that came first."""
    ranking = Counter(value for value in values if value).most_common(1)
    return ranking[0][0] if ranking else None


def _first(tags: object, names: tuple[str, ...]) -> str:
    """The first value of the first of `names` that is there, as text."""
    for name in names:
        try:
            value = tags[name]  # type: ignore[index]  # mutagen's tag classes share no base
        except (KeyError, ValueError):
            continue
        value = getattr(value, "text", value)  # an ID3 frame
        while isinstance(value, (list, tuple)):  # MP4 numbers its tracks as [(number, of)]
            value = value[0] if value else ""
        text = str(value)
        if text and text != "0":
            return text
    return ""


def _number(text: str, largest: int) -> int:
    """`3`, `03` and `3/12` are 3; anything else, or too large a number, is none."""
    match = re.match(r"\s*([0-9]{1,6})", text)
    number = int(match[1]) if match else 0
    return number if number <= largest else 0


def _year(text: str) -> int:
    match = re.search(r"(?<![0-9])[1-9][0-9]{3}(?![0-9])", text[:100])
    return int(match[0]) if match else 0


def _duration(length: object) -> float:
    if not isinstance(length, (int, float)) or not math.isfinite(length):
        return 0.0
    return round(min(max(float(length), 0.0), _MAX_DURATION_S), 3)
