"""`albumswarm queue`: what is to come, and changing it, also while `get` runs elsewhere."""

from collections.abc import Sequence
from typing import Annotated

import trio
from cyclopts import Parameter
from rich.filesize import decimal

from client_lib.cli.answers import Queue
from client_lib.cli.options import Options
from client_lib.cli.selection import select, title
from client_lib.console import print_json, print_table, print_text, printable
from client_lib.download.account import Account, open_account
from client_lib.download.queue import QueueState
from client_lib.download.queueing.requests import Move, Pause, QueueRequest, Remove, Resume
from client_lib.errors import DownloadError, UsageError
from client_lib.wire.licence import LicenceId

_NO_OPTIONS = Options()
_ANSWER_S = 30.0

Names = Annotated[tuple[str, ...], Parameter(help="Names as `albumswarm list` shows them.")]


async def show(*, options: Options = _NO_OPTIONS) -> None:
    """Show the albums of the queue in order."""
    async with open_account(options.settings()) as account:
        entries = await account.queue()
        titles = {one.licence_id: title(one) for one in await account.licences(refresh=False)}
    if options.json:
        print_json(Queue(entries))
        return
    if not entries:
        print_text("The queue is empty: `albumswarm get --all` fills it.")
        return
    rows = [("Album", "Name", "Size", "State")]
    for entry in entries:
        reason = f": {printable(entry.reason)}" if entry.reason else ""
        chosen = f" ({', '.join(map(printable, entry.files))})" if entry.files else ""
        shown = titles.get(entry.licence_id, entry.name)
        size = decimal(entry.size_bytes)
        rows.append((shown, entry.name + chosen, size, f"{entry.state}{reason}"))
    print_table(rows)


async def pause(names: Names = (), /, *, options: Options = _NO_OPTIONS) -> None:
    """Pause albums, none named: all. They keep what they have and their place."""
    async with open_account(options.settings()) as account:
        await _ask(account, Pause(await _chosen(account, names)))


async def resume(names: Names = (), /, *, options: Options = _NO_OPTIONS) -> None:
    """Let albums go on that were paused or have failed, none named: all."""
    async with open_account(options.settings()) as account:
        await _ask(account, Resume(await _chosen(account, names)))


async def move(
    names: Names,
    /,
    *,
    before: Annotated[
        str | None, Parameter(help="Put them before this album; left out: at the end.")
    ] = None,
    options: Options = _NO_OPTIONS,
) -> None:
    """Put albums elsewhere in the queue, in the order named."""
    if not names:
        raise UsageError("name the albums to move")
    async with open_account(options.settings()) as account:
        chosen = await _chosen(account, names)
        target = None if before is None else (await _chosen(account, [before]))[0]
        if target in chosen:
            raise UsageError(f"{before}: an album cannot be put before itself")
        await _ask(account, Move(chosen, target))


async def remove(
    names: Names,
    /,
    *,
    discard: Annotated[
        bool, Parameter(help="Delete what was fetched of unfinished albums.")
    ] = False,
    options: Options = _NO_OPTIONS,
) -> None:
    """Take albums out of the queue. Complete albums stay on the disk."""
    if not names:
        raise UsageError("name the albums to take out")
    async with open_account(options.settings()) as account:
        await _ask(account, Remove(await _chosen(account, names), discard))


async def _chosen(account: Account, names: Sequence[str]) -> tuple[LicenceId, ...]:
    """Licence ids of queued albums; no names: all that are not complete."""
    entries = await account.queue()
    if not names:
        unfinished = (entry for entry in entries if entry.state is not QueueState.COMPLETE)
        return tuple(entry.licence_id for entry in unfinished)
    queued = {entry.licence_id for entry in entries}
    chosen = select(await account.licences(refresh=False), names)
    for licence in chosen:
        if licence.licence_id not in queued:
            raise UsageError(f"{licence.name} is not in the queue: `albumswarm get` puts it there")
    return tuple(licence.licence_id for licence in chosen)


async def _ask(account: Account, request: QueueRequest) -> None:
    with trio.move_on_after(_ANSWER_S) as patience:
        await account.change_queue(request)
    if patience.cancelled_caught:
        raise DownloadError(
            "the process that downloads does not answer; it will do this when it does"
        )
