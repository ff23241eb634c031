"""Whether all that is in the queue fits on its disks. Blocking."""

from collections.abc import Iterable
from pathlib import Path

from client_lib.download.disk.space import space_shortage
from client_lib.download.library import DeviceLibrary, DownloadState
from client_lib.download.queue import QueueEntry


def shortage(library: DeviceLibrary, entries: Iterable[QueueEntry]) -> str | None:
    """Say what is short for these albums, None if they fit. Raises StorageError."""
    needs: dict[Path, int] = {}
    for entry in entries:
        record = library.download(entry.licence_id)
        if record is None or record.state is not DownloadState.COMPLETE:
            into = Path(entry.into)
            needs[into] = needs.get(into, 0) + entry.remaining_bytes
    return space_shortage(needs)
