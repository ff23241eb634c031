"""Is an album what was bought, and what `Client.repair` did about it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import trio

from client_lib.download.disk import placement
from client_lib.download.disk.naming import local_paths
from client_lib.download.disk.verification import (
    FileFinding,
    FileState,
    VerifyProgress,
    surplus_files,
    verify_files,
)
from client_lib.download.library import DeviceLibrary, DownloadRecord, DownloadState
from client_lib.durable import read_file
from client_lib.errors import UsageError
from client_lib.membership import TORRENT_FILE
from client_lib.wire.licensing_api import MAX_TORRENT_BYTES, LicenceRecord
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import TorrentName


@dataclass(frozen=True, slots=True)
class Repaired:
    """How a repair ended: the album is whole in `folder`. `findings` are from before.

    `downloaded_bytes` are payload; `reused_bytes` came from other files of this device.
    """

    name: TorrentName
    folder: Path
    findings: tuple[FileFinding, ...]
    downloaded_bytes: int = 0
    reused_bytes: int = 0

    @property
    def mended(self) -> tuple[FileFinding, ...]:
        """Files that were missing or changed."""
        return tuple(finding for finding in self.findings if finding.is_damage)


def complete_record(library: DeviceLibrary, licence: LicenceRecord) -> DownloadRecord:
    """Where a complete album is. Raises UsageError if it was not downloaded here."""
    record = library.download(licence.licence_id)
    if record is None or record.state is not DownloadState.COMPLETE:
        raise UsageError(f"{licence.name}: not downloaded here yet; get it first")
    return record


async def verify_album(
    library: DeviceLibrary,
    licence: LicenceRecord,
    on_progress: Callable[[VerifyProgress], None],
) -> tuple[FileFinding, ...]:
    """Hash an album in a thread and remember what it lacks; see `Client.verify`.

    Cancelled, it stops within a megabyte. Raises StorageError, UsageError.
    """

    def tell(progress: VerifyProgress) -> None:
        trio.from_thread.run_sync(on_progress, progress)  # raises if we were cancelled

    def verify() -> tuple[FileFinding, ...]:
        record = complete_record(library, licence)
        torrent = library.licence_folder(licence.licence_id) / TORRENT_FILE
        metainfo = Metainfo.from_bytes(read_file(torrent, max_bytes=MAX_TORRENT_BYTES))
        paths = local_paths([file.path for file in metainfo.files])
        chosen = record.complete_of(paths)
        folder = Path(record.folder)
        findings = verify_files(
            folder, [metainfo.files[n] for n in chosen], [paths[n] for n in chosen], tell
        )
        lacks = [finding.path for finding in findings if finding.is_damage]
        placement.remember_lacking(library, licence, record, lacks)
        return findings + tuple(
            FileFinding(path, FileState.SURPLUS, length)
            for path, length in surplus_files(folder, paths)
        )

    return await trio.to_thread.run_sync(verify)
