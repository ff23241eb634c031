"""A port where TLS clients come in: as many connections as the node can bear, each in a task."""

import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Generic, Protocol, TypeVar

import structlog
import trio

from client_lib.transport.listening import accept_clients
from client_lib.transport.stream import AcceptedStream


class _Runs(Protocol):
    async def run(self) -> None:
        """Serve until either side closes; closes the socket. Raises nothing but cancellation."""


ConnectionT = TypeVar("ConnectionT", bound=_Runs)


class TlsPort(Generic[ConnectionT]):
    """Accepts clients until cancelled, and runs what `welcome` makes of each."""

    def __init__(
        self,
        context: ssl.SSLContext,
        welcome: Callable[[AcceptedStream], ConnectionT],
        *,
        max_connections: int,
        make_room: Callable[[], bool] = lambda: False,
        on_refused: Callable[[], None] = lambda: None,
        on_end: Callable[[ConnectionT], None] = lambda _: None,
        unsent_bytes: int | None = None,
    ) -> None:
        """`welcome` takes a TLS stream before its handshake.

        `make_room` may end a connection for another client, and returns whether it has;
        `on_refused` is told when there is no room. `unsent_bytes`: what may wait in the kernel
        beyond what is under way; None: as it likes.
        """
        self._context = context
        self._welcome = welcome
        self._max_connections = max_connections
        self._make_room = make_room
        self._on_refused = on_refused
        self._on_end = on_end
        self._unsent_bytes = unsent_bytes
        self.connections: set[ConnectionT] = set()

    async def serve(self, sockets: list[socket.socket]) -> None:
        """Accept on all sockets, for ever. Closes them, and every connection."""
        async with trio.open_nursery() as connections:

            def admit(accepted: socket.socket, _: object) -> None:
                self._admit(accepted, connections)

            for listening in sockets:
                connections.start_soon(
                    partial(accept_clients, listening, admit, on_exhausted=self._no_room)
                )

    def _admit(self, accepted: socket.socket, connections: trio.Nursery) -> None:
        if len(self.connections) >= self._max_connections and not self._make_room():
            self._on_refused()
            accepted.close()
            return
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._unsent_bytes is not None:
                accepted.setsockopt(
                    socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, self._unsent_bytes
                )
            tls = self._context.wrap_socket(
                accepted, server_side=True, do_handshake_on_connect=False
            )
        except OSError:  # gone between accept and here
            accepted.close()
            return
        connection = self._welcome(AcceptedStream(tls))
        self.connections.add(connection)
        connections.start_soon(self._run, connection)

    async def _run(self, connection: ConnectionT) -> None:
        try:
            await connection.run()
        finally:
            self.connections.discard(connection)
            self._on_end(connection)

    def _no_room(self, reason: str) -> None:
        structlog.get_logger().warning("accept failed", reason=reason)
        self._make_room()
