"""Cover pictures: out of a lossless track, into its encoded one.

ffmpeg would parse the pictures, and cannot put them into Ogg files at all.
"""

import base64
from pathlib import Path

import mutagen
from mutagen.flac import FLAC, Picture
from mutagen.id3 import APIC
from mutagen.mp4 import MP4, MP4Cover
from mutagen.ogg import OggFileType

from client_lib.errors import StorageError

_MP4_FORMATS = {"image/jpeg": MP4Cover.FORMAT_JPEG, "image/png": MP4Cover.FORMAT_PNG}
_MAX_PICTURES = 8
_MAX_PICTURE_BYTES = 16 << 20
_FRONT = 3  # the number of "Cover (front)" in ID3 and FLAC alike


def read_covers(path: Path) -> list[Picture]:
    """The pictures of a track. One whose pictures cannot be read has none. Blocking."""
    try:
        pictures = _pictures(mutagen.File(path))
    except Exception:  # mutagen raises a dozen kinds of error for hostile files
        return []
    return [each for each in pictures[:_MAX_PICTURES] if len(each.data) <= _MAX_PICTURE_BYTES]


def write_covers(path: Path, pictures: list[Picture]) -> None:
    """Put pictures into an encoded track. Blocking. Raises StorageError."""
    if not pictures:
        return
    try:
        file = mutagen.File(path)
        if isinstance(file, FLAC):
            for picture in pictures:
                file.add_picture(picture)
        elif isinstance(file, MP4):
            file["covr"] = [
                MP4Cover(picture.data, _MP4_FORMATS[picture.mime])
                for picture in pictures
                if picture.mime in _MP4_FORMATS
            ]
        elif isinstance(file, OggFileType):
            file["metadata_block_picture"] = [
                base64.b64encode(picture.write()).decode() for picture in pictures
            ]
        else:  # MP3
            if file.tags is None:
                file.add_tags()
            for number, picture in enumerate(pictures):
                # ID3 tells pictures apart by their descriptions alone.
                words = picture.desc if number == 0 else f"{picture.desc} {number + 1}".strip()
                file.tags.add(
                    APIC(3, picture.mime or "image/jpeg", picture.type, words, picture.data)
                )
        file.save()
    except (mutagen.MutagenError, OSError) as error:
        raise StorageError(f"cannot put the cover into {path}: {error}") from error


def _pictures(file: object) -> list[Picture]:
    if isinstance(file, FLAC):
        return list(file.pictures)
    tags = getattr(file, "tags", None)
    if tags is None:
        return []
    if isinstance(file, MP4):
        return [
            _picture(bytes(cover), {v: k for k, v in _MP4_FORMATS.items()}[cover.imageformat])
            for cover in tags.get("covr", [])
        ]
    if isinstance(file, OggFileType):
        return [Picture(base64.b64decode(text)) for text in tags.get("metadata_block_picture", [])]
    return [
        _picture(frame.data, frame.mime, frame.type, frame.desc) for frame in tags.getall("APIC")
    ]


def _picture(data: bytes, mime: str, kind: int = _FRONT, words: str = "") -> Picture:
    picture = Picture()
    picture.data, picture.mime, picture.type, picture.desc = data, mime, kind, words
    return picture
