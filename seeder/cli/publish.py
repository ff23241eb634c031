"""Publish an album."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from client_lib.console import print_json, print_text
from client_lib.errors import UsageError
from client_lib.transport.licensing_client import open_licensing
from client_lib.wire.release import parse_audio_format, parse_release_id
from client_lib.wire.rights import RightsHolder, require_whole
from seeder import app as service
from seeder.cli.root import (
    NO_COMMON,
    NO_LICENSING,
    CommonOptions,
    Flag,
    LicensingOptions,
    Several,
    app,
    configured,
)
from seeder.origins.configured import configured_bucket
from seeder.origins.folder import FolderOrigin
from seeder.publish import Progress as PublishProgress
from seeder.publish import Release, Step, publish
from seeder.tags import Overrides


@app.command(name="publish")
async def publish_command(
    directory: Path,
    /,
    *,
    release: str,
    format: str,  # noqa: A002 - the option's name
    artist: str | None = None,
    title: str | None = None,
    year: int | None = None,
    rights_holder: Several = (),
    json: Flag = False,
    common: CommonOptions = NO_COMMON,
    licensing: LicensingOptions = NO_LICENSING,
) -> None:
    """Copy an album into the origin, hash it and register it as a release.

    The same album again is a no-op; other content under the same name is refused. A publish that
    was killed is completed by the same command.

    Parameters
    ----------
    directory
        Album folder: plain files, in subfolders if you like.
    release
        Release id: UPC, GRid or a slug, such as rel-0001.
    format
        Format, such as flac-24-96 or mp3-320.
    artist
        Album artist, instead of what the tags say.
    title
        Album title, instead of what the tags say.
    year
        Year, instead of what the tags say.
    rights_holder
        Who shares in the sales from now on, NAME=BASIS_POINTS, such as "A Label=7000"; may be
        repeated, and sums to 10000. Without it: the artist, or as it is.
    json
        Print the catalogue entry as JSON.
    """
    config = configured(common, licensing)
    wanted = Release(
        directory,
        parse_release_id(release),
        parse_audio_format(format),
        Overrides(artist, title, _checked_year(year)),
        _rights(rights_holder),
    )
    origin = FolderOrigin(config.origin_folder)
    bucket = configured_bucket(config)
    key = service.api_key(config)
    async with open_licensing(
        config.licensing, ca_pem=config.licensing_ca_pem, bearer=key
    ) as client:
        with _progress_bar() as on_progress:
            result = await publish(
                wanted, origin=origin, licensing=client, bucket=bucket, on_progress=on_progress
            )
    if json:
        print_json(result.entry)
        return
    entry = result.entry
    what = f"{entry.name}: {entry.album.artist} - {entry.album.title}, {entry.size_bytes} bytes"
    if result.new:
        print_text(f"published {what}, info-hash {entry.info_hash}")
    elif wanted.rights:
        print_text(f"already published {what}: rights as named from now on")
    else:
        print_text(f"already published {what}: nothing to do")


@contextlib.contextmanager
def _progress_bar() -> Iterator[PublishProgress]:
    """A bar on standard error, if that is a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:>8}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks = {
            step: bars.add_task(step, total=None, start=False, visible=step is not Step.UPLOADING)
            for step in Step
        }

        def report(step: Step, done_bytes: int, total_bytes: int) -> None:
            bars.start_task(tasks[step])
            bars.update(tasks[step], completed=done_bytes, total=total_bytes, visible=True)

        yield report


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
