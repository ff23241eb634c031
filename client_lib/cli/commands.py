"""The commands. Each opens a client, does one thing, and ends with an exit code that tells."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import trio
from cyclopts import Parameter
from rich.filesize import decimal

from client_lib.cli.json_events import JsonLines
from client_lib.cli.listing import folder_of
from client_lib.cli.options import LineOptions, Options, expanded
from client_lib.cli.progress_view import ProgressView
from client_lib.cli.selection import select, title
from client_lib.console import (
    arguments_or_input,
    print_json,
    print_note,
    print_text,
)
from client_lib.download.client import Client, open_client
from client_lib.download.job import DownloadJob
from client_lib.download.library import DeviceLibrary
from client_lib.download.queue import Order, QueueEntry, QueueState
from client_lib.download.queueing.requests import Resume
from client_lib.errors import (
    DownloadError,
    LicenceRefused,
    RefusedError,
    UnreachableError,
    UsageError,
)
from client_lib.wire.licensing_api import (
    Balance,
    LicenceRecord,
    LicenceState,
    RedemptionAnswer,
)
from client_lib.wire.money import money_text

_NO_OPTIONS = Options()
_NO_LINE_OPTIONS = LineOptions()


async def redeem(
    tokens: Annotated[
        tuple[str, ...],
        Parameter(help="Payment tokens from the store; none: read from standard input."),
    ] = (),
    /,
    *,
    options: Options = _NO_OPTIONS,
) -> None:
    """Turn payment tokens into licences of this device, or prepaid credit. Safe to repeat."""
    balances: tuple[Balance, ...] = ()
    async with open_client(options.settings()) as client:
        redeemed: list[LicenceRecord] = []
        for token in arguments_or_input(tokens, "payment token"):
            licences = await client.redeem(token)
            redeemed += licences
            if not licences:
                balances = await client.balances()
    if options.json:
        print_json(RedemptionAnswer(tuple(redeemed), balances))
        return
    for balance in balances:
        print_text(f"credit: {money_text(balance.balance_minor, balance.currency)}")
    for licence in redeemed:
        print_text(f"{licence.name}: {title(licence)}, {decimal(licence.size_bytes)}")


async def get(
    names: Annotated[
        tuple[str, ...], Parameter(help="Names as `albumswarm list` shows them; none: the queue.")
    ] = (),
    /,
    *,
    everything: Annotated[bool, Parameter(name="--all", help="All albums of this device.")] = False,
    into: Annotated[
        Path | None,
        Parameter(
            help="Music folder (default: ~/Music); albums appear as Artist/Album (Year) [FORMAT]."
        ),
    ] = None,
    seed: Annotated[
        bool, Parameter(help="Then go on giving to others, until interrupted.")
    ] = False,
    order: Annotated[
        Order, Parameter(help="Which album comes next: as queued, or the smallest.")
    ] = Order.GIVEN,
    files: Annotated[
        tuple[str, ...] | None,
        Parameter(
            help="Only these files of each album: a path or a pattern, such as `*.flac`. "
            "Remembered; `*` for all.",
        ),
    ] = None,
    play_first: Annotated[
        str | None,
        Parameter(
            help="Fetch in listening order, from this track on: its number, path or pattern."
        ),
    ] = None,
    folder_template: Annotated[
        str | None,
        Parameter(
            help="Folders of new albums, such as `{albumartist}/{album} ({year}) [{format}]`; "
            "also {release_id}."
        ),
    ] = None,
    concurrent: Annotated[
        str, Parameter(help="Albums at a time; `auto`: as the line behaves best with.")
    ] = "auto",
    line: LineOptions = _NO_LINE_OPTIONS,
    options: Options = _NO_OPTIONS,
) -> None:
    """Download albums; what an earlier run fetched is kept, whatever ended it.

    Without names it goes on with the queue. Albums that were paused stay so unless named. An
    album is verified, and appears below the music folder when it is whole; while `get` runs it is
    given to others, too.

    Example: `albumswarm get --all --into ~/Music --up 500kB`
    """
    if names and everything:
        raise UsageError("name the albums to get, or give --all: not both")
    config = options.load()
    settings = options.settings(
        line,
        concurrent=_albums_at_a_time(concurrent),
        folder_template=folder_template,
    )
    music = expanded(into or Path(config.music or "~/Music"))
    stored = DeviceLibrary(settings.data_folder, settings.secrets).queue().entries
    queued = [entry for entry in stored if entry.state is not QueueState.COMPLETE]
    if not names and not everything and not queued:
        raise UsageError("name the albums to get, or give --all: the queue is empty")
    async with open_client(settings) as client:
        licences = await client.licences()
        if names:
            wanted = _usable(select(licences, names), strict=True)
            await _resume_paused(client, wanted, queued)
        else:
            ids = {one.licence_id for one in queued}
            wanted = _usable([one for one in licences if everything or one.licence_id in ids])
            wanted = _without_paused(wanted, queued)
        await _run(
            client,
            wanted,
            music,
            seed=seed or line.seed_until is not None,
            as_json=options.json,
            order=order,
            files=files,
            play_first=play_first,
        )


async def seed(
    names: Annotated[
        tuple[str, ...], Parameter(help="Names as `albumswarm list` shows them; none: all.")
    ] = (),
    /,
    *,
    line: LineOptions = _NO_LINE_OPTIONS,
    options: Options = _NO_OPTIONS,
) -> None:
    """Give complete albums to other customers, until interrupted."""
    config = options.load()
    settings = options.settings(line)
    if not settings.session.upload:
        raise UsageError("nothing is given without upload: leave --no-upload out")
    async with open_client(settings) as client:
        licences = await client.licences()
        wanted = select(licences, names) if names else licences
        complete = [licence for licence in wanted if folder_of(client, licence) is not None]
        if not complete:
            raise UsageError("no complete album to give: get one first")
        music = expanded(Path(config.music or "~/Music"))
        await _run(client, _usable(complete), music, seed=True, as_json=options.json)


def _usable(licences: Sequence[LicenceRecord], *, strict: bool = False) -> list[LicenceRecord]:
    """Leave out revoked licences, and second ones for what is owned already.

    `strict` refuses revoked ones, because they were named.
    """
    revoked = [licence for licence in licences if licence.state is LicenceState.REVOKED]
    if revoked and strict:
        raise LicenceRefused(
            f"{revoked[0].name}: this licence was revoked (a refund or chargeback); "
            "ask the store if that is wrong"
        )
    active = [licence for licence in licences if licence.state is LicenceState.ACTIVE]
    return list({licence.name: licence for licence in reversed(active)}.values())[::-1]


def _albums_at_a_time(concurrent: str) -> int | None:
    if concurrent == "auto":
        return None
    if not concurrent.isascii() or not concurrent.isdecimal() or not 1 <= int(concurrent) <= 64:
        raise UsageError(f"--concurrent {concurrent}: `auto`, or 1 to 64")
    return int(concurrent)


async def _resume_paused(
    client: Client, licences: list[LicenceRecord], queue: Sequence[QueueEntry]
) -> None:
    """Let those go on that were paused: they were named."""
    named = {licence.licence_id for licence in licences}
    paused = [one for one in queue if one.state is QueueState.PAUSED and one.licence_id in named]
    if paused:
        await client.change_queue(Resume(tuple(one.licence_id for one in paused)))


def _without_paused(
    licences: list[LicenceRecord], queue: Sequence[QueueEntry]
) -> list[LicenceRecord]:
    """Leave out what was paused, saying so: it would keep the command waiting."""
    paused = {entry.licence_id for entry in queue if entry.state is QueueState.PAUSED}
    left_out = [licence.name for licence in licences if licence.licence_id in paused]
    if left_out:
        names = ", ".join(left_out)
        print_note(f"paused, left out: {names} (`albumswarm queue resume` lets them go on)")
    rest = [licence for licence in licences if licence.licence_id not in paused]
    if left_out and not rest:
        raise UsageError("all albums of the queue are paused: `albumswarm queue resume` first")
    return rest


async def _run(
    client: Client,
    licences: list[LicenceRecord],
    into: Path,
    *,
    seed: bool,
    as_json: bool,
    order: Order = Order.GIVEN,
    files: Sequence[str] | None = None,
    play_first: str | None = None,
) -> None:
    if not licences:
        raise UsageError("no albums to get: redeem a payment token first")
    view = JsonLines() if as_json else _bars(licences, giving=seed)
    try:
        async with client.download(
            licences,
            into=into,
            keep_seeding=seed,
            order=order,
            files=files,
            play_first=play_first,
        ) as job:
            async for event in job.events():
                view.show(event)
            view.end(job.summary())
    finally:
        view.close()
    _end(job)
    await trio.lowlevel.checkpoint()


def _end(job: DownloadJob) -> None:
    """Raise what makes the exit code: the only kind of failure, or a summary of several."""
    summary = job.summary()
    if not summary.failed:
        return
    if len(job.outcomes) == 1:
        raise summary.failed[0].error
    names = ", ".join(end.name for end in summary.failed)
    sentence = f"{len(summary.failed)} of {len(job.outcomes)} albums failed: {names}"
    if summary.exit_code == RefusedError.exit_code:
        raise LicenceRefused(sentence)
    if summary.exit_code == UnreachableError.exit_code:
        raise UnreachableError("licensing", sentence)
    raise DownloadError(sentence)


def _bars(licences: Sequence[LicenceRecord], *, giving: bool) -> ProgressView:
    """Bars for people. Rich is loaded here: programs that read JSON start without it."""
    from client_lib.cli.progress import Bars

    return Bars(tuple(licences), giving=giving)
