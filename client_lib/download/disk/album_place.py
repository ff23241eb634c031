"""Where an album is, and what of it is wanted: found or chosen before it is fetched. Blocking."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from client_lib.download.disk import placement
from client_lib.download.disk.file_selection import wanted_files
from client_lib.download.disk.folder_template import FolderTemplate
from client_lib.download.disk.naming import local_paths
from client_lib.download.disk.verification import sizes_fit
from client_lib.download.library import DeviceLibrary, DownloadRecord, DownloadState
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
    def is_complete(self) -> bool:
        """Whether nothing is to be fetched."""
        return self.record.state is DownloadState.COMPLETE and not self.fetched

    @property
    def fetched(self) -> frozenset[int]:
        """Indexes of the files to fetch: all that are wanted, or what a complete album lacks."""
        if self.record.state is not DownloadState.COMPLETE:
            return self.wanted
        lacks = set(self.record.lacks)
        lacking = {index for index, path in enumerate(self.paths) if path in lacks}
        return (self.wanted - self._had()) | lacking

    @property
    def needed(self) -> frozenset[int]:
        """Indexes of the files that the torrent is about: to fetch, or there and to be given."""
        return self.fetched or self.wanted

    @property
    def replaces(self) -> bool:
        """Whether what is fetched goes into a complete album, file by file."""
        return self.record.state is DownloadState.COMPLETE

    @property
    def folder(self) -> Path:
        """Where files are fetched to, or are if nothing is to be fetched."""
        if self.replaces and self.fetched:
            return Path(self.record.partial)
        return placement.content_folder(self.record)

    @property
    def complete(self) -> frozenset[int]:
        """Indexes of the files that are there when all has been fetched."""
        return self.fetched | self._had() if self.replaces else self.wanted

    @property
    def files(self) -> tuple[str, ...] | None:
        """Paths of `complete`, None for all."""
        if len(self.complete) == len(self.paths):
            return None
        return tuple(self.paths[index] for index in sorted(self.complete))

    def selecting(self, name: str, selection: Sequence[str]) -> "AlbumPlace":
        """Want other files. Raises UsageError if an item fits none."""
        return AlbumPlace(self.record, self.paths, wanted_files(name, selection, self.paths))

    def lacking(self, metainfo: Metainfo) -> tuple[str, ...]:
        """Paths that a complete album needs and has not, or not with their lengths."""
        folder, had, lacks = Path(self.record.folder), self._had(), set(self.record.lacks)
        return tuple(
            path
            for index, (file, path) in enumerate(zip(metainfo.files, self.paths, strict=True))
            if index in had | self.wanted
            and (index not in had or path in lacks or not sizes_fit(folder, [file], [path]))
        )

    def reveal(self, library: DeviceLibrary, licence: LicenceRecord) -> Path:
        """Put what was fetched under its final name and record it. Returns the folder.

        Raises StorageError.
        """
        if self.replaces:
            fetched = [self.paths[index] for index in sorted(self.fetched)]
            folder = placement.replace_files(self.record, fetched)
        else:
            folder = placement.reveal(library, licence, self.record)
        placement.remember_complete(library, licence, self.record, folder, self.files)
        return folder

    def _had(self) -> frozenset[int]:
        """Indexes of the files that an earlier run completed."""
        return frozenset(self.record.complete_of(self.paths))


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
    if place.lacking(metainfo):
        return None
    return Path(record.folder), sum(metainfo.files[i].length_bytes for i in place.wanted)


def find_place(
    library: DeviceLibrary,
    licence: LicenceRecord,
    metainfo: Metainfo,
    into: Path,
    selection: Sequence[str],
    template: FolderTemplate,
) -> AlbumPlace:
    """Find or choose an album's folder below `into`, and what a complete one lacks.

    Raises StorageError; UsageError if an item of the selection fits no file.
    """
    paths = local_paths([file.path for file in metainfo.files])
    wanted = wanted_files(licence.name, selection, paths)  # before a folder is made
    place = AlbumPlace(placement.place(library, licence, into, template), paths, wanted)
    if not place.replaces:
        return place
    lacking = place.lacking(metainfo)
    record = placement.remember_lacking(library, licence, place.record, lacking)
    return AlbumPlace(record, paths, wanted)
