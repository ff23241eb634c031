"""An album's files are hashed for `checksums.sha256` while they come, from their beginnings.

What is left after the last piece is what came in the last quarter of a second, if no piece was
missing in between: a node gives whoever is alone with it files from their beginnings. Only bytes
that are verified *and written* are read back, soon enough to be in the page cache still. Files of
which an earlier run had a part are left to the end: whoever is killed again and again must not
read everything again each time.
"""

from collections.abc import Container, Mapping, Sequence
from pathlib import Path

import trio

from client_lib.download.disk.file_digest import FileDigest
from client_lib.errors import StorageError
from client_lib.wire.metainfo import Metainfo

_LEAST_BYTES = 4 << 20
"""For less nobody goes to a thread. So small albums are hashed in one go, at the end."""


class HashingAhead:
    """Digests of one album's files. `run` hashes what `written` allows, and may be cancelled."""

    def __init__(
        self, metainfo: Metainfo, verified: Container[int], folder: Path, paths: Sequence[str]
    ) -> None:
        """Take the torrent, the pieces that are verified now and ever, and where its files are."""
        self._verified = verified
        self._folder = folder
        self._piece_bytes = metainfo.piece_length_bytes
        self._files: dict[str, _Growing] = {}
        first = 0
        for file, path in zip(metainfo.files, paths, strict=True):
            end = first + -(-file.length_bytes // self._piece_bytes)
            # In this order: who asks what is verified asks libtorrent's thread first.
            if (
                file.sha256 is None
                and file.length_bytes >= _LEAST_BYTES
                and not any(piece in verified for piece in range(first, end))
            ):
                self._files[path] = _Growing(first, end, file.length_bytes)
            first = end
        self._reached: Mapping[str, int] = {}
        self._more = trio.Event()

    @property
    def digests(self) -> Mapping[str, FileDigest]:
        """What has been hashed, by path. Not to be touched while `run` runs."""
        return {path: file.digest for path, file in self._files.items()}

    def reached(self) -> Mapping[str, int]:
        """Bytes from each file's beginning on that are verified: all that a flush writes."""
        return {
            path: file.reach(self._verified, self._piece_bytes)
            for path, file in self._files.items()
        }

    def written(self, reached: Mapping[str, int]) -> None:
        """Say that what was reached is in the files by now."""
        self._reached = reached
        self._more.set()

    async def run(self) -> None:
        """Hash what comes, for ever. What cannot be read is left to the end, which says why."""
        try:
            while True:
                await self._more.wait()
                self._more = trio.Event()
                due = {
                    path: end
                    for path, end in self._reached.items()
                    if self._files[path].is_worth_a_thread(end)
                }
                if due:
                    await trio.to_thread.run_sync(self._advance, due)
        except StorageError:
            await trio.sleep_forever()

    def _advance(self, due: Mapping[str, int]) -> None:
        for path, end in due.items():
            self._files[path].digest.advance(self._folder / path, end)


class _Growing:
    """A file: its pieces, and how far they are there without a hole."""

    def __init__(self, first: int, end: int, length_bytes: int) -> None:
        self._first, self._next, self._end = first, first, end
        self._length_bytes = length_bytes
        self.digest = FileDigest()

    def reach(self, verified: Container[int], piece_bytes: int) -> int:
        while self._next < self._end and self._next in verified:
            self._next += 1
        return min((self._next - self._first) * piece_bytes, self._length_bytes)

    def is_worth_a_thread(self, end_bytes: int) -> bool:
        least = 1 if end_bytes == self._length_bytes else _LEAST_BYTES
        return end_bytes - self.digest.done_bytes >= least
