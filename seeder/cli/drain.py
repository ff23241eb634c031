"""Take a node out of the fleet."""

import datetime as dt
from pathlib import Path

import trio

from client_lib.console import print_json, print_text
from client_lib.errors import StorageError, UnreachableError, UsageError
from seeder.cli.durations import seconds
from seeder.cli.root import NO_COMMON, CommonOptions, app
from seeder.config import configure
from seeder.control import Drain, Look, Reply, Stay, ask_node
from seeder.status import NodeState, read_status

_LOOK_S = 0.5
_GONE_S = 15.0
"""A node that says goodbye to its trackers takes a few seconds; its status is as old then."""


@app.command(name="drain")
async def drain_command(
    *,
    deadline: str = "15min",
    undo: bool = False,
    wait: bool = False,
    json: bool = False,
    common: CommonOptions = NO_COMMON,
) -> None:
    """Let the node that serves from DATA leave the fleet without breaking a download.

    Trackers send nobody to it any more, and it takes no new customers. Those who are there get what
    they were promised while other nodes take over; when nobody needs it any more it ends, with exit
    code 0. Where there is no other node, it serves its customers until they are complete.

    Parameters
    ----------
    deadline
        It ends after this time with or without customers: 90s, 15min or 2h.
    undo
        Stay after all.
    wait
        Return when it has ended, instead of at once.
    json
        Print the answer as JSON.
    """
    data = configure(common.config, data=common.data, origin=common.origin).data_folder
    if undo and wait:
        raise UsageError("--undo and --wait: a node that stays does not end")
    question = Stay() if undo else Drain(seconds("--deadline", deadline))
    reply = await ask_node(data, question)
    if json:
        print_json(reply)
    else:
        print_text(_told(reply))
    if wait:
        await _until_ended(data, reply, quiet=json)


async def _until_ended(data: Path, reply: Reply, *, quiet: bool) -> None:
    """Follow a drain to its end. Raises StorageError if the node ended in another way."""
    waited_for = -1
    while reply.drain is not None:
        if reply.drain.waiting_for != waited_for and not quiet:
            waited_for = reply.drain.waiting_for
            print_text(f"{waited_for} customers still need it")
        await trio.sleep(_LOOK_S)
        try:
            reply = await ask_node(data, Look())
        except UnreachableError:
            break
    else:
        raise StorageError(f"{reply.seeder_id} stays: somebody else has undone the drain")
    while (status := await trio.to_thread.run_sync(read_status, data)).state != NodeState.STOPPED:
        age_s = (dt.datetime.now(dt.UTC) - status.updated_at).total_seconds()
        if age_s > _GONE_S:
            raise StorageError(f"{status.seeder_id} has died: see its log")
        await trio.sleep(_LOOK_S)
    if not quiet:
        print_text(f"{status.seeder_id} has ended")


def _told(reply: Reply) -> str:
    drain = reply.drain
    if drain is None:
        return f"{reply.seeder_id} stays"
    until = drain.until.astimezone().strftime("%H:%M:%S")
    if drain.alone:
        return (
            f"{reply.seeder_id} is draining. It is the only node, and serves its "
            f"{drain.waiting_for} customers until they are complete, or until {until}"
        )
    return (
        f"{reply.seeder_id} is draining. {drain.waiting_for} customers still need it; it ends when "
        f"nobody does, or at {until}"
    )
