"""A service's control socket: who may read its data folder may talk to it.

A Unix socket of mode 0600 in the data folder. What is said there is the service's own affair.
"""

import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import trio

from client_lib.errors import StorageError

CONTROL_SOCKET = "control.sock"
_AT_ONCE = 8
_TAKEN_S = 10.0


async def serve_control(
    path: Path,
    answer: Callable[[trio.SocketStream], Awaitable[None]],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer on Unix socket `path`, replacing what a killed process left there; for ever.

    `answer` has 10 seconds for each caller, and is told of nobody's leaving too early. Raises
    StorageError.
    """
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(_listening(path)))
    room = trio.Semaphore(_AT_ONCE)

    async def take(stream: trio.SocketStream) -> None:
        async with stream, room:
            with contextlib.suppress(trio.BrokenResourceError), trio.move_on_after(_TAKEN_S):
                await answer(stream)

    try:
        task_status.started()  # who connects from now on is answered
        await trio.serve_listeners(take, [listener])
    finally:
        _remove(path)


async def ask_control(path: Path, question: bytes = b"", *, max_bytes: int) -> bytes:
    """Connect to a control socket, say `question` and read the answer to its end.

    Raises OSError or trio.BrokenResourceError if nobody answers; ValueError for a longer answer.
    """
    received = bytearray()
    async with _connected(path) as stream:
        if question:
            await stream.send_all(question)
        async for chunk in stream:
            received += chunk
            if len(received) > max_bytes:
                raise ValueError(f"more than {max_bytes} bytes")
    return bytes(received)


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
