"""Telling a node that serves to leave the fleet, over the control socket of its data folder.

A line of JSON each way: a `Drain`, `Stay` or `Look`, and a `Reply`.
"""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import trio

from client_lib.errors import StorageError, UnreachableError
from client_lib.service.control import CONTROL_SOCKET, ask_control, serve_control
from seeder.draining import DrainOrder, DrainState
from seeder.node import Node
from seeder.peers.listener import Listener

_LONGEST_DRAIN_S = 7 * 86_400
_MAX_BYTES = 4_096
_ANSWER_S = 15.0


class Drain(msgspec.Struct, frozen=True, tag="drain"):
    """Leave when nobody needs you, and in `deadline_s` at the latest."""

    deadline_s: Annotated[float, msgspec.Meta(ge=0, le=_LONGEST_DRAIN_S)]


class Stay(msgspec.Struct, frozen=True, tag="stay"):
    """Do not leave after all."""


class Look(msgspec.Struct, frozen=True, tag="look"):
    """Say how it goes."""


Question = Drain | Stay | Look


class Reply(msgspec.Struct, frozen=True):
    """How things stand after the question; `error` says why it could not be done."""

    seeder_id: str
    drain: DrainState | None
    error: str | None = None


async def serve_questions(
    data: Path,
    node: Node,
    listener: Listener,
    *,
    clock: Callable[[], dt.datetime],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer on the control socket of folder `data`, for ever. Raises StorageError."""

    async def answer(stream: trio.SocketStream) -> None:
        error = None
        try:
            await carry_out(await _question(stream))
        except (StorageError, msgspec.DecodeError) as problem:
            error = str(problem)
        reply = Reply(node.fleet.seeder_id, node.drain_state, error)
        await stream.send_all(msgspec.json.encode(reply) + b"\n")

    async def carry_out(question: Question) -> None:
        match question:
            case Drain(deadline_s):
                until = clock() + dt.timedelta(seconds=deadline_s)
                await node.drain(data, DrainOrder(until, listener.licences))
            case Stay():
                await node.stay(data)
            case Look():
                pass

    await serve_control(data / CONTROL_SOCKET, answer, task_status=task_status)


async def ask_node(data: Path, question: Question) -> Reply:
    """Ask the node that serves from folder `data`.

    Raises UnreachableError if none does, StorageError if it could not do what was asked.
    """
    try:
        with trio.fail_after(_ANSWER_S):
            answer = await ask_control(
                data / CONTROL_SOCKET,
                msgspec.json.encode(question) + b"\n",
                max_bytes=_MAX_BYTES,
            )
        reply = msgspec.json.decode(answer, type=Reply)
    except (OSError, trio.BrokenResourceError, trio.TooSlowError, ValueError) as error:
        raise UnreachableError(str(data), "no seeder serves from this folder") from error
    if reply.error is not None:
        raise StorageError(reply.error)
    return reply


async def _question(stream: trio.SocketStream) -> Question:
    received = bytearray()
    while b"\n" not in received and len(received) < _MAX_BYTES:
        chunk = await stream.receive_some()
        if not chunk:
            break
        received += chunk
    question: Question = msgspec.json.decode(received, type=Question)
    return question
