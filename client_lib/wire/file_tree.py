"""The `file tree` of a v2 torrent (BEP 52): the album's files, with names that are safe on disk.

A name is refused if libtorrent would write it differently: then the file on disk would not be
the one that the torrent, the catalogue and the player name.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from client_lib.errors import MetainfoError
from client_lib.wire.bencode import Decoded

MAX_FILES = 100_000
MAX_SIZE_BYTES = 1 << 48
MAX_NAME_BYTES = 240  # libtorrent 2.1.1 cuts longer names
MAX_PATH_BYTES = 1_000  # leaves room for the customer's own folder under PATH_MAX (4,096)

_SEPARATORS = re.compile(r"[/\\]")
# libtorrent writes control characters as `_` and drops these invisible ones (seen by trying every
# code point). Bidirectional overrides would also let `gpj.exe` show as `exe.jpg`.
_UNWRITABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]"
)
_DRIVE = re.compile(r"[A-Za-z]:")  # joining `C:x` to a path leaves the folder on Windows
LONE_FILE_FOLDER = "single"
"""An album of one file goes below this folder in its torrent, and comes out of it on the disk.

At the root, libtorrent would call the torrent by the file's name.
"""

_LEAF_KEYS = frozenset({b"attr", b"length", b"mtime", b"pieces root", b"sha256"})
_ATTRIBUTES = frozenset(b"hx")  # BEP 47 hidden and executable; `l` symlink and `p` padding are out


@dataclass(frozen=True, slots=True)
class TorrentFile:
    """One file: path below the album folder, and the root of its BEP 52 hash tree.

    `pieces_root` is 32 bytes, and None exactly for an empty file. `sha256` is the digest of the
    whole file, 32 bytes, if the torrent has it (as `sha1` in BEP 47): signed, but not verified.
    """

    path: tuple[str, ...]
    length_bytes: int
    pieces_root: bytes | None
    sha256: bytes | None = None


@dataclass(slots=True)
class _Folder:
    """A folder that is being walked. `path_bytes` counts the path with its separators."""

    path: tuple[str, ...]
    path_bytes: int
    entries: Iterator[tuple[bytes, Decoded]]
    seen: set[str]


def parse_file_tree(tree: Decoded) -> tuple[TorrentFile, ...]:
    """List the files in libtorrent's order, that of the sorted keys. Raises MetainfoError."""
    if not isinstance(tree, dict) or not tree:
        raise MetainfoError("file tree is missing or has no files")
    files: list[TorrentFile] = []
    size_bytes = 0
    folders = [_Folder((), 0, iter(tree.items()), set())]
    while folders:
        folder = folders[-1]
        entry = next(folder.entries, None)
        if entry is None:
            folders.pop()
            continue
        raw_name, node = entry
        path, path_bytes = _enter(folder, raw_name)
        if not isinstance(node, dict) or not node:
            raise MetainfoError(f"{_shown(path)}: neither a file nor a folder with files")
        if b"" not in node:
            folders.append(_Folder(path, path_bytes, iter(node.items()), set()))
            continue
        if len(node) != 1:
            raise MetainfoError(f"{_shown(path)}: both a file and a folder")
        file = _parse_file(path, node[b""])
        files.append(file)
        size_bytes += file.length_bytes
        if len(files) > MAX_FILES:
            raise MetainfoError(f"more than {MAX_FILES} files")
        if size_bytes > MAX_SIZE_BYTES:
            raise MetainfoError(f"files add up to more than {MAX_SIZE_BYTES} bytes")
    if size_bytes == 0:
        raise MetainfoError("all files are empty")
    if len(files) == 1 and len(files[0].path) == 1:
        # libtorrent then calls the torrent by the file's name and matches certificates to that.
        raise MetainfoError(
            f"{_shown(files[0].path)}: a lone file must be in a folder, such as {LONE_FILE_FOLDER}/"
        )
    return tuple(files)


def _enter(folder: _Folder, raw_name: bytes) -> tuple[tuple[str, ...], int]:
    """Check a name in a folder; return the whole path, and its length in bytes."""
    try:
        name = raw_name.decode()
    except UnicodeDecodeError as error:
        raise MetainfoError(f"file name {raw_name[:80]!r} is not UTF-8") from error
    path = (*folder.path, name)
    path_bytes = folder.path_bytes + len(raw_name) + 1
    if name in ("", ".", "..") or _SEPARATORS.search(name) or _DRIVE.match(name):
        raise MetainfoError(f"file name {name[:80]!r} would leave the album folder")
    if unwritable := _UNWRITABLE.search(name):
        character = f"U+{ord(unwritable[0]):04X}"
        raise MetainfoError(f"file name {name[:80]!r} has the invisible character {character}")
    if not folder.path and name.casefold() == ".pad":
        raise MetainfoError("a folder .pad clashes with libtorrent's own padding files")
    if len(raw_name) > MAX_NAME_BYTES:
        raise MetainfoError(f"file name {name[:80]!r}… is longer than {MAX_NAME_BYTES} bytes")
    if path_bytes > MAX_PATH_BYTES:
        raise MetainfoError(f"{_shown(path)[:80]}…: path is longer than {MAX_PATH_BYTES} bytes")
    # Names that differ in case or composition only are one file on macOS and Windows, and
    # libtorrent renames the second one everywhere.
    key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    if key in folder.seen:
        raise MetainfoError(f"{_shown(path)}: another name in its folder differs only in case")
    folder.seen.add(key)
    return path, path_bytes


def _parse_file(path: tuple[str, ...], leaf: Decoded) -> TorrentFile:
    if not isinstance(leaf, dict):
        raise MetainfoError(f"{_shown(path)}: a file is described by a dictionary")
    if unknown := leaf.keys() - _LEAF_KEYS:
        raise MetainfoError(f"{_shown(path)}: unknown file property {min(unknown)[:40]!r}")
    attributes = leaf.get(b"attr", b"")
    if not isinstance(attributes, bytes) or not _ATTRIBUTES.issuperset(attributes):
        raise MetainfoError(f"{_shown(path)}: file attributes other than hidden and executable")
    if not isinstance(leaf.get(b"mtime", 0), int):
        raise MetainfoError(f"{_shown(path)}: mtime is not an integer")
    length = leaf.get(b"length")
    if not isinstance(length, int) or not 0 <= length <= MAX_SIZE_BYTES:
        raise MetainfoError(f"{_shown(path)}: length is missing or out of range")
    root, digest = leaf.get(b"pieces root"), leaf.get(b"sha256")
    if length == 0:
        if root is not None or digest is not None:
            raise MetainfoError(f"{_shown(path)}: an empty file has no pieces root and no sha256")
        return TorrentFile(path, 0, None)
    if not isinstance(root, bytes) or len(root) != 32 or not any(root):
        raise MetainfoError(f"{_shown(path)}: pieces root is not a hash of 32 bytes")
    if digest is not None and (not isinstance(digest, bytes) or len(digest) != 32):
        raise MetainfoError(f"{_shown(path)}: sha256 is not a hash of 32 bytes")
    return TorrentFile(path, length, root, digest)


def _shown(path: tuple[str, ...]) -> str:
    return f"file {'/'.join(path)!r}"
