"""Who may read the data folder may ask a worker how it is doing: on its control socket.

Connect, and read JSON until the end.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import structlog
import trio

from client_lib.errors import AlbumswarmError, UnreachableError
from client_lib.service.control import CONTROL_SOCKET, ask_control, serve_control
from tracker.operating.status import TrackerStatus, WorkerStatus, merged

_MAX_STATUS_BYTES = 8 << 20
_ANSWER_S = 5.0
_WORKERS_AT_ONCE = 64


async def serve_status(
    data: Path,
    status: Callable[[], Awaitable[WorkerStatus]],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer on the control socket of folder `data`, for ever. Raises StorageError."""

    async def answer(stream: trio.SocketStream) -> None:
        try:
            body = msgspec.json.encode(await status())
        except AlbumswarmError as error:
            structlog.get_logger().error("status-failed", reason=str(error))
            return
        await stream.send_all(body)

    await serve_control(data / CONTROL_SOCKET, answer, task_status=task_status)


async def tracker_status(data: Path) -> TrackerStatus:
    """Ask every worker that serves from folder `data`. Raises UnreachableError if none does."""
    paths = _sockets(data)
    answers: dict[Path, WorkerStatus] = {}
    room = trio.Semaphore(_WORKERS_AT_ONCE)

    async def ask(path: Path) -> None:
        async with room:
            answer = await _worker_status(path)
        if answer is not None:
            answers[path] = answer

    async with trio.open_nursery() as nursery:
        for path in paths:
            nursery.start_soon(ask, path)
    if not answers:
        raise UnreachableError(str(data), "no tracker serves from this folder")
    return merged(
        [answers[path] for path in paths if path in answers],
        [str(path.parent.name) for path in paths if path not in answers],
    )


def _sockets(data: Path) -> list[Path]:
    found = [data / CONTROL_SOCKET, *data.glob(f"worker-*/{CONTROL_SOCKET}")]
    return [path for path in sorted(found) if path.exists()]


async def _worker_status(path: Path) -> WorkerStatus | None:
    with trio.move_on_after(_ANSWER_S):
        try:
            answer = await ask_control(path, max_bytes=_MAX_STATUS_BYTES)
            return msgspec.json.decode(answer, type=WorkerStatus)
        except (OSError, trio.BrokenResourceError, ValueError):
            return None
    return None
