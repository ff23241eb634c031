"""What an album is encoded from: lossless tracks, and the files that go with them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import mutagen
from mutagen.aiff import AIFF
from mutagen.flac import FLAC
from mutagen.mp4 import MP4
from mutagen.oggflac import OggFLAC
from mutagen.wave import WAVE

from client_lib.errors import UsageError
from seeder.encoding.targets import Target
from seeder.tags import AUDIO_SUFFIXES

_PCM = ",".join(
    ["pcm_u8", "pcm_s8"]
    + [f"pcm_{kind}{end}" for kind in ("s16", "s24", "s32", "f32", "f64") for end in ("le", "be")]
)
_ABOUT_THE_ORIGINAL = frozenset(
    {".accurip", ".cue", ".ffp", ".log", ".m3u", ".m3u8", ".md5", ".sfv"}
)
"""Rip logs, checksums and playlists name the original's files and bytes: not true of others."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How ffmpeg is to read a file: this demuxer and these decoders, and no other.

    A playlist that is called .wav is then no playlist.
    """

    demuxer: str
    decoders: str
    tags: str = "0"
    """Where ffmpeg finds the tags."""


_KINDS: dict[type, Kind] = {
    FLAC: Kind("flac", "flac"),
    OggFLAC: Kind("ogg", "flac", tags="0:s:a:0"),
    WAVE: Kind("wav", _PCM),
    AIFF: Kind("aiff", _PCM),
}
_ALAC = Kind("mov", "alac")


@dataclass(frozen=True, slots=True)
class SourceTrack:
    """A lossless track."""

    kind: Kind
    sample_rate_hz: int
    channels: int
    duration_s: float


FilePath: TypeAlias = tuple[str, ...]
"""Below the album folder."""


@dataclass(frozen=True, slots=True)
class Source:
    """An album that can be encoded: its tracks, and what else is in it, by path."""

    tracks: dict[FilePath, SourceTrack]
    extras: tuple[FilePath, ...]

    def paths(self, target: Target) -> dict[FilePath, FilePath]:
        """Where each file of the source goes in an edition."""
        encoded = {path: _with_suffix(path, target.suffix) for path in self.tracks}
        return encoded | {path: path for path in self.extras}


def read_source(folder: Path, files: Iterable[FilePath], targets: Iterable[Target]) -> Source:
    """Look at an album's files. Blocking.

    Raises UsageError, naming the file, if there is audio that is not lossless, none at all, or two
    files that would get one name.
    """
    tracks: dict[FilePath, SourceTrack] = {}
    extras: list[FilePath] = []
    for path in files:
        suffix = Path(path[-1]).suffix.lower()
        if suffix in AUDIO_SUFFIXES:
            tracks[path] = _read_track(folder.joinpath(*path))
        elif suffix not in _ABOUT_THE_ORIGINAL:
            extras.append(path)
    if not tracks:
        raise UsageError(f"--encode: {folder} has no tracks")
    source = Source(tracks, tuple(extras))
    for target in targets:
        taken: dict[str, FilePath] = {}
        for path, goes_to in source.paths(target).items():
            other = taken.setdefault("/".join(goes_to).casefold(), path)
            if other != path:
                raise UsageError(
                    f"--encode {target.audio_format}: {folder.joinpath(*other)} and"
                    f" {path[-1]} would both become {goes_to[-1]}"
                )
    return source


def _read_track(path: Path) -> SourceTrack:
    try:
        file = mutagen.File(path)
        kind = _ALAC if isinstance(file, MP4) and _codec(file) == "alac" else None
        kind = kind or _KINDS[type(file)]
        info = file.info
        return SourceTrack(kind, int(info.sample_rate), int(info.channels), float(info.length))
    except Exception as error:  # mutagen raises a dozen kinds of error for hostile files
        raise UsageError(
            f"--encode: {path} is not lossless audio (FLAC, ALAC, WAV or AIFF)"
        ) from error


def _codec(file: MP4) -> str:
    return str(getattr(file.info, "codec", ""))


def _with_suffix(path: FilePath, suffix: str) -> FilePath:
    return (*path[:-1], Path(path[-1]).stem + suffix)
