"""Releases: one album in one format, the unit of purchase and of swarm."""

import re
from typing import Annotated, NewType

import msgspec

from client_lib.errors import IdentifierError

# (?!\n) because msgspec searches, and `$` alone lets a trailing newline through.
RELEASE_ID_PATTERN = r"^[a-z0-9][a-z0-9-]{0,47}(?!\n)$"
FORMAT_PATTERN = r"^[a-z0-9-]{1,15}(?!\n)$"
TORRENT_NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,47}\.[a-z0-9-]{1,15}(?!\n)$"

ReleaseId = NewType("ReleaseId", str)
"""The label's UPC, GRid or a slug."""
AudioFormat = NewType("AudioFormat", str)
"""`flac-24-96`, `mp3-320`, …"""
TorrentName = NewType("TorrentName", str)
"""`<release_id>.<format>`: ASCII, unique under the swarm CA, because libtorrent matches
certificates to swarms by it."""

ReleaseIdField = Annotated[ReleaseId, msgspec.Meta(pattern=RELEASE_ID_PATTERN)]
AudioFormatField = Annotated[AudioFormat, msgspec.Meta(pattern=FORMAT_PATTERN)]
TorrentNameField = Annotated[TorrentName, msgspec.Meta(pattern=TORRENT_NAME_PATTERN)]
_Text = Annotated[str, msgspec.Meta(max_length=1000)]


class Track(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One track as its tags tell it. `path` is relative to the album folder, `/` between parts."""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    title: _Text
    artist: _Text
    disc: Annotated[int, msgspec.Meta(ge=1, le=999)] = 1
    number: Annotated[int, msgspec.Meta(ge=0, le=9999)] = 0
    duration_s: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 0.0


class Album(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person calls the release: album artist, title, year, tracks in playing order."""

    artist: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    year: Annotated[int, msgspec.Meta(ge=1000, le=9999)] | None = None
    tracks: Annotated[tuple[Track, ...], msgspec.Meta(max_length=10_000)] = ()


def _matching(pattern: str, text: str, what: str, shape: str) -> str:
    if not re.fullmatch(pattern.strip("^$"), text):
        raise IdentifierError(f"{text[:80]!r} is not {what}: {shape}")
    return text


def parse_release_id(text: str) -> ReleaseId:
    """Check a release id. Raises IdentifierError."""
    shape = "1-48 characters of a-z, 0-9 and -, not starting with -"
    return ReleaseId(_matching(RELEASE_ID_PATTERN, text, "a release id", shape))


def parse_audio_format(text: str) -> AudioFormat:
    """Check a format. Raises IdentifierError."""
    shape = "1-15 characters of a-z, 0-9 and -, such as flac-24-96"
    return AudioFormat(_matching(FORMAT_PATTERN, text, "a format", shape))


def parse_torrent_name(text: str) -> TorrentName:
    """Check a torrent name. Raises IdentifierError."""
    return TorrentName(
        _matching(TORRENT_NAME_PATTERN, text, "a torrent name", "<release_id>.<format>")
    )


def torrent_name(release_id: ReleaseId, audio_format: AudioFormat) -> TorrentName:
    """Name of the torrent, hence of the swarm and of the certificates' dNSName."""
    return TorrentName(f"{release_id}.{audio_format}")


def split_torrent_name(name: TorrentName) -> tuple[ReleaseId, AudioFormat]:
    """Undo `torrent_name`. Neither part contains a dot, so it is unambiguous."""
    release_id, _, audio_format = name.partition(".")
    return ReleaseId(release_id), AudioFormat(audio_format)
