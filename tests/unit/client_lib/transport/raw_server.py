"""A TLS or plain server on loopback that does byte for byte what a test says."""

import contextlib
import functools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import trio

from client_lib.wire.certificates import HostIdentity
from tests.pki import SwarmPki

Behave = Callable[[trio.abc.Stream], Awaitable[None]]


def server_context(pki: SwarmPki, folder: Path, host: str = "localhost") -> ssl.SSLContext:
    leaf = pki.issue(HostIdentity("licensing", (host,)))
    path = folder / f"{host}.pem"
    path.write_text(leaf.key_pem + leaf.certificate_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@contextlib.asynccontextmanager
async def raw_server(behave: Behave, context: ssl.SSLContext | None) -> AsyncIterator[int]:
    """Yields the port. Every connection is given to `behave`, and closed afterwards."""

    async def handle(stream: trio.abc.Stream) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with stream:
                await behave(stream)

    async with trio.open_nursery() as nursery:
        listening = functools.partial(trio.serve_tcp, host="127.0.0.1")
        if context is not None:

            async def shake(tcp: trio.SocketStream) -> None:
                await handle(trio.SSLStream(tcp, context, server_side=True, https_compatible=True))

            listeners = await nursery.start(listening, shake, 0)
        else:
            listeners = await nursery.start(listening, handle, 0)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def read_head(stream: trio.abc.Stream) -> bytes:
    """A request's head, and what came with it."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = await stream.receive_some()
        if not chunk:
            raise trio.BrokenResourceError
        data += bytes(chunk)
    return data
