"""Publishing: an album folder becomes content in the origin and a release that can be sold.

Killed at any point, the same command again completes it: the origin is changed only by two
renames of finished things, and licensing is told afterwards.
"""

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


async def publish(
    release: Release,
    *,
    origin: FolderOrigin,
    licensing: LicensingClient,
    bucket: BucketOrigin | None = None,
    on_progress: Progress = lambda _step, _done, _total: None,
) -> Published:
    """Publish an album. Identical content again is a no-op: it is hashed, and nothing is written.

    With a `bucket` the release goes up to it, and does not stay in `origin`.

    Raises StorageError and MetainfoError for a folder that cannot be published, StorageError for
    other content under the same name, LicensingRefused and UnreachableError.
    """
    folder = await trio.to_thread.run_sync(survey, release.source)
    return await publish_folder(
        folder,
        release,
        origin=origin,
        licensing=licensing,
        bucket=bucket,
        on_progress=on_progress,
    )


async def publish_folder(
    folder: AlbumFolder,
    release: Release,
    *,
    origin: FolderOrigin,
    licensing: LicensingClient,
    bucket: BucketOrigin | None,
    on_progress: Progress,
) -> Published:
    """`publish` of an album that must still be as it was surveyed."""
    name = release.name
    _require_apart(folder.root, origin.root)
    album = await trio.to_thread.run_sync(
        describe_album, folder.root, [file.path for file in folder.files], release.overrides
    )
    album = _as_placed(album, folder)
    ca_pem = await licensing.swarm_ca()
    registered = await registered_hash(licensing, name)
    places = Places(origin, bucket, registered)
    placed = await trio.to_thread.run_sync(place, folder, name, ca_pem, places, on_progress)
    try:
        entry = await licensing.publish(
            release.release_id,
            release.audio_format,
            Publication(album=album, torrent=placed.torrent, rights=release.rights),
        )
    except LicensingRefused:
        if placed.new:  # what may not be sold is not kept
            await trio.to_thread.run_sync(take_back, origin, name)
        raise
    if bucket is not None:
        await trio.to_thread.run_sync(take_back, origin, name)
    return Published(entry, new=placed.new or registered is None)


async def registered_hash(licensing: LicensingClient, name: TorrentName) -> InfoHash | None:
    """The info-hash that licensing knows under this name, None if the name is free."""
    try:
        torrent = await licensing.release_torrent(*split_torrent_name(name))
    except LicensingRefused as refused:
        if refused.status == _NOT_FOUND:
            return None
        raise
    return Metainfo.from_bytes(torrent).info_hash


def _as_placed(album: Album, folder: AlbumFolder) -> Album:
    """Name the tracks by their paths in the torrent."""
    tracks = tuple(
        structs.replace(track, path="/".join(folder.path_in_torrent(tuple(track.path.split("/")))))
        for track in album.tracks
    )
    return structs.replace(album, tracks=tracks)


def _require_apart(source: Path, origin: Path) -> None:
    where = origin.resolve()
    if source == where or source in where.parents or where in source.parents:
        raise UsageError(f"{source}: the album and the origin {origin} must not be in each other")
