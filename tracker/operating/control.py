"""The control socket: who may read the data folder may ask a worker how it is doing.

A Unix socket, mode 0600, in the worker's folder: connect, and read JSON until the end.
"""

import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import structlog
import trio

from client_lib.errors import AlbumswarmError, StorageError, UnreachableError
from tracker.operating.status import TrackerStatus, WorkerStatus, merged

CONTROL_SOCKET = "control.sock"
_MAX_STATUS_BYTES = 8 << 20
_AT_ONCE = 8
_TAKEN_S = 10.0
_ANSWER_S = 5.0
_WORKERS_AT_ONCE = 64


async def serve_control(
    path: Path,
    status: Callable[[], Awaitable[WorkerStatus]],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer on Unix socket `path`, replacing what a killed worker left there; for ever.

    Raises StorageError.
    """
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(_listening(path)))
    room = trio.Semaphore(_AT_ONCE)

    async def answer(stream: trio.SocketStream) -> None:
        async with stream, room:
            with contextlib.suppress(trio.BrokenResourceError), trio.move_on_after(_TAKEN_S):
                try:
                    body = msgspec.json.encode(await status())
                except AlbumswarmError as error:
                    structlog.get_logger().error("status-failed", reason=str(error))
                    return
                await stream.send_all(body)

    try:
        task_status.started()  # who connects from now on is answered
        await trio.serve_listeners(answer, [listener])
    finally:
        _remove(path)


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


def _listening(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    try:
        with _short(path) as name:
            path.unlink(missing_ok=True)
            listening.setblocking(False)
            listening.bind(name)
            path.chmod(0o600)  # the folder is 0700, so nobody came in between
            listening.listen(_AT_ONCE)
    except OSError as error:
        listening.close()
        raise StorageError(f"cannot listen on {path}: {error.strerror}") from error
    return listening


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _sockets(data: Path) -> list[Path]:
    found = [data / CONTROL_SOCKET, *data.glob(f"worker-*/{CONTROL_SOCKET}")]
    return [path for path in sorted(found) if path.exists()]


async def _worker_status(path: Path) -> WorkerStatus | None:
    received = bytearray()
    with trio.move_on_after(_ANSWER_S):
        try:
            async with _connected(path) as stream:
                async for chunk in stream:
                    received += chunk
                    if len(received) > _MAX_STATUS_BYTES:
                        return None
            return msgspec.json.decode(received, type=WorkerStatus)
        except (OSError, trio.BrokenResourceError, msgspec.DecodeError):
            return None
    return None


@contextlib.asynccontextmanager
async def _connected(path: Path) -> AsyncIterator[trio.SocketStream]:
    with _short(path) as name:
        stream = await trio.open_unix_socket(name)
    async with stream:
        yield stream


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """Another name of `path`: that of a Unix socket has 107 bytes at most, a path has no limit."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
