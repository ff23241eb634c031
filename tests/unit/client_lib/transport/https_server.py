"""A small real HTTPS server that answers as it is told, or fails in the middle."""

import contextlib
import functools
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import trio

from client_lib.wire.certificates import HostIdentity
from tests.pki import SwarmPki


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Request], bytes | None]
"""A whole HTTP response; None drops the connection without one."""


def http(status: int, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class HttpsServer:
    answer: Answer
    port: int = 0
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    async def handle(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            async with stream:
                while (request := await _read(stream)) is not None:
                    self.requests.append(request)
                    answer = self.answer(request)
                    if answer is None:
                        await trio.aclose_forcefully(stream)
                        return
                    await stream.send_all(answer)


async def _read(stream: trio.SSLStream[trio.SocketStream]) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = await stream.receive_some()
        if not chunk:
            return None
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += await stream.receive_some()
    method, path, _ = first.split()
    return Request(method, path, headers, body)


@contextlib.asynccontextmanager
async def https_server(
    pki: SwarmPki, folder: Path, answer: Answer, *, host: str = "localhost"
) -> AsyncIterator[HttpsServer]:
    leaf = pki.issue(HostIdentity("licensing", (host,)))
    path = folder / "host.pem"
    path.write_text(leaf.key_pem + leaf.certificate_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    server = HttpsServer(answer)
    async with trio.open_nursery() as nursery:

        async def handle(stream: trio.SSLStream[trio.SocketStream]) -> None:
            await server.handle(stream)

        serve = functools.partial(trio.serve_ssl_over_tcp, host="127.0.0.1")
        listeners = await nursery.start(serve, handle, 0, context)
        server.port = listeners[0].transport_listener.socket.getsockname()[1]
        yield server
        nursery.cancel_scope.cancel()
