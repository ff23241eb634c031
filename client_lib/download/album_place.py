"""Where an album is, and what of it is wanted: found or chosen before it is fetched. Blocking."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from client_lib.download import placement
from client_lib.download.file_selection import wanted_files
from client_lib.download.library import DeviceLibrary, DownloadRecord, DownloadState
from client_lib.download.naming import local_paths
from client_lib.download.verification import sizes_fit
from client_lib.membership import stored_metainfo
from client_lib.wire.licensing_api import LicenceRecord
from client_lib.wire.metainfo import Metainfo


@dataclass(frozen=True, slots=True)
class AlbumPlace:
    """An album's folders, the paths of all its files, and the indexes of those wanted."""

    record: DownloadRecord
    paths: tuple[str, ...]
    wanted: frozenset[int]

    @property
    def files(self) -> tuple[str, ...] | None:
        """Paths wanted, None for all."""
        if len(self.wanted) == len(self.paths):
            return None
        return tuple(self.paths[index] for index in sorted(self.wanted))

    def selecting(self, name: str, selection: Sequence[str]) -> "AlbumPlace":
        """Want other files. Raises UsageError if an item fits none."""
        return AlbumPlace(self.record, self.paths, wanted_files(name, selection, self.paths))

    def has_what_was_recorded(self, metainfo: Metainfo) -> bool:
        """Tell whether what an earlier run finished has its lengths still."""
        had = self.record.files
        pairs = [
            (file, path)
            for file, path in zip(metainfo.files, self.paths, strict=True)
            if had is None or path in had
        ]
        files, paths = [file for file, _ in pairs], [path for _, path in pairs]
        return sizes_fit(Path(self.record.folder), files, paths)

    def has_what_is_wanted(self, metainfo: Metainfo) -> bool:
        """Tell whether an earlier run finished all that is wanted, and it has its lengths still."""
        had = self.record.files
        if had is not None and not {self.paths[index] for index in self.wanted} <= set(had):
            return False
        return self.has_what_was_recorded(metainfo)


def already_there(
    library: DeviceLibrary, licence: LicenceRecord, selection: Sequence[str]
) -> tuple[Path, int] | None:
    """Folder and size of an album that an earlier run finished, None otherwise.

    Nobody is asked and nothing is hashed. Raises UsageError if an item of the selection fits no
    file, StorageError.
    """
    record = library.download(licence.licence_id)
    if record is None or record.state is not DownloadState.COMPLETE:
        return None
    metainfo = stored_metainfo(library.licence_folder(licence.licence_id))
    if metainfo is None:
        return None
    paths = local_paths([file.path for file in metainfo.files])
    place = AlbumPlace(record, paths, wanted_files(licence.name, selection, paths))
    if not place.has_what_is_wanted(metainfo):
        return None
    return Path(record.folder), sum(metainfo.files[i].length_bytes for i in place.wanted)


def find_place(
    library: DeviceLibrary,
    licence: LicenceRecord,
    metainfo: Metainfo,
    into: Path,
    selection: Sequence[str],
) -> AlbumPlace:
    """Find or choose an album's folder below `into`; its record says COMPLETE only if it is.

    Raises StorageError; UsageError if an item of the selection fits no file.
    """
    paths = local_paths([file.path for file in metainfo.files])
    wanted = wanted_files(licence.name, selection, paths)  # before a folder is made
    place = AlbumPlace(placement.place(library, licence, into), paths, wanted)
    if place.record.state is not DownloadState.COMPLETE or place.has_what_is_wanted(metainfo):
        return place
    if place.has_what_was_recorded(metainfo):
        record = placement.reopen(library, licence, place.record)
    else:
        record = placement.remember_incomplete(library, licence, place.record)
    return AlbumPlace(record, place.paths, place.wanted)
