"""What other commands ask of the process that downloads: files in a folder, applied in order.

A request is written whole, carried out, and removed. So one that was written is carried out even
if the process that should do it was killed: by the next one, and twice is the same as once.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from client_lib.download.queue import DownloadQueue, QueueState
from client_lib.durable import private_folder, read_file_if_present, write_atomically
from client_lib.errors import StorageError
from client_lib.wire.licence import LicenceId

_MAX_BYTES = 1 << 20


class Pause(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Pause albums."""

    licence_ids: tuple[LicenceId, ...]


class Resume(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Let paused or failed albums go on."""

    licence_ids: tuple[LicenceId, ...]


class Move(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Put albums before another one, None: at the end."""

    licence_ids: tuple[LicenceId, ...]
    before: LicenceId | None


class Remove(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Take albums out of the queue; with `discard` their partial files go too."""

    licence_ids: tuple[LicenceId, ...]
    discard: bool = False


QueueRequest = Pause | Resume | Move | Remove


class QueueRequests:
    """The folder of requests of one library."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; it is made when the first request is posted."""
        self._folder = folder

    def post(self, request: QueueRequest) -> Path:
        """Write a request; whoever downloads removes the file when it is done.

        Raises StorageError.
        """
        private_folder(self._folder)
        path = self._folder / f"{time.time_ns():020d}.json"
        write_atomically(path, msgspec.json.encode(request), mode=0o600)
        return path

    def pending(self) -> Iterator[tuple[Path, QueueRequest | None]]:
        """Requests in the order posted; None for a file that is no request of ours."""
        try:
            paths = sorted(self._folder.glob("[0-9]*.json"))
        except OSError as error:
            raise StorageError(f"cannot read {self._folder}: {error.strerror}") from error
        for path in paths:
            data = read_file_if_present(path, max_bytes=_MAX_BYTES)
            if data is None:
                continue
            try:
                yield path, msgspec.json.decode(data, type=QueueRequest)
            except msgspec.DecodeError:
                yield path, None


def apply(request: QueueRequest, queue: DownloadQueue) -> None:
    """Carry a request out on a queue that nobody downloads. Albums not in it are left out."""
    known = [licence_id for licence_id in request.licence_ids if licence_id in queue]
    match request:
        case Pause():
            for licence_id in known:
                if queue[licence_id].state is not QueueState.COMPLETE:
                    queue.mark(licence_id, QueueState.PAUSED)
        case Resume():
            for licence_id in known:
                if queue[licence_id].state in (QueueState.PAUSED, QueueState.FAILED):
                    queue.mark(licence_id, QueueState.QUEUED)
        case Move(before=before):
            if before is None or (before in queue and before not in known):
                for licence_id in known:
                    queue.move(licence_id, before)
        case Remove():
            for licence_id in known:
                queue.remove(licence_id)
