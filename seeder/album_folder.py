"""The folder that an operator publishes: what is in it, whether it may be, whether it changes."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from client_lib.errors import MetainfoError, StorageError
from client_lib.swarm.hashing import ContentFile
from client_lib.wire.bencode import Decoded
from client_lib.wire.file_tree import LONE_FILE_FOLDER, parse_file_tree

_MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A plain file. `fingerprint` changes whenever somebody writes to the file or replaces it."""

    path: tuple[str, ...]
    size_bytes: int
    fingerprint: tuple[int, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class AlbumFolder:
    """A folder that may be published, as it was when `survey` looked at it."""

    root: Path
    files: tuple[SourceFile, ...]

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file.size_bytes for file in self.files)

    def path_in_torrent(self, path: tuple[str, ...]) -> tuple[str, ...]:
        """Where a file of the album goes: a lone one into a folder of its own."""
        return path_in_torrent(path, len(self.files))


def path_in_torrent(path: tuple[str, ...], file_count: int) -> tuple[str, ...]:
    """Where a file goes in the torrent of an album with so many."""
    lone = file_count == 1 and len(path) == 1
    return (LONE_FILE_FOLDER, *path) if lone else path


def survey(root: Path) -> AlbumFolder:
    """List the files below `root`. Blocking.

    Raises StorageError for a folder that cannot be read, links and special files; MetainfoError
    for names that customers' disks could not hold, and for an album of nothing but empty files.
    """
    try:
        folder = root.resolve(strict=True)
        files = tuple(sorted(_walk(folder, ()), key=lambda file: file.path))
    except OSError as error:
        raise StorageError(f"cannot read {error.filename or root}: {error.strerror}") from error
    if not files:
        raise StorageError(f"{root}: the folder is empty")
    album = AlbumFolder(folder, files)
    try:
        parse_file_tree(_file_tree(album))
    except MetainfoError as error:
        raise MetainfoError(f"{root}: {error}") from error
    return album


def content_files(album: AlbumFolder, copy_to: Path | None = None) -> tuple[ContentFile, ...]:
    """The album's files as they are to be hashed, and copied into the folder `copy_to`."""
    files = []
    for file in album.files:
        path = album.path_in_torrent(file.path)
        target = copy_to.joinpath(*path) if copy_to is not None else None
        files.append(ContentFile(path, album.root.joinpath(*file.path), file.size_bytes, target))
    return tuple(files)


def require_unchanged(album: AlbumFolder) -> None:
    """Raise StorageError if a file was written to, replaced, added, removed or renamed. Blocking.

    To be called after the files were read: what was read is then what the survey found.
    """
    before = {file.path: file for file in album.files}
    after = {file.path: file for file in survey(album.root).files}
    changed = sorted(
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    )
    if changed:
        raise StorageError(
            f"{album.root.joinpath(*changed[0])} changed while it was being read:"
            " publish again once nobody writes to the album"
        )


def _walk(folder: Path, below: tuple[str, ...]) -> Iterator[SourceFile]:
    if len(below) > _MAX_DEPTH:
        raise MetainfoError(f"{folder}: folders are nested deeper than {_MAX_DEPTH}")
    with os.scandir(folder) as entries:
        for entry in entries:
            path = (*below, entry.name)
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                yield from _walk(Path(entry.path), path)
            elif stat.S_ISREG(status.st_mode):
                yield SourceFile(path, status.st_size, _fingerprint(status))
            else:
                kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "a special file"
                shown = os.fsencode(entry.path).decode(errors="backslashreplace")
                raise StorageError(f"{shown} is {kind}: publish a folder of plain files")


def _fingerprint(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,  # a program may set mtime back, but not ctime
    )


def _file_tree(album: AlbumFolder) -> dict[bytes, Decoded]:
    """The torrent's file tree without real hashes: names are checked before bytes are read."""
    tree: dict[bytes, Decoded] = {}
    for file in album.files:
        folder = tree
        for part in album.path_in_torrent(file.path)[:-1]:
            below = folder.setdefault(os.fsencode(part), {})
            assert isinstance(below, dict)  # noqa: S101 - a folder, or the disk has two of a name
            folder = below
        leaf: dict[bytes, Decoded] = {b"length": file.size_bytes}
        if file.size_bytes:
            leaf[b"pieces root"] = b"\xff" * 32
        folder[os.fsencode(file.path[-1])] = {b"": leaf}
    return tree
