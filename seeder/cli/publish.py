"""`albumswarm-seeder publish`: one album, or a whole catalogue."""

import re
import sys
from http import HTTPStatus
from pathlib import Path

import msgspec

from client_lib.console import print_json, print_text, printable
from client_lib.errors import (
    AlbumswarmError,
    IdentifierError,
    LicensingRefused,
    SomeFailed,
    UnreachableError,
    UsageError,
)
from client_lib.transport.licensing_client import open_licensing
from client_lib.wire.release import ReleaseId, parse_audio_format, parse_release_id
from client_lib.wire.rights import RightsHolder, require_whole
from seeder import app as service
from seeder.cli.progress import progress_bars
from seeder.cli.root import (
    NO_COMMON,
    NO_LICENSING,
    CommonOptions,
    LicensingOptions,
    app,
    configured,
)
from seeder.editions import Encoding, publish_editions
from seeder.encoding.ffmpeg import find_ffmpeg
from seeder.encoding.targets import parse_targets
from seeder.origins.configured import configured_bucket
from seeder.origins.folder import FolderOrigin
from seeder.publish import Press, Published, Release, publish
from seeder.tags import Overrides

_KEY_REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


@app.command(name="publish")
async def publish_command(
    *directories: Path,
    format: str,  # noqa: A002 - the option's name
    release: str | None = None,
    encode: str | None = None,
    artist: str | None = None,
    title: str | None = None,
    year: int | None = None,
    rights_holder: tuple[str, ...] = (),
    no_checksums: bool = False,
    json: bool = False,
    common: CommonOptions = NO_COMMON,
    licensing: LicensingOptions = NO_LICENSING,
) -> None:
    """Copy albums into the origin, hash them and register each as a release.

    The same album again is a no-op; other content under the same name is refused. A publish that
    was killed is completed by the same command. Of several albums each is published if it can be,
    and the exit code is 1 if one could not.

    Parameters
    ----------
    directories
        Album folders: plain files, in subfolders if you like.
    format
        Format, such as flac-24-96 or mp3-320.
    release
        Release id: UPC, GRid or a slug, such as rel-0001. Without it the folder's name is the id.
    encode
        Further formats to make of a lossless album with ffmpeg, such as mp3-320,opus-160.
    artist
        Album artist, instead of what the tags say.
    title
        Album title, instead of what the tags say.
    year
        Year, instead of what the tags say.
    rights_holder
        Who shares in the sales from now on, NAME=BASIS_POINTS, such as "A Label=7000"; may be
        repeated, and sums to 10000. Without it: the artist, or as it is.
    no_checksums
        Leave the SHA-256 of each file out of the torrent. A new album is then hashed once instead
        of twice; customers hash it for their checksums.sha256.
    json
        Print the catalogue entries as JSON, a line each.
    """
    config = configured(common, licensing)
    if not directories:
        raise UsageError("no album folder: give one or more")
    if len(directories) > 1 and (release or artist or title or year):
        raise UsageError(
            "--release, --artist, --title and --year are of one album: give one folder"
        )
    audio_format = parse_audio_format(format)
    overrides = Overrides(artist, title, _checked_year(year))
    rights = _rights(rights_holder)

    def release_of(folder: Path) -> Release:
        return Release(folder, _release_id(release, folder), audio_format, overrides, rights)

    if len(directories) == 1:
        release_of(directories[0])  # a wrong name is said before anything is asked
    encoding = None
    if targets := parse_targets(encode, audio_format):
        ffmpeg = await find_ffmpeg(targets)
        encoding = Encoding(targets, ffmpeg, config.data_folder / "encoding")
    origin = FolderOrigin(config.origin_folder)
    bucket = configured_bucket(config)
    key = service.api_key(config)
    async with open_licensing(
        config.licensing, ca_pem=config.licensing_ca_pem, bearer=key
    ) as client:

        async def publish_one(folder: Path) -> None:
            with progress_bars() as on_progress:
                press = Press(origin, client, bucket, on_progress, not no_checksums)
                wanted = release_of(folder)
                editions = (
                    await publish_editions(wanted, press, encoding)
                    if encoding is not None
                    else (await publish(wanted, press),)
                )
            for each in editions:
                if json:
                    print_json(each.entry)
                else:
                    print_text(_line(each, rights_named=rights is not None))

        if len(directories) == 1:
            await publish_one(directories[0])
            return
        failed = 0
        for folder in directories:
            try:
                await publish_one(folder)
            except UnreachableError:  # as for all the others
                raise
            except AlbumswarmError as error:
                if isinstance(error, LicensingRefused) and error.status in _KEY_REFUSED:
                    raise
                failed += 1
                line = printable(" ".join(f"{folder}: {error}".split()))
                print(f"not published: {line}", file=sys.stderr)  # noqa: T201 - a command line
        if failed:
            raise SomeFailed(f"{failed} of {len(directories)} albums were not published")
        if not json:
            print_text(f"all {len(directories)} albums are published")


def _line(published: Published, *, rights_named: bool) -> str:
    entry = published.entry
    what = f"{entry.name}: {entry.album.artist} - {entry.album.title}, {entry.size_bytes} bytes"
    if published.new:
        return f"published {what}, info-hash {entry.info_hash}"
    if rights_named:
        return f"already published {what}: rights as named from now on"
    return f"already published {what}: nothing to do"


def _release_id(given: str | None, folder: Path) -> ReleaseId:
    if given is not None:
        return parse_release_id(given)
    try:
        return parse_release_id(folder.resolve().name)
    except IdentifierError as error:
        raise UsageError(f"{folder}: the folder's name is no release id: give --release") from error


def _rights(shares: tuple[str, ...]) -> tuple[RightsHolder, ...] | None:
    holders = []
    for share in shares:
        name, _, points = share.rpartition("=")
        if not name or not re.fullmatch(r"[0-9]{1,5}", points):
            raise UsageError(f"--rights-holder {share!r} is not NAME=BASIS_POINTS")
        holders.append({"name": name, "share_bp": int(points)})
    try:
        rights = msgspec.convert(holders, tuple[RightsHolder, ...])
        if shares:
            require_whole(rights)
    except ValueError as error:  # msgspec's, too
        raise UsageError(f"--rights-holder: {error}") from error
    return rights or None


def _checked_year(year: int | None) -> int | None:
    if year is not None and not 1000 <= year <= 9999:
        raise UsageError(f"--year {year}: four digits are needed")
    return year
