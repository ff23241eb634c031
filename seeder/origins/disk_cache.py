"""Pieces on the node's disk, up to a fixed size: `<cache>/<info-hash>/<piece>`.

What was asked for least recently goes first, a release at a time, and never one that somebody is
downloading. Nothing in it is trusted: who reads a piece verifies it. A disk that is full or broken
is said once, and makes the node slower, not wrong.
"""

import contextlib
import itertools
import shutil
from collections import OrderedDict
from pathlib import Path

import structlog
import trio

from client_lib.durable import private_folder

log = structlog.get_logger()


class DiskCache:
    """All releases' pieces. Files are read and written in threads, the books kept in trio."""

    def __init__(self, folder: Path, capacity_bytes: int) -> None:
        """Take over what is in `folder`. Blocking. Raises StorageError."""
        self._folder = private_folder(folder)
        self._capacity_bytes = capacity_bytes
        self._releases: OrderedDict[str, CachedRelease] = OrderedDict()
        self._trouble: str | None = None
        self._numbers = itertools.count()
        self.hits = self.misses = self.evictions = 0
        """Pieces that were here, pieces that were not, and releases that made room."""
        for found in sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime):
            size_bytes = sum(file.stat().st_size for file in found.iterdir())
            self._releases[found.name] = CachedRelease(self, found, size_bytes)

    @property
    def capacity_bytes(self) -> int:
        """Bytes that it may take."""
        return self._capacity_bytes

    @property
    def used_bytes(self) -> int:
        """Bytes of all pieces."""
        return sum(release.size_bytes for release in self._releases.values())

    @property
    def trouble(self) -> str | None:
        """Why nothing more can be kept, or None."""
        return self._trouble

    def release(self, info_hash_hex: str) -> "CachedRelease":
        """The pieces of one release, which is being asked for now."""
        release = self._releases.get(info_hash_hex)
        if release is None:
            release = CachedRelease(self, self._folder / info_hash_hex, 0)
            self._releases[info_hash_hex] = release
        self._releases.move_to_end(info_hash_hex)
        return release

    def keep(self, release: "CachedRelease", piece: int, data: bytes) -> None:
        """Write a piece, if there is room or room can be made. From a thread."""
        # The books are the event loop's alone: so two threads cannot promise the same room.
        victims = trio.from_thread.run_sync(self._make_room, release, len(data))
        if victims is None:
            return
        for victim in victims:
            shutil.rmtree(victim, ignore_errors=True)
        part = release.folder / f".{next(self._numbers)}"
        try:
            release.folder.mkdir(exist_ok=True)
            # Not synced: what a power cut leaves is verified, and fetched again if it is wrong.
            part.write_bytes(data)
            part.replace(release.folder / str(piece))
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            trio.from_thread.run_sync(self._lost, release, len(data), error.strerror)
        else:
            trio.from_thread.run_sync(self._note, None)

    def forget(self, release: "CachedRelease", size_bytes: int) -> None:
        """Take note that a piece was dropped. From a thread."""
        trio.from_thread.run_sync(self._lost, release, size_bytes, None)

    def _make_room(self, release: "CachedRelease", needed_bytes: int) -> list[Path] | None:
        """Count a new piece in, and name the folders to delete for it; None: there is no room."""
        over_bytes = self.used_bytes + needed_bytes - self._capacity_bytes
        victims: list[CachedRelease] = []
        for other in self._releases.values():
            if over_bytes <= 0:
                break
            if other is not release and not other.in_use and other.size_bytes:
                victims.append(other)
                over_bytes -= other.size_bytes
        if over_bytes > 0:
            return None
        self.evictions += len(victims)
        for victim in victims:
            victim.size_bytes = 0
        release.size_bytes += needed_bytes
        return [victim.folder for victim in victims]

    def _lost(self, release: "CachedRelease", size_bytes: int, trouble: str | None) -> None:
        release.size_bytes = max(0, release.size_bytes - size_bytes)
        if trouble is not None:
            self._note(f"{self._folder}: {trouble}")

    def _note(self, trouble: str | None) -> None:
        if trouble != self._trouble:
            if trouble is None:
                log.info("cache works again")
            else:
                log.error("cache cannot be written", reason=trouble)
        self._trouble = trouble


class CachedRelease:
    """The pieces of one release that are on the disk. `in_use`: not to be evicted."""

    def __init__(self, cache: DiskCache, folder: Path, size_bytes: int) -> None:
        """Use `DiskCache.release`."""
        self._cache = cache
        self.folder = folder
        self.size_bytes = size_bytes
        self.in_use = False

    def get(self, piece: int) -> bytes | None:
        """A piece as it is on the disk, unverified; None if it is not there or unreadable."""
        try:
            data = (self.folder / str(piece)).read_bytes()
        except OSError:
            self._cache.misses += 1
            return None
        self._cache.hits += 1
        return data

    def put(self, piece: int, data: bytes) -> None:
        """Keep a verified piece, if there is room."""
        self._cache.keep(self, piece, data)

    def drop(self, piece: int) -> None:
        """Forget a piece that is damaged. From a thread."""
        path = self.folder / str(piece)
        with contextlib.suppress(OSError):
            size_bytes = path.stat().st_size
            path.unlink()
            self._cache.forget(self, size_bytes)
