"""Bringing an album's content into the origin, or finding that it is there already.

A name that is taken is looked at first: the album is hashed where it is, so that identical content
costs no writing, and other content is refused before anything is written. A new album is copied
and hashed in one pass.
"""

import enum
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import trio

from client_lib.durable import sync_folder
from client_lib.errors import MetainfoError, StorageError
from client_lib.swarm.create import torrent_of
from client_lib.swarm.hashing import ContentFile
from client_lib.wire.licensing_api import MAX_TORRENT_BYTES
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import TorrentName
from seeder.album_folder import AlbumFolder, content_files, require_unchanged
from seeder.origins.bucket import BucketOrigin
from seeder.origins.folder import FolderOrigin
from seeder.staging import exclusively, staging_folder


class Step(enum.StrEnum):
    """What a publish is doing."""

    HASHING = "hashing"
    """An album whose name is taken."""
    COPYING = "copying"
    """A new album, which is hashed meanwhile."""
    ENCODING = "encoding"
    """An edition in another format."""
    UPLOADING = "uploading"
    """Only to a bucket."""


Progress = Callable[[Step, int, int], None]
"""Called, from any thread, with the step, the bytes done and the bytes to do."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where content may be already. `registered` is the torrent that licensing has for the name.

    With a `bucket` the content belongs there, and `origin` is where it is made. `checksums`:
    whether a new torrent is to say the SHA-256 of each file.
    """

    origin: FolderOrigin
    bucket: BucketOrigin | None
    registered: bytes | None
    checksums: bool


@dataclass(frozen=True, slots=True)
class Placed:
    """The release's torrent; `new` is false if the content was there."""

    torrent: bytes
    new: bool


@dataclass(frozen=True, slots=True)
class _Made:
    """A torrent that was just made of the album."""

    data: bytes
    meta: Metainfo

    def as_in(self, published: bytes) -> "_Made":
        """The published torrent, if it is of the same content: it may have checksums, too."""
        meta = Metainfo.from_bytes(published)
        if _without_checksums(meta) != _without_checksums(self.meta):
            return self
        return _Made(published, meta)

    def is_same(self, torrent: bytes) -> bool:
        """Tell whether another torrent is of the same content. Raises MetainfoError."""
        # Mostly to the letter: parsing takes 3 ms for an album of 200 MB, hashing it 90.
        return torrent == self.data or Metainfo.from_bytes(torrent).info_hash == self.meta.info_hash


@dataclass(frozen=True, slots=True)
class _Recipe:
    """How an album's torrent is made, whatever lies where."""

    name: TorrentName
    ca_pem: str
    checksums: bool

    def make(self, files: Sequence[ContentFile], on_progress: Callable[[int, int], None]) -> _Made:
        """Hash the files, and copy them if they say where to. In a thread of trio's."""
        made = partial(
            torrent_of,
            files,
            name=self.name,
            ca_pem=self.ca_pem,
            checksums=self.checksums,
            on_progress=on_progress,
        )
        return _Made(*trio.from_thread.run(made))


def place(
    folder: AlbumFolder,
    name: TorrentName,
    ca_pem: str,
    places: Places,
    on_progress: Progress,
) -> Placed:
    """Bring the content to its place. Blocking, in a thread of trio's.

    Raises StorageError if the place has other content, the album changes, or a disk fails;
    MetainfoError if the album makes no torrent of ours.
    """
    origin, bucket = places.origin, places.bucket
    uploaded = bucket.torrent(name) if bucket is not None else None
    present, has_content = origin.torrent(name), origin.content(name).exists()
    published = uploaded or places.registered or (present if has_content else None)
    recipe = _Recipe(name, ca_pem, places.checksums)
    if published or present or has_content:
        once = replace(recipe, checksums=False)
        made = once.make(content_files(folder), partial(on_progress, Step.HASHING))
        require_unchanged(folder)
        if published:
            # What is sold stays as it is: with checksums and without is another info-hash.
            recipe = replace(recipe, checksums=Metainfo.from_bytes(published).has_checksums)
            made = made.as_in(published)
        torrent = made.data
        _check(made, places.registered)
        if bucket is not None and uploaded is not None:
            if not made.is_same(uploaded):
                where = bucket.where(name)
                raise StorageError(f"{where} is of other content: choose another --release")
            return Placed(torrent, new=False)
        if _is_whole(places, made):
            return Placed(torrent, new=_upload(places, torrent, on_progress))
    torrent, new = _install(folder, recipe, places, on_progress)
    return Placed(torrent, new=_upload(places, torrent, on_progress) or new)


def _without_checksums(meta: Metainfo) -> tuple[object, ...]:
    files = [replace(file, sha256=None) for file in meta.files]
    return meta.name, meta.piece_length_bytes, meta.ssl_cert_der, files


def take_back(origin: FolderOrigin, name: TorrentName) -> None:
    """Remove a release from a folder, if it is there. Blocking. Raises StorageError."""
    with staging_folder(origin.root) as staging, exclusively(origin.root):
        if origin.content(name).exists():
            origin.take_back(name, staging / name)


def _install(
    folder: AlbumFolder,
    recipe: _Recipe,
    places: Places,
    on_progress: Progress,
) -> tuple[bytes, bool]:
    """Copy the album into the origin. Return its torrent, and whether it was not there yet."""
    origin, name = places.origin, recipe.name
    with staging_folder(origin.root) as staging:
        _require_space(staging, folder.size_bytes)
        content = staging / name
        content.mkdir()
        # Hashed is what is written, so the torrent is right whatever happens to the source.
        files = content_files(folder, content)
        made = recipe.make(files, partial(on_progress, Step.COPYING))
        for where, _, _ in os.walk(content):
            sync_folder(Path(where))
        require_unchanged(folder)
        _check(made, places.registered)
        with exclusively(origin.root):
            if _is_whole(places, made):  # another publish was faster
                return made.data, False
            origin.install(name, content, made.data)
    return made.data, True


def _upload(places: Places, torrent: bytes, on_progress: Progress) -> bool:
    """Bring a release from the folder into the bucket, its torrent last; false without bucket."""
    if places.bucket is None:
        return False
    meta = Metainfo.from_bytes(torrent)
    done_bytes = 0
    for file in meta.files:
        local = places.origin.content(meta.name).joinpath(*file.path)
        places.bucket.put(meta.name, file.path, local)
        trio.from_thread.check_cancelled()
        done_bytes += file.length_bytes
        on_progress(Step.UPLOADING, done_bytes, meta.size_bytes)
    places.bucket.finish(meta.name, torrent)
    return True


def _is_whole(places: Places, made: _Made) -> bool:
    """Tell whether the content is in the origin; raises StorageError if other, or damaged, is."""
    origin, name = places.origin, made.meta.name
    content, present = origin.content(name), origin.torrent(name)
    has_content = content.exists()
    if present is None:
        if has_content:
            raise StorageError(f"{content} is in the way: move it elsewhere")
        return False
    if has_content and not made.is_same(present):
        remedy = "" if places.registered else f", or delete it and {origin.torrent_file(name)}"
        raise StorageError(f"{content} has other content: choose another --release{remedy}")
    if has_content and (defect := origin.defect(made.meta)):
        raise StorageError(f"{defect}: delete {content} and publish again")
    # A torrent alone is what a killed publish left before it, or before its source, was changed.
    return has_content


def _check(made: _Made, registered: bytes | None) -> None:
    """Raises MetainfoError for too large a torrent, StorageError for one that is not registered."""
    name = made.meta.name
    if len(made.data) > MAX_TORRENT_BYTES:
        raise MetainfoError(f"{name}: the torrent would be over {MAX_TORRENT_BYTES} bytes")
    if registered is not None and not made.is_same(registered):
        raise StorageError(
            f"{name} is already published with other content: choose another --release"
        )


def _require_space(folder: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise StorageError(
            f"{folder.parent.parent}: the album needs {needed_bytes} bytes, {free_bytes} are free"
        )
