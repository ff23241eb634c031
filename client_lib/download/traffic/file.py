"""The ledger of traffic as it lies in a device's folder. Light: loads no libtorrent."""

from pathlib import Path

import msgspec

from client_lib.download.traffic.ledger import StoredTraffic
from client_lib.durable import read_file_if_present
from client_lib.errors import StorageError

SYNCED_FILE, RECENT_FILE = "traffic.json", "traffic.recent.json"


def read_traffic(folder: Path) -> StoredTraffic:
    """Read the ledger of a device's folder. Raises StorageError if the synced file is damaged."""
    synced, recent = folder / SYNCED_FILE, folder / RECENT_FILE
    newest = StoredTraffic()
    for path in (synced, recent):
        data = read_file_if_present(path, max_bytes=64 << 20)
        try:
            stored = (
                StoredTraffic() if data is None else msgspec.json.decode(data, type=StoredTraffic)
            )
        except msgspec.DecodeError as error:
            if path is recent:
                continue  # a power cut
            raise StorageError(f"{path} is damaged ({error}): remove it and try again") from error
        newest = max(newest, stored, key=lambda one: one.revision)
    return newest
