"""`albumswarm-seeder`: the command line."""

import contextlib
import datetime as dt
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import trio
from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from client_lib import __version__
from client_lib.console import human_console, new_app, print_json, print_text, run_app
from client_lib.errors import UsageError
from client_lib.service import configure_logs, run_until_signalled
from client_lib.transport.licensing_client import open_licensing
from client_lib.wire.release import parse_audio_format, parse_release_id
from client_lib.wire.rights import RightsHolder, require_whole
from seeder import app as service
from seeder.config import SeederConfig, configure
from seeder.origins.configured import configured_bucket
from seeder.origins.folder import FolderOrigin
from seeder.publish import Progress as PublishProgress
from seeder.publish import Release, Step, publish
from seeder.status import NodeStatus, read_status
from seeder.tags import Overrides

Flag = Annotated[bool, Parameter(negative=())]
Several = Annotated[tuple[str, ...], Parameter(negative=())]

app = new_app("albumswarm-seeder", "Publish albums and guarantee their delivery.", __version__)


@Parameter(name="*")
@dataclass(frozen=True)
class CommonOptions:
    """Options that every command has; each is a key of the configuration file too."""

    config: Path | None = None
    "Configuration file (TOML); options win over it."
    data: str | None = None
    "The node's own folder: certificate, catalogue, status."
    origin: str | None = None
    "Folder of the published releases, DATA/origin by default; or s3://BUCKET/PREFIX."


@Parameter(name="*")
@dataclass(frozen=True)
class LicensingOptions:
    """Where licensing is, and how to talk to it."""

    licensing_url: str | None = None
    "The licensing service, https://host:port."
    licensing_ca: str | None = None
    "PEM file with the CA to trust it by; the system's by default."
    api_key_file: str | None = None
    "File with the API key: role publisher for publish, role seeder for serve."


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
    common: CommonOptions = CommonOptions(),
    licensing: LicensingOptions = LicensingOptions(),
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
    config = _configured(common, licensing)
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


@app.command(name="serve")
async def serve_command(
    *,
    tracker: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    port: int | None = None,
    web_seed_port: int | None = None,
    listen_host: str | None = None,
    upload_limit: str | None = None,
    policy: Literal["thrifty", "balanced", "fast"] | None = None,
    min_rate: str | None = None,
    poll_s: float | None = None,
    common: CommonOptions = CommonOptions(),
    licensing: LicensingOptions = LicensingOptions(),
) -> None:
    """Serve every published release that is in the origin, until SIGTERM.

    A release is loaded when the first customer asks for it, so that the catalogue may be as large
    as it likes.

    Parameters
    ----------
    tracker
        Base URL of a tracker, https://host:port; may be given several times.
    port
        Port for peers, 6881 by default; 0 takes any free one.
    web_seed_port
        Port of an HTTPS web seed for customers whose network blocks BitTorrent; none without it.
        The API key needs the web seed's host names. 0 takes any free port.
    listen_host
        Listen on this address only.
    upload_limit
        Upload limit of the node in bytes/s, such as 16MB; 0 for none.
    policy
        thrifty gives each piece once and lets the customers do the rest; fast gives all that the
        line carries; balanced, the default, lies between.
    min_rate
        No customer shall gain less while there is capacity, such as 100kB (bytes/s).
    poll_s
        Seconds between two looks at the catalogue.
    """
    config = _configured(
        common,
        licensing,
        trackers=tracker or None,
        port=port,
        web_seed_port=web_seed_port,
        listen_host=listen_host,
        upload_limit=upload_limit,
        policy=policy,
        min_rate=min_rate,
        poll_s=poll_s,
    )
    configure_logs()

    async def serve(stop: trio.Event) -> None:
        await service.serve(
            config, stop, clock=lambda: dt.datetime.now(dt.UTC), rng=random.SystemRandom()
        )

    await run_until_signalled(serve)


@app.command(name="status")
async def status_command(
    *,
    json: Flag = False,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Show what the node that serves from DATA is doing.

    Parameters
    ----------
    json
        Print it as JSON.
    """
    config = configure(common.config, data=common.data, origin=common.origin)
    status = await trio.to_thread.run_sync(read_status, config.data_folder)
    if json:
        print_json(status)
    else:
        human_console().print(_table(status))


def _configured(
    common: CommonOptions, licensing: LicensingOptions, **options: object
) -> SeederConfig:
    return configure(
        common.config,
        data=common.data,
        origin=common.origin,
        licensing_url=licensing.licensing_url,
        licensing_ca=licensing.licensing_ca,
        api_key_file=licensing.api_key_file,
        **options,
    )


def _table(status: NodeStatus) -> Table:
    age_s = (dt.datetime.now(dt.UTC) - status.updated_at).total_seconds()
    heading = (
        f"{status.seeder_id}, port {status.port}, {status.policy}: {status.state}, "
        f"as of {age_s:.0f} s ago, {status.customers} customers"
    )
    if status.web_seed_port is not None:
        sent = f"{status.web_seed_bytes / 1e6:.1f} MB"
        heading += f"; web seed on port {status.web_seed_port}, {sent} since the start"
    table = Table(title=heading)
    for column in ("release", "MB", "MB uploaded", "customers", "copies with them", "problem"):
        table.add_column(column)
    for release in status.releases:
        table.add_row(
            release.name,
            f"{release.size_bytes / 1e6:.1f}",
            f"{release.uploaded_total_bytes / 1e6:.1f}",
            f"{release.customers} ({release.leechers} downloading)",
            f"{release.copies:.2f}",
            release.problem or "",
        )
    return table


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


def main() -> None:
    """Run the command line."""
    run_app(app)


if __name__ == "__main__":
    main()
