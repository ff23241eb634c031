"""Which folder an album gets: `{albumartist}/{album} ({year}) [{format}]`, or as chosen. Pure."""

import re
import string
from dataclasses import dataclass

from client_lib.download.disk.naming import MAX_NAME_BYTES, cut_text, format_label, safe_name
from client_lib.errors import UsageError
from client_lib.wire.licensing_api import LicenceRecord

DEFAULT_FOLDER_TEMPLATE = "{albumartist}/{album} ({year}) [{format}]"
FIELDS = ("albumartist", "album", "year", "format", "release_id")
MAX_FOLDERS = 8
MAX_TEMPLATE_CHARACTERS = 500
MAX_FOLDER_BYTES = 480
"""Of the whole path: with 1,000 bytes for a file below it, and the music folder, under 4,096."""

_NOTHING = "\ufdd0"  # a noncharacter: no licence has it, `safe_name` never sees it
_AROUND_NOTHING = re.compile(rf"\s*(?:\(\s*{_NOTHING}\s*\)|\[\s*{_NOTHING}\s*\]|{_NOTHING})")
_LOOSE_ENDS = re.compile(r"^[\s\-_,]+|[\s\-_,]+$")
_FALLBACKS = {"albumartist": "Unknown Artist", "album": "Untitled"}

_Parts = tuple[tuple[str, str | None], ...]
"""Literal text, and the field behind it if there is one."""


@dataclass(frozen=True, slots=True)
class FolderTemplate:
    """Folders below the music folder, one inside the other; make it with `parse`."""

    text: str
    folders: tuple[_Parts, ...]

    @classmethod
    def parse(cls, text: str) -> "FolderTemplate":
        """Check a template. Raises UsageError, in one sentence."""
        shown = f"folder template {text[:80]!r}"
        if not text.strip():
            raise UsageError(f"{shown}: it is empty; the default is {DEFAULT_FOLDER_TEMPLATE!r}")
        if len(text) > MAX_TEMPLATE_CHARACTERS:
            raise UsageError(f"{shown}…: longer than {MAX_TEMPLATE_CHARACTERS} characters")
        if "\\" in text or re.search(r"[\x00-\x1f\x7f]", text):
            raise UsageError(f"{shown}: it has a backslash or control character; folders end in /")
        if text.startswith(("/", "~")) or re.match(r"[A-Za-z]:", text):
            raise UsageError(f"{shown}: it must be relative: it is below the music folder")
        names = text.split("/")
        if any(not name.strip() for name in names):
            raise UsageError(f"{shown}: a folder in it has no name")
        if any(name.strip() in (".", "..") for name in names):
            raise UsageError(f"{shown}: it must not leave the music folder")
        if len(names) > MAX_FOLDERS:
            raise UsageError(f"{shown}: more than {MAX_FOLDERS} folders")
        return cls(text, tuple(_parts(shown, name) for name in names))

    def folder(self, licence: LicenceRecord) -> tuple[str, ...]:
        """Names of an album's folders, outermost first, legal on every system.

        A field that is not known is left out with the brackets around it. A long one is cut, so
        that what tells albums apart behind it stays.
        """
        album = licence.album
        values = {
            "albumartist": _value(album.artist, "albumartist"),
            "album": _value(album.title, "album"),
            "year": _NOTHING if album.year is None else str(album.year),
            "format": format_label(licence.format),
            "release_id": licence.release_id,
        }
        room = min(MAX_NAME_BYTES, MAX_FOLDER_BYTES // len(self.folders) - 1)
        return tuple(_name(parts, values, room) for parts in self.folders)


def _parts(shown: str, name: str) -> _Parts:
    try:
        parsed = list(string.Formatter().parse(name))
    except ValueError as error:
        raise UsageError(f"{shown}: {{ and }} must enclose the name of a field") from error
    for _, field, specification, conversion in parsed:
        if field is None:
            continue
        if field not in FIELDS or specification or conversion:
            known = ", ".join(f"{{{one}}}" for one in FIELDS)
            raise UsageError(f"{shown}: there is no field {{{field}}}; there are {known}")
    return tuple((literal, field) for literal, field, _, _ in parsed)


def _value(text: str, field: str) -> str:
    """One field's text; a folder may consist of it alone."""
    return safe_name(text, fallback=_FALLBACKS[field])


def _name(parts: _Parts, values: dict[str, str], room_bytes: int) -> str:
    used = {field: values[field] for _, field in parts if field is not None}
    while len((name := _filled(parts, used)).encode()) > room_bytes:
        known = [field for field, value in used.items() if value not in (_NOTHING, "_")]
        if not known:
            break  # the template's own text is too long
        longest = max(known, key=lambda field: len(used[field].encode()))
        over = len(name.encode()) - room_bytes
        used[longest] = cut_text(used[longest], len(used[longest].encode()) - over) or "_"
    return safe_name(cut_text(name, room_bytes), fallback="Unknown")


def _filled(parts: _Parts, values: dict[str, str]) -> str:
    text = "".join(literal + (values[field] if field else "") for literal, field in parts)
    if _NOTHING in text:
        text = _LOOSE_ENDS.sub("", _AROUND_NOTHING.sub("", text))
    return text
