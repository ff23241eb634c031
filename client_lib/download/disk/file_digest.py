"""SHA-256 of a file that is there, or grows. Blocking, in threads of trio's."""

import os
from hashlib import sha256
from pathlib import Path

import trio

from client_lib.errors import StorageError

_READ_BYTES = 1 << 18  # stays in a core's cache


class FileDigest:
    """SHA-256 of a file's first bytes, of all in the end. For one thread at a time.

    It may be cancelled between any two reads, and gone on with. If another file has taken the
    place of the one that was begun with, or it has become shorter, it begins anew.
    """

    def __init__(self) -> None:
        """Nothing was hashed yet."""
        self._digest = sha256()
        self._file: tuple[int, int] | None = None
        self.done_bytes = 0

    def advance(self, path: Path, end_bytes: int) -> None:
        """Hash what has come, up to `end_bytes`. Raises StorageError."""
        self._read(path, end_bytes)

    def finish(self, path: Path) -> str:
        """Hash the rest, and return the digest in hexadecimal. Raises StorageError."""
        self._read(path, None)
        return self._digest.hexdigest()

    def _read(self, path: Path, end_bytes: int | None) -> None:
        buffer = memoryview(bytearray(_READ_BYTES))
        try:
            with path.open("rb", buffering=0) as content:
                self._recognise(os.fstat(content.fileno()))
                content.seek(self.done_bytes)
                while end_bytes is None or self.done_bytes < end_bytes:
                    room = _READ_BYTES if end_bytes is None else end_bytes - self.done_bytes
                    count = content.readinto(buffer[:room])
                    if not count:
                        return
                    self._digest.update(buffer[:count])
                    self.done_bytes += count
                    trio.from_thread.check_cancelled()
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}") from error

    def _recognise(self, status: os.stat_result) -> None:
        file = status.st_dev, status.st_ino
        if file != self._file or status.st_size < self.done_bytes:
            self._file, self._digest, self.done_bytes = file, sha256(), 0
