"""Which files the complete albums of this device have, by their v2 pieces roots (BEP 52).

An edition or format that shares files with one already here need not fetch them. The index is one
JSON line an album, added when it is complete. What is missing of it, be it all, is read from the
albums' torrents again, so nothing depends on it. Nothing in it is believed: files are hashed while
they are copied.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import trio

from client_lib.download.disk.naming import local_paths
from client_lib.download.library import DeviceLibrary, DownloadRecord, DownloadState
from client_lib.durable import read_file_if_present, write_atomically
from client_lib.errors import StorageError
from client_lib.membership import stored_metainfo
from client_lib.wire.file_tree import TorrentFile
from client_lib.wire.licence import LicenceId
from client_lib.wire.metainfo import Metainfo

MAX_ROOTS = 50_000
"""Roots kept, some 4,000 albums; the oldest albums go first."""
MAX_COPIES = 4
"""Places that are tried for one file."""
_MAX_INDEX_BYTES = 64 << 20


_Files = tuple[tuple[bytes, str], ...]
"""Root and path below the album's folder."""


class _Line(msgspec.Struct, frozen=True, array_like=True):
    """An album and its files."""

    licence_id: str
    files: _Files


class SharedFiles:
    """The index of one library. Threads do the work, one at a time."""

    def __init__(self, library: DeviceLibrary) -> None:
        """Read nothing yet."""
        self._library = library
        self._one_at_a_time = trio.CapacityLimiter(1)
        self._albums: dict[str, _Files] | None = None
        self._places: dict[bytes, list[tuple[str, str]]] = {}
        self._roots = 0

    async def find(self, file: TorrentFile, *, apart_from: LicenceId) -> tuple[Path, ...]:
        """Files of other complete albums that had this content; the newest first."""
        if self._albums is not None and file.pieces_root not in self._places:
            await trio.lowlevel.checkpoint()  # of a thousand albums few have a file in common
            return ()
        return await trio.to_thread.run_sync(
            self._find, file.pieces_root, apart_from, limiter=self._one_at_a_time
        )

    async def add(
        self, licence_id: LicenceId, files: Sequence[TorrentFile], paths: Sequence[str]
    ) -> None:
        """Note the files of an album that is complete now. Raises StorageError."""
        line = _line(licence_id, files, paths)
        await trio.to_thread.run_sync(self._add, line, limiter=self._one_at_a_time)

    def _find(self, root: bytes | None, apart_from: LicenceId) -> tuple[Path, ...]:
        if root is None:
            return ()
        self._load()
        places = [place for place in self._places.get(root, ()) if place[0] != apart_from]
        found = (self._path(*place) for place in reversed(places))
        return tuple(path for path in found if path is not None)

    def _add(self, line: _Line) -> None:
        albums = self._load()
        if albums.get(line.licence_id) == line.files:
            return
        self._take(albums, line)
        try:
            with self._index.open("ab") as index:
                index.write(msgspec.json.encode(line) + b"\n")
        except OSError as error:
            raise StorageError(f"cannot write {self._index}: {error.strerror}") from error

    @property
    def _index(self) -> Path:
        return self._library.folder / "files.jsonl"

    def _path(self, licence_id: str, path: str) -> Path | None:
        record = self._complete(licence_id)
        return None if record is None else Path(record.folder) / path

    def _complete(self, licence_id: str) -> DownloadRecord | None:
        with contextlib.suppress(StorageError):
            record = self._library.download(LicenceId(licence_id))
            if record is not None and record.state is DownloadState.COMPLETE:
                return record
        return None

    def _load(self) -> dict[str, _Files]:
        if self._albums is not None:
            return self._albums
        albums: dict[str, _Files] = {}
        texts = self._texts()
        lines = 0
        for text in texts:
            with contextlib.suppress(msgspec.DecodeError):  # a kill may have cut the last one
                self._take(albums, msgspec.json.decode(text, type=_Line))
                lines += 1
        for licence_id in self._library.licence_ids():
            if self._roots >= MAX_ROOTS:
                break
            if licence_id not in albums and (made := self._from_torrent(licence_id)):
                self._take(albums, made)
        if not len(albums) == lines == len(texts):  # so that no line is added to a cut one
            kept = (_Line(one, files) for one, files in albums.items())
            data = b"".join(msgspec.json.encode(line) + b"\n" for line in kept)
            write_atomically(self._index, data, mode=0o600, power_cut_safe=False)
        self._albums = albums
        return albums

    def _texts(self) -> list[bytes]:
        try:
            data = read_file_if_present(self._index, max_bytes=_MAX_INDEX_BYTES)
        except StorageError:
            return []  # it is made anew
        return (data or b"").splitlines()

    def _from_torrent(self, licence_id: str) -> _Line | None:
        record = self._complete(licence_id)
        metainfo: Metainfo | None = None
        if record is not None:
            with contextlib.suppress(StorageError):
                metainfo = stored_metainfo(self._library.licence_folder(LicenceId(licence_id)))
        if record is None or metainfo is None:
            return None
        paths = local_paths([file.path for file in metainfo.files])
        there = record.complete_of(paths)
        return _line(licence_id, [metainfo.files[n] for n in there], [paths[n] for n in there])

    def _take(self, albums: dict[str, _Files], line: _Line) -> None:
        """Put an album into memory in place of what was known of it; the oldest make room."""
        self._drop(albums, line.licence_id)
        albums[line.licence_id] = line.files
        self._roots += len(line.files)
        for root, path in line.files:
            places = self._places.setdefault(root, [])
            places.append((line.licence_id, path))
            del places[:-MAX_COPIES]
        while self._roots > MAX_ROOTS:
            self._drop(albums, next(iter(albums)))

    def _drop(self, albums: dict[str, _Files], licence_id: str) -> None:
        files = albums.pop(licence_id, ())
        for root, _ in files:
            places = self._places.get(root, [])
            places[:] = [place for place in places if place[0] != licence_id]
            if not places:
                self._places.pop(root, None)
        self._roots -= len(files)


def _line(licence_id: str, files: Sequence[TorrentFile], paths: Sequence[str]) -> _Line:
    pairs = zip(files, paths, strict=True)
    return _Line(
        licence_id, tuple((f.pieces_root, path) for f, path in pairs if f.pieces_root is not None)
    )
