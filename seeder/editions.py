"""An album in its own format, and its editions in others, published one after another."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import trio

from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import Album
from seeder.album_folder import AlbumFolder, path_in_torrent, require_unchanged, survey
from seeder.encoding.edition import make_edition
from seeder.encoding.ffmpeg import Ffmpeg
from seeder.encoding.source import FilePath, Source, read_source
from seeder.encoding.targets import Target
from seeder.placing import Step
from seeder.publish import (
    Press,
    Published,
    Release,
    describe,
    publish_folder,
    register,
    registered_hash,
    renamed,
)
from seeder.staging import staging_folder


@dataclass(frozen=True, slots=True)
class Encoding:
    """Into which formats, by which ffmpeg, and the folder in which it is done."""

    targets: Sequence[Target]
    ffmpeg: Ffmpeg
    folder: Path


async def publish_editions(
    release: Release, press: Press, encoding: Encoding
) -> tuple[Published, ...]:
    """Publish an album, then an edition in every target. Raises as `publish` does.

    UsageError before anything is published if the album is not lossless. An edition of an album
    that has not changed is not encoded again: another version of ffmpeg would make other content.
    """
    folder = await trio.to_thread.run_sync(survey, release.source)
    source = await trio.to_thread.run_sync(
        read_source, folder.root, [file.path for file in folder.files], encoding.targets
    )
    album = await describe(folder, release)
    first = await publish_folder(folder, album, release, press)
    published = [first]
    for target in encoding.targets:
        edition = replace(release, audio_format=target.audio_format)
        paths = {"/".join(a): "/".join(b) for a, b in source.paths(target).items()}
        torrent = None if first.new else await _kept(edition, press)
        if torrent is None:
            titled = renamed(album, paths)
            published.append(await _made(folder, source, target, titled, edition, press, encoding))
        else:
            placed = {a: _in_torrent(b, len(paths)) for a, b in paths.items()}
            entry = await register(edition, renamed(album, placed), torrent, press.licensing)
            published.append(Published(entry, new=False))
    return tuple(published)


async def _kept(edition: Release, press: Press) -> bytes | None:
    """The torrent of an edition that is both registered and kept."""
    registered = await registered_hash(press.licensing, edition.name)
    torrent = await trio.to_thread.run_sync(press.torrent, edition.name)
    if torrent is None or Metainfo.from_bytes(torrent).info_hash != registered:
        return None
    return torrent


async def _made(
    folder: AlbumFolder,
    source: Source,
    target: Target,
    album: Album,
    edition: Release,
    press: Press,
    encoding: Encoding,
) -> Published:
    sizes = {file.path: file.size_bytes for file in folder.files if file.path in source.tracks}
    done_bytes, total_bytes = 0, sum(sizes.values())

    def count(path: FilePath) -> None:
        nonlocal done_bytes
        done_bytes += sizes[path]
        press.on_progress(Step.ENCODING, done_bytes, total_bytes)

    with staging_folder(encoding.folder) as staging:
        made = staging / edition.name
        await make_edition(folder.root, source, target, made, encoding.ffmpeg, count)
        await trio.to_thread.run_sync(require_unchanged, folder)
        surveyed = await trio.to_thread.run_sync(survey, made)
        return await publish_folder(surveyed, album, edition, press)


def _in_torrent(path: str, file_count: int) -> str:
    return "/".join(path_in_torrent(tuple(path.split("/")), file_count))
