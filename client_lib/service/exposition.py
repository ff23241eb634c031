"""`GET /metrics` for Prometheus, on a port of its own on loopback."""

import contextlib
import re
import socket
from collections.abc import Awaitable, Callable, Sequence

import trio

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HOST_AND_PORT = re.compile(r"\[?([A-Za-z0-9.:-]{1,253}?)\]?:([0-9]{1,5})")
_HIGHEST_PORT = 65_535
_AT_ONCE = 8
_PATIENCE_S = 10.0
_MAX_HEAD_BYTES = 8_192
_NOT_FOUND = b"metrics are at /metrics\n"


def loopback_address(key: str, text: str) -> tuple[str, int]:
    """Host and port of `localhost:port`. Raises ValueError naming the `key`."""
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None or int(match[2]) > _HIGHEST_PORT:
        raise ValueError(f"{key}: {text!r} is not host:port")
    if match[1] not in _LOOPBACK:
        raise ValueError(
            f"{key}: {text!r} is not on loopback (localhost:port), and metrics are for no one else"
        )
    return match[1], int(match[2])


async def serve_metrics(
    sockets: Sequence[socket.socket], exposition: Callable[[], Awaitable[bytes | None]]
) -> None:
    """Answer on listening sockets, for ever; one request a connection.

    `exposition` gives Prometheus' text format, or None when there is nothing to tell just now.
    """
    room = trio.Semaphore(_AT_ONCE)

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            with contextlib.suppress(trio.BrokenResourceError), trio.move_on_after(_PATIENCE_S):
                async with room:
                    head = await _head(stream)
                    if not head.startswith((b"GET /metrics ", b"GET /metrics?")):
                        await stream.send_all(_response(b"404 Not Found", _NOT_FOUND))
                        return
                    body = await exposition()
                    if body is None:
                        await stream.send_all(_response(b"503 Service Unavailable", b""))
                    else:
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
