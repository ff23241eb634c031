"""The front end: accepts connections, at most so many at a time, until it is told to stop."""

import socket
import ssl
from dataclasses import dataclass, field

import structlog
import trio

from client_lib.transport.listening import accept_clients
from licensing.serving.connection import Connection
from licensing.serving.exchange import Application, Patience


@dataclass
class FrontEnd:
    """Serves an ASGI application on listening sockets, over TLS if there is a `context`.

    When `max_connections` are open, the one that has waited longest for its client makes room, and
    where none waits, one whose request is still coming in: slow clients cannot keep quick ones out.
    """

    application: Application
    context: ssl.SSLContext | None
    max_connections: int = 4096
    grace_s: float = 5.0
    patience: Patience = field(default_factory=Patience)
    _waiting: dict[Connection, None] = field(default_factory=dict)
    _hearing: dict[Connection, None] = field(default_factory=dict)
    _open: int = 0

    async def serve(
        self,
        sockets: list[socket.socket],
        stop: trio.Event,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until `stop`; then the requests under way have `grace_s`. Closes the sockets."""
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as listeners:
                for listening in sockets:
                    listeners.start_soon(self._accept, listening, connections, stop)
                task_status.started()
                await stop.wait()
                listeners.cancel_scope.cancel()
            for connection in list(self._waiting):
                connection.scope.cancel()
            connections.cancel_scope.deadline = trio.current_time() + self.grace_s

    async def _accept(
        self, listening: socket.socket, connections: trio.Nursery, stop: trio.Event
    ) -> None:
        def admit(accepted: socket.socket, address: tuple[str, int]) -> None:
            self._admit(accepted, (str(address[0]), address[1]), connections, stop)

        def make_room(why: str) -> None:
            structlog.get_logger().warning("accept failed", why=why)
            self._make_room()

        await accept_clients(listening, admit, on_exhausted=make_room)

    def _admit(
        self,
        accepted: socket.socket,
        address: tuple[str, int],
        connections: trio.Nursery,
        stop: trio.Event,
    ) -> None:
        if self._open >= self.max_connections and not self._make_room():
            accepted.close()
            return
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context is not None:
                accepted = self.context.wrap_socket(
                    accepted, server_side=True, do_handshake_on_connect=False
                )
        except OSError:  # gone between accept and here
            accepted.close()
            return
        connection = Connection(
            accepted,
            address,
            self.application,
            waiting=self._waiting,
            hearing=self._hearing,
            stop=stop,
            patience=self.patience,
        )
        self._open += 1
        connections.start_soon(self._run, connection)

    async def _run(self, connection: Connection) -> None:
        try:
            await connection.run()
        finally:
            self._open -= 1

    def _make_room(self) -> bool:
        for those in (self._waiting, self._hearing):
            longest = next(iter(those), None)
            if longest is not None:
                del those[longest]
                longest.scope.cancel()
                return True
        return False
