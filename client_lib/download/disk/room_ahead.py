"""Whether all that is in the queue fits on its disks."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import trio

from client_lib.download.disk.space import space_shortage
from client_lib.download.events import Warned, WarningKind
from client_lib.download.library import DeviceLibrary, DownloadState
from client_lib.download.queue import QueueEntry, QueueState


async def warn_of_shortage(
    library: DeviceLibrary, entries: Sequence[QueueEntry], emit: Callable[[Warned], None]
) -> None:
    """Say at once if not all albums to come fit; the first ones are fetched all the same."""
    to_come = [
        entry for entry in entries if entry.state in (QueueState.QUEUED, QueueState.DOWNLOADING)
    ]
    message = await trio.to_thread.run_sync(_shortage, library, to_come)
    if message is not None:
        emit(Warned(kind=WarningKind.SPACE, message=message))


def _shortage(library: DeviceLibrary, entries: Iterable[QueueEntry]) -> str | None:
    """Say what is short for these albums, None if they fit. Raises StorageError."""
    needs: dict[Path, int] = {}
    for entry in entries:
        record = library.download(entry.licence_id)
        if record is None or record.state is not DownloadState.COMPLETE:
            into = Path(entry.into)
            needs[into] = needs.get(into, 0) + entry.remaining_bytes
    return space_shortage(needs)
