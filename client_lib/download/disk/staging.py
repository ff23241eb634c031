"""What of an album is on the disk already is copied, and hashed meanwhile, before it is fetched.

It may be in another album (`client_lib.download.disk.shared_files`), in the album itself under a
name that the customer gave it, or in the changed file that is to be mended. Pieces of a v2 torrent
belong to one file each (BEP 52), so every piece is known for itself to be right or not.
"""

import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from client_lib.download.disk.album_place import AlbumPlace
from client_lib.download.disk.shared_files import SharedFiles
from client_lib.download.disk.space import DISK_FULL_ERRNOS
from client_lib.download.disk.verification import surplus_files
from client_lib.download.library import DeviceLibrary
from client_lib.download.piece_map import PieceMap
from client_lib.errors import StorageError
from client_lib.plain_file import open_plain, plain_size_bytes
from client_lib.swarm.hashing import ContentFile, HashTree, hash_files
from client_lib.swarm.resume import ResumePoint
from client_lib.wire.licence import LicenceId
from client_lib.wire.metainfo import Metainfo

_FICLONE = 0x40049409  # linux/fs.h


@dataclass(frozen=True, slots=True)
class _Source:
    path: Path
    elsewhere: bool
    """Not the changed file itself that is to be mended."""


async def stage(
    place: AlbumPlace,
    metainfo: Metainfo,
    licence_id: LicenceId,
    library: DeviceLibrary,
    shared: SharedFiles,
) -> int:
    """Copy what is on the disk already into the folder that is fetched to; keep a resume point.

    Returns the bytes that other files of this disk gave: they need not be fetched. What a former
    run has fetched or copied stays. Cancelled or killed at any moment, it is begun anew, and
    libtorrent hashes what is there. Raises StorageError.
    """
    staging = _Staging(place, metainfo, licence_id, library, shared)
    missing = await trio.to_thread.run_sync(staging.missing)
    reused, good = 0, dict[int, list[bool]]()
    for index in missing:
        good[index], elsewhere = await staging.fill(index)
        if elsewhere:
            lengths = staging.pieces.lengths_bytes(index)
            reused += sum(n for n, right in zip(lengths, good[index], strict=True) if right)
    if any(any(flags) for flags in good.values()) and staging.is_fresh:
        have = [
            flag
            for index in range(len(metainfo.files))
            for flag in good.get(index) or [False] * len(staging.pieces.hashes(index))
        ]
        point = ResumePoint.of(metainfo.info_hash, have, {})
        await trio.to_thread.run_sync(library.keep_resume_point, licence_id, point)
    return reused


class _Staging:
    """One album that is being prepared."""

    def __init__(
        self,
        place: AlbumPlace,
        metainfo: Metainfo,
        licence_id: LicenceId,
        library: DeviceLibrary,
        shared: SharedFiles,
    ) -> None:
        self._place = place
        self._folder = place.folder
        self._metainfo = metainfo
        self._licence_id = licence_id
        self._library = library
        self._shared = shared
        self.pieces = PieceMap(metainfo)
        self._surplus: dict[int, list[Path]] = {}
        self.is_fresh = False
        """Whether nothing was there, so that all that is known of pieces is known from copying."""

    def missing(self) -> list[int]:
        """Indexes of the files to look for, in order. Blocking."""
        place, files = self._place, self._metainfo.files
        wanted = sorted(place.fetched)
        absent = [i for i in wanted if not os.path.lexists(self._folder / place.paths[i])]
        point = self._library.resume_point(self._licence_id, self._metainfo.info_hash)
        if point is not None:
            if not place.replaces or not absent:
                return []
            # Killed when some of the fetched files were in the album already.
            self._library.forget_resume_point(self._licence_id)
        self.is_fresh = len(absent) == len(wanted)
        if place.replaces:
            lengths = {files[index].length_bytes for index in absent}
            folder = Path(place.record.folder)
            for path, length in surplus_files(folder, place.paths):
                if length in lengths:
                    self._surplus.setdefault(length, []).append(folder / path)
        _make_folder(self._folder)
        return absent

    async def fill(self, index: int) -> tuple[list[bool], bool]:
        """Make a file out of what there is.

        Returns which pieces are right, and whether another file gave them.
        """
        file = self._metainfo.files[index]
        target = self._folder / self._place.paths[index]
        if file.length_bytes == 0:
            await trio.to_thread.run_sync(_make_empty, target)
            return [], False
        shared = await self._shared.find(file, apart_from=self._licence_id)
        if shared or self._place.replaces:
            sources = await trio.to_thread.run_sync(self._sources, index, shared)
            for source in sources:
                flags = await self._copy(source.path, target, index)
                if all(flags) or (any(flags) and source == sources[-1]):
                    return flags, source.elsewhere
            await trio.to_thread.run_sync(_remove, target)
        return [False] * len(self.pieces.hashes(index)), False

    def _sources(self, index: int, shared: Sequence[Path]) -> list[_Source]:
        place, length = self._place, self._metainfo.files[index].length_bytes
        others = [*self._surplus.get(length, ()), *shared]
        sources = [_Source(path, True) for path in others if plain_size_bytes(path) == length]
        own = Path(place.record.folder) / place.paths[index]
        if place.replaces and plain_size_bytes(own):
            sources.append(_Source(own, False))
        return sources

    async def _copy(self, source: Path, target: Path, index: int) -> list[bool]:
        """Copy as much as fits; returns which pieces of the file are right."""
        file = self._metainfo.files[index]
        await trio.to_thread.run_sync(_remove, target)
        try:
            length = min(plain_size_bytes(source) or 0, file.length_bytes)
            cloned = await trio.to_thread.run_sync(_clone, source, target, length)
            if cloned:
                content = ContentFile(file.path, target, length)
            else:
                content = ContentFile(file.path, source, length, copy_to=target)
            (tree,) = await hash_files([content], self._metainfo.piece_length_bytes)
        except StorageError as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno in DISK_FULL_ERRNOS:
                raise
            tree = HashTree(None)  # it went away, or may not be read
        found = tree.piece_hashes()
        return [
            number < len(found) and found[number] == expected
            for number, expected in enumerate(self.pieces.hashes(index))
        ]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make {folder}: {error.strerror}") from error


def _make_empty(path: Path) -> None:
    _make_folder(path.parent)
    try:
        path.touch()
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot remove {path}: {error.strerror}") from error


def _clone(source: Path, target: Path, length: int) -> bool:
    """Have the file system share the blocks (Btrfs, XFS, bcachefs); False where it does not."""
    if sys.platform != "linux":
        return False
    import fcntl

    _make_folder(target.parent)
    try:
        with contextlib.ExitStack() as stack:
            reading = open_plain(source)
            stack.callback(os.close, reading)
            with target.open("xb") as copy:
                fcntl.ioctl(copy.fileno(), _FICLONE, reading)
                copy.truncate(length)
    except OSError as error:
        target.unlink(missing_ok=True)
        if error.errno in DISK_FULL_ERRNOS:
            raise StorageError(f"cannot write {target}: {error.strerror}") from error
        return False
    return True
