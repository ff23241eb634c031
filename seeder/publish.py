"""Publishing: an album folder becomes content in the origin and a release that can be sold.

Killed at any point, the same command again completes it: the origin is changed only by two
renames of finished things, and licensing is told afterwards.
"""

import enum
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import trio
from msgspec import structs

from client_lib.errors import LicensingRefused, MetainfoError, StorageError, UsageError
from client_lib.swarm.create import create_torrent
from client_lib.transport.licensing_client import LicensingClient
from client_lib.wire.infohash import InfoHash
from client_lib.wire.licensing_api import MAX_TORRENT_BYTES, CatalogueEntry, Publication
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import Album, AudioFormat, ReleaseId, TorrentName, torrent_name
from client_lib.wire.rights import RightsHolder
from seeder.album_folder import AlbumFolder, copy_album, survey
from seeder.origins.bucket import BucketOrigin
from seeder.origins.folder import FolderOrigin
from seeder.staging import exclusively, staging_folder
from seeder.tags import Overrides, describe_album

_NOT_FOUND = 404


class Step(enum.StrEnum):
    """What a publish is doing."""

    COPYING = "copying"
    HASHING = "hashing"
    UPLOADING = "uploading"
    """Only to a bucket."""


Progress = Callable[[Step, int, int], None]
"""Called, from a thread, with the step, the bytes done and the bytes to do."""


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
    """Publish an album. Identical content again is a no-op.

    With a `bucket` the release goes up to it, and does not stay in `origin`.

    Raises StorageError and MetainfoError for a folder that cannot be published, StorageError for
    other content under the same name, LicensingRefused and UnreachableError.
    """
    name = release.name
    folder = await trio.to_thread.run_sync(survey, release.source)
    _require_apart(folder.root, origin.root)
    album = await trio.to_thread.run_sync(
        describe_album, folder.root, [file.path for file in folder.files], release.overrides
    )
    album = _as_placed(album, folder)
    ca_pem = await licensing.swarm_ca()
    registered = await _registered(licensing, release)
    torrent, installed = await trio.to_thread.run_sync(
        _place, folder, name, ca_pem, registered, origin, on_progress
    )
    if bucket is not None:
        await trio.to_thread.run_sync(_upload, bucket, origin, torrent, on_progress)
    try:
        entry = await licensing.publish(
            release.release_id,
            release.audio_format,
            Publication(album=album, torrent=torrent, rights=release.rights),
        )
    except LicensingRefused:
        if installed:  # what may not be sold is not kept
            await trio.to_thread.run_sync(_take_back, origin, name)
        raise
    if bucket is not None:
        await trio.to_thread.run_sync(_take_back, origin, name)
    return Published(entry, new=installed or registered is None)


def _as_placed(album: Album, folder: AlbumFolder) -> Album:
    """Name the tracks by their paths in the torrent."""
    tracks = tuple(
        structs.replace(track, path="/".join(folder.path_in_torrent(tuple(track.path.split("/")))))
        for track in album.tracks
    )
    return structs.replace(album, tracks=tracks)


async def _registered(licensing: LicensingClient, release: Release) -> InfoHash | None:
    """The info-hash that licensing knows under this name, None if the name is free."""
    try:
        torrent = await licensing.release_torrent(release.release_id, release.audio_format)
    except LicensingRefused as refused:
        if refused.status == _NOT_FOUND:
            return None
        raise
    return Metainfo.from_bytes(torrent).info_hash


def _place(
    folder: AlbumFolder,
    name: TorrentName,
    ca_pem: str,
    registered: InfoHash | None,
    origin: FolderOrigin,
    on_progress: Progress,
) -> tuple[bytes, bool]:
    """Bring the content into the origin. Return its torrent, and whether it was not there yet."""

    def reporter(step: Step) -> Callable[[int, int], None]:
        def report(done_bytes: int, total_bytes: int) -> None:
            trio.from_thread.check_cancelled()
            on_progress(step, done_bytes, total_bytes)

        return report

    with staging_folder(origin.root) as staging:
        _require_space(staging, folder.size_bytes)
        content = staging / name
        copy_album(folder, content, reporter(Step.COPYING))
        # Hashed is what was copied, so the torrent is right whatever happens to the source.
        torrent = create_torrent(
            content, name=name, ca_pem=ca_pem, on_progress=reporter(Step.HASHING)
        )
        if len(torrent) > MAX_TORRENT_BYTES:
            raise MetainfoError(f"{name}: the torrent would be over {MAX_TORRENT_BYTES} bytes")
        info_hash = Metainfo.from_bytes(torrent).info_hash
        if registered not in (None, info_hash):
            raise StorageError(
                f"{name} is already published with other content: choose another --release"
            )
        with exclusively(origin.root):
            if not _require_free(origin, name, info_hash, is_registered=registered is not None):
                return torrent, False
            origin.install(name, content, torrent)
    return torrent, True


def _upload(
    bucket: BucketOrigin, origin: FolderOrigin, torrent: bytes, on_progress: Progress
) -> None:
    """Bring a release into the bucket, its torrent last, unless it is there."""
    meta = Metainfo.from_bytes(torrent)
    present = bucket.torrent(meta.name)
    if present is not None:
        if Metainfo.from_bytes(present).info_hash != meta.info_hash:
            where = bucket.where(meta.name)
            raise StorageError(f"{where} is of other content: choose another --release")
        return
    done_bytes = 0
    for file in meta.files:
        bucket.put(meta.name, file.path, origin.content(meta.name).joinpath(*file.path))
        trio.from_thread.check_cancelled()
        done_bytes += file.length_bytes
        on_progress(Step.UPLOADING, done_bytes, meta.size_bytes)
    bucket.finish(meta.name, torrent)


def _require_free(
    origin: FolderOrigin, name: TorrentName, info_hash: InfoHash, *, is_registered: bool
) -> bool:
    """Tell whether the content is still to be installed; raises StorageError if other is there."""
    present = origin.torrent(name)
    has_content = origin.content(name).exists()
    if present is None:
        if has_content:
            raise StorageError(f"{origin.content(name)} is in the way: move it elsewhere")
        return True
    same = Metainfo.from_bytes(present).info_hash == info_hash
    if not same and has_content:
        remedy = "" if is_registered else f", or delete it and {origin.torrent_file(name)}"
        raise StorageError(
            f"{origin.content(name)} has other content: choose another --release{remedy}"
        )
    # A torrent alone is what a killed publish left before it, or before its source, was changed.
    return not has_content


def _take_back(origin: FolderOrigin, name: TorrentName) -> None:
    with staging_folder(origin.root) as staging, exclusively(origin.root):
        origin.take_back(name, staging / name)


def _require_apart(source: Path, origin: Path) -> None:
    where = origin.resolve()
    if source == where or source in where.parents or where in source.parents:
        raise UsageError(f"{source}: the album and the origin {origin} must not be in each other")


def _require_space(folder: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise StorageError(
            f"{folder.parent.parent}: the album needs {needed_bytes} bytes, {free_bytes} are free"
        )
