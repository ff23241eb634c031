"""Publishing: an album folder becomes content in the origin and a release that can be sold.

Killed at any point, the same command again completes it: the origin is changed only by two
renames of finished things, and licensing is told afterwards.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import trio
from msgspec import structs

from client_lib.errors import LicensingRefused, UsageError
from client_lib.transport.licensing_client import LicensingClient
from client_lib.wire.infohash import InfoHash
from client_lib.wire.licensing_api import CatalogueEntry, Publication
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import (
    Album,
    AudioFormat,
    ReleaseId,
    TorrentName,
    split_torrent_name,
    torrent_name,
)
from client_lib.wire.rights import RightsHolder
from seeder.album_folder import AlbumFolder, survey
from seeder.origins.bucket import BucketOrigin
from seeder.origins.folder import FolderOrigin
from seeder.placing import Places, Progress, place, take_back
from seeder.tags import Overrides, describe_album

_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Release:
    """What to publish, from where, under which name, for whom.

    `rights` None: the whole to the artist, or as they are if it is published already.
    """

    source: Path
    release_id: ReleaseId
    audio_format: AudioFormat
    overrides: Overrides | None = None
    rights: tuple[RightsHolder, ...] | None = None

    @property
    def name(self) -> TorrentName:
        """Name of the torrent."""
        return torrent_name(self.release_id, self.audio_format)


@dataclass(frozen=True, slots=True)
class Published:
    """The release as licensing lists it; `new` is false if there was nothing left to do."""

    entry: CatalogueEntry
    new: bool


@dataclass(frozen=True, slots=True)
class Press:
    """Where releases are made, kept and registered.

    With a `bucket` they go up to it, and do not stay in `origin`. With `checksums` the torrents of
    new releases say the SHA-256 of each file, so that customers need not hash them a second time.
    """

    origin: FolderOrigin
    licensing: LicensingClient
    bucket: BucketOrigin | None = None
    on_progress: Progress = lambda _step, _done, _total: None
    checksums: bool = True

    def torrent(self, name: TorrentName) -> bytes | None:
        """The torrent of a release whose content is kept, or None. Blocking. StorageError."""
        if self.bucket is not None:
            return self.bucket.torrent(name)
        return self.origin.torrent(name) if self.origin.content(name).exists() else None


async def publish(release: Release, press: Press) -> Published:
    """Publish an album. Identical content again is a no-op: it is hashed, and nothing is written.

    Raises StorageError and MetainfoError for a folder that cannot be published, StorageError for
    other content under the same name, LicensingRefused and UnreachableError.
    """
    folder = await trio.to_thread.run_sync(survey, release.source)
    return await publish_folder(folder, await describe(folder, release), release, press)


async def describe(folder: AlbumFolder, release: Release) -> Album:
    """The album as tags and operator tell it, its tracks named by their paths in the folder."""
    files = [file.path for file in folder.files]
    return await trio.to_thread.run_sync(describe_album, folder.root, files, release.overrides)


async def publish_folder(
    folder: AlbumFolder, album: Album, release: Release, press: Press
) -> Published:
    """`publish` of an album that must still be as it was surveyed."""
    name, origin, licensing = release.name, press.origin, press.licensing
    _require_apart(folder.root, origin.root)
    ca_pem = await licensing.swarm_ca()
    registered = await _registered(licensing, name)
    places = Places(origin, press.bucket, registered, press.checksums)
    placed = await trio.to_thread.run_sync(place, folder, name, ca_pem, places, press.on_progress)
    paths = {"/".join(f.path): "/".join(folder.path_in_torrent(f.path)) for f in folder.files}
    try:
        entry = await register(release, renamed(album, paths), placed.torrent, licensing)
    except LicensingRefused:
        if placed.new:  # what may not be sold is not kept
            await trio.to_thread.run_sync(take_back, origin, name)
        raise
    if press.bucket is not None:
        await trio.to_thread.run_sync(take_back, origin, name)
    return Published(entry, new=placed.new or registered is None)


async def register(
    release: Release, album: Album, torrent: bytes, licensing: LicensingClient
) -> CatalogueEntry:
    """Tell licensing, which answers as before if it knows. LicensingRefused, UnreachableError."""
    publication = Publication(album=album, torrent=torrent, rights=release.rights)
    return await licensing.publish(release.release_id, release.audio_format, publication)


async def registered_hash(licensing: LicensingClient, name: TorrentName) -> InfoHash | None:
    """The info-hash that licensing knows under this name, None if the name is free."""
    torrent = await _registered(licensing, name)
    return None if torrent is None else Metainfo.from_bytes(torrent).info_hash


async def _registered(licensing: LicensingClient, name: TorrentName) -> bytes | None:
    try:
        return await licensing.release_torrent(*split_torrent_name(name))
    except LicensingRefused as refused:
        if refused.status == _NOT_FOUND:
            return None
        raise


def renamed(album: Album, paths: Mapping[str, str]) -> Album:
    """Call the tracks by other paths."""
    tracks = tuple(structs.replace(track, path=paths[track.path]) for track in album.tracks)
    return structs.replace(album, tracks=tracks)


def _require_apart(source: Path, origin: Path) -> None:
    where = origin.resolve()
    if source == where or source in where.parents or where in source.parents:
        raise UsageError(f"{source}: the album and the origin {origin} must not be in each other")
