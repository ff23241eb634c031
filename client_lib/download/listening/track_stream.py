"""A file of an album as a stream of bytes that can be sought, whether it is there yet or not."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from client_lib.download.listening.listeners import Listener, Listening, ListeningEnded
from client_lib.download.listening.read_ahead import TrackPieces
from client_lib.errors import StorageError

_CHUNK_BYTES = 64 << 10

FindTrack = Callable[[], Awaitable[Listening | Path]]
"""Where a file is now: with an album under way, or complete on the disk."""


class TrackStream(trio.abc.ReceiveStream):
    """Bytes of one file, every one verified. `DownloadJob.open_track` makes it.

    For one task at a time. What ends the album ends the stream with the same error.
    """

    def __init__(self, find: FindTrack, track: TrackPieces, path: str) -> None:
        """Take how to find the file, and its pieces."""
        self.path = path
        """Below the album folder."""
        self._find = find
        self._track = track
        self._position = 0
        self._listening: Listening | None = None
        self._listener: Listener | None = None
        self._start, self._piece = 0, b""
        self._busy = self._closed = False

    @property
    def size_bytes(self) -> int:
        """Length of the file."""
        return self._track.length_bytes

    def tell(self) -> int:
        """Byte that comes next."""
        return self._position

    async def seek(self, offset_bytes: int) -> None:
        """Go on from another byte; at the end of the file nothing comes. Raises ValueError."""
        self._check_free()
        if not 0 <= offset_bytes <= self.size_bytes:
            raise ValueError(f"byte {offset_bytes} of a file of {self.size_bytes} bytes")
        self._go(offset_bytes)
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait for the next bytes, at most 64 KiB at a time; none at the end of the file.

        Raises what ended the album, StorageError; trio.ClosedResourceError once it is closed.
        """
        if max_bytes is not None and max_bytes < 1:
            raise ValueError("max_bytes must be 1 or more")
        self._check_free()
        await trio.lowlevel.checkpoint()
        if self._position >= self.size_bytes:
            return b""
        self._busy = True
        try:
            if not self._start <= self._position < self._start + len(self._piece):
                await self._load()
        finally:
            self._busy = False
        if self._closed:
            raise trio.ClosedResourceError
        begin = self._position - self._start
        data = self._piece[begin : begin + min(max_bytes or _CHUNK_BYTES, _CHUNK_BYTES)]
        self._go(self._position + len(data))
        return data

    async def aclose(self) -> None:
        """Close it; what came first for it comes as ever again."""
        self._closed = True
        self._piece = b""
        self._leave()
        await trio.lowlevel.checkpoint()

    def _check_free(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError
        if self._busy:
            raise trio.BusyResourceError("another task reads from this stream")

    def _go(self, position: int) -> None:
        self._position = position
        if self._listening is not None and self._listener is not None:
            self._listening.move(self._listener, min(position, self.size_bytes - 1))

    async def _load(self) -> None:
        """Get the piece at the position, from wherever the file is now."""
        while True:
            where = await self._find()
            if isinstance(where, Path):
                self._leave()
                self._start, self._piece = await trio.to_thread.run_sync(self._from_disk, where)
                return
            if self._listening is not where or self._listener is None:
                self._leave()
                self._listening, self._listener = where, where.join(self._track)
                self._go(self._position)
            try:
                self._start, self._piece = await where.read(self._listener)
            except ListeningEnded:
                continue
            return

    def _leave(self) -> None:
        if self._listening is not None and self._listener is not None:
            self._listening.leave(self._listener)
        self._listening = self._listener = None

    def _from_disk(self, path: Path) -> tuple[int, bytes]:
        try:
            with path.open("rb") as file:
                data = os.pread(file.fileno(), _CHUNK_BYTES, self._position)
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}") from error
        if not data:
            raise StorageError(f"{path} is shorter than it should be: `albumswarm verify` finds it")
        return self._position, data
