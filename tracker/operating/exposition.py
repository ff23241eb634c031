"""`GET /metrics` for Prometheus, on a port of its own on loopback."""

import contextlib
import socket
from collections.abc import Awaitable, Callable, Sequence

import structlog
import trio

from client_lib.errors import AlbumswarmError
from tracker.operating.metrics import MEDIA_TYPE, Metrics
from tracker.operating.status import WorkerStatus

_AT_ONCE = 8
_PATIENCE_S = 10.0
_MAX_HEAD_BYTES = 8_192
_NOT_FOUND = b"metrics are at /metrics\n"


async def serve_metrics(
    sockets: Sequence[socket.socket], status: Callable[[], Awaitable[WorkerStatus]]
) -> None:
    """Answer on listening sockets, for ever; one request a connection."""
    metrics = Metrics()
    room = trio.Semaphore(_AT_ONCE)

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            with contextlib.suppress(trio.BrokenResourceError), trio.move_on_after(_PATIENCE_S):
                async with room:
                    head = await _head(stream)
                    if not head.startswith((b"GET /metrics ", b"GET /metrics?")):
                        await stream.send_all(_response(b"404 Not Found", _NOT_FOUND))
                        return
                    try:
                        body = metrics.exposition(await status())
                    except AlbumswarmError as error:
                        structlog.get_logger().error("metrics-failed", reason=str(error))
                        await stream.send_all(_response(b"503 Service Unavailable", b""))
                        return
                    await stream.send_all(_response(b"200 OK", body))

    listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(each)) for each in sockets]
    await trio.serve_listeners(answer, listeners)


async def _head(stream: trio.SocketStream) -> bytes:
    """Read a request's head, or what comes of it."""
    received = bytearray()
    while b"\r\n\r\n" not in received and len(received) < _MAX_HEAD_BYTES:
        chunk = await stream.receive_some()
        if not chunk:
            break
        received += chunk
    return bytes(received)


def _response(status: bytes, body: bytes) -> bytes:
    return (
        b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
        % (status, MEDIA_TYPE.encode(), len(body), body)
    )
