"""How a job uses the disk: folders by a template, what is there already, lists of checksums."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from client_lib.download.disk.album_place import AlbumPlace, find_place
from client_lib.download.disk.checksums import (
    CHECKSUMS_FILE,
    brings_its_own,
    write_checksums,
)
from client_lib.download.disk.folder_template import FolderTemplate
from client_lib.download.disk.hashing_ahead import HashingAhead
from client_lib.download.disk.shared_files import SharedFiles
from client_lib.download.disk.staging import stage
from client_lib.download.library import DeviceLibrary
from client_lib.wire.licensing_api import LicenceRecord
from client_lib.wire.metainfo import Metainfo


@dataclass(frozen=True, slots=True)
class DiskUse:
    """What the albums of a job have in common on the disk.

    `placing` is held while a folder is chosen, so that no two albums choose the same one.
    """

    library: DeviceLibrary
    template: FolderTemplate
    shared: SharedFiles
    checksums: bool
    placing: trio.Lock

    async def find(
        self, licence: LicenceRecord, metainfo: Metainfo, into: Path, files: Sequence[str]
    ) -> AlbumPlace:
        """Find or choose an album's folder; see `find_place`."""
        async with self.placing:
            return await trio.to_thread.run_sync(
                find_place, self.library, licence, metainfo, into, files, self.template
            )

    async def stage(self, place: AlbumPlace, metainfo: Metainfo, licence: LicenceRecord) -> int:
        """Copy what this disk has already; see `stage`. Returns the bytes that need no network."""
        return await stage(place, metainfo, licence.licence_id, self.library, self.shared)

    def hashing_ahead(
        self, place: AlbumPlace, metainfo: Metainfo, verified: Container[int]
    ) -> HashingAhead | None:
        """Prepare to hash an album's files while they come; None if nobody wants them hashed."""
        listed = self.checksums and not place.replaces and not brings_its_own(place.paths)
        if not listed or metainfo.has_checksums:
            return None
        return HashingAhead(metainfo, verified, place.folder, place.paths)

    async def reveal(
        self,
        place: AlbumPlace,
        metainfo: Metainfo,
        licence: LicenceRecord,
        hashed: HashingAhead | None,
    ) -> Path:
        """Put an album that is complete and verified under its final name. Returns the folder.

        Its checksums come with it: those that the torrent says, and those of files that are read;
        what was `hashed` ahead is gone on with. Raises StorageError.
        """
        paths = [place.paths[index] for index in sorted(place.complete)]
        files = [metainfo.files[index] for index in sorted(place.complete)]
        wanted = dict(zip(paths, files, strict=True))
        if self.checksums and not place.replaces:
            begun = {} if hashed is None else hashed.digests
            await write_checksums(place.folder, wanted, begun)
        async with self.placing:
            folder = await trio.to_thread.run_sync(place.reveal, self.library, licence)
        new_files = set(paths) - set(place.record.files or paths)
        listed = (folder / CHECKSUMS_FILE).exists()
        if self.checksums and place.replaces and (new_files or not listed):
            await write_checksums(folder, wanted, {})
        await self.shared.add(licence.licence_id, files, paths)
        return folder
