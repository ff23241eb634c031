"""A track that is listened to while its album downloads, as a file object."""

import io

from client_lib.blocking.portal import Portal
from client_lib.download.listening import track_stream


class TrackStream(io.RawIOBase):
    """Bytes of one file, every one verified, read-only; `io.BufferedReader` may be put around it.

    `read`, `seek` and `tell` are those of any file, `receive_some`, `size_bytes` and `path` those
    of `client_lib.TrackStream`. Reading waits for what is not there yet.
    """

    def __init__(self, portal: Portal, stream: track_stream.TrackStream) -> None:
        """Made by `DownloadJob.open_track`."""
        self._portal = portal
        self._stream = stream
        self.path = stream.path

    @property
    def size_bytes(self) -> int:
        """Length of the file."""
        return self._stream.size_bytes

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be sought."""
        return True

    def tell(self) -> int:
        """Byte that comes next."""
        return self._portal.tell(self._stream.tell)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go on from another byte. Raises ValueError."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self.size_bytes}[whence]
        self._portal.call(lambda: self._stream.seek(start + offset))
        return start + offset

    def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait for the next bytes, at most 64 KiB at a time; none at the end of the file."""
        return self._portal.call(lambda: self._stream.receive_some(max_bytes))

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Wait for the next bytes; 0 at the end of the file."""
        data = self.receive_some(len(buffer)) if len(buffer) else b""
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close it; what came first for it comes as ever again."""
        if not self.closed:
            super().close()
            with self._portal.unless_closed():
                self._portal.call(self._stream.aclose)
