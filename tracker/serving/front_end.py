"""The front end: mutual TLS on listening sockets, and a bounded number of connections."""

import contextlib
import errno
import socket
import ssl
from collections.abc import Callable

import structlog
import trio

from tracker.serving.connection import Connection, Patience, Respond
from tracker.serving.listening import packed_address

_ACCEPTS_PER_TURN = 64
_STOPPING_S = 2.0
_OUT_OF_FILES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class FrontEnd:
    """Serves mutual TLS on listening sockets, at most `max_connections` at a time.

    When all are taken, the connection that has waited longest for its client makes room: slow
    clients cannot keep quick ones out.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        respond: Respond,
        *,
        count: Callable[[str], None],
        max_connections: int,
        patience: Patience,
    ) -> None:
        """Take the TLS context (which must demand certificates) and what answers a request."""
        self._context = context
        self._respond = respond
        self._count = count
        self._max_connections = max_connections
        self._patience = patience
        self._waiting: dict[Connection, None] = {}
        self._open = 0

    async def serve(self, sockets: list[socket.socket], stop: trio.Event) -> None:
        """Serve until `stop`, then let running answers finish. Closes the sockets."""
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as listeners:
                for listening in sockets:
                    listeners.start_soon(self._accept, listening, connections)
                await stop.wait()
                listeners.cancel_scope.cancel()
            for connection in list(self._waiting):
                connection.scope.cancel()
            connections.cancel_scope.deadline = trio.current_time() + _STOPPING_S

    async def _accept(self, listening: socket.socket, connections: trio.Nursery) -> None:
        with contextlib.closing(listening):
            try:
                while True:
                    await trio.lowlevel.wait_readable(listening)
                    for _ in range(_ACCEPTS_PER_TURN):
                        try:
                            accepted, address = listening.accept()
                        except BlockingIOError:
                            break
                        except OSError as error:
                            if error.errno in _OUT_OF_FILES:
                                structlog.get_logger().warning(
                                    "accept-failed", reason=error.strerror
                                )
                                self._make_room()
                                await trio.sleep(0.05)
                            break  # otherwise the client has gone already (ECONNABORTED, …)
                        self._admit(accepted, str(address[0]), connections)
            finally:
                trio.lowlevel.notify_closing(listening)

    def _admit(self, accepted: socket.socket, host: str, connections: trio.Nursery) -> None:
        if self._open >= self._max_connections and not self._make_room():
            accepted.close()
            return
        accepted.setblocking(False)
        try:
            stream = self._context.wrap_socket(
                accepted, server_side=True, do_handshake_on_connect=False
            )
        except OSError:  # gone between accept and here
            accepted.close()
            return
        connection = Connection(
            stream,
            packed_address(host),
            respond=self._respond,
            count=self._count,
            waiting=self._waiting,
            patience=self._patience,
        )
        self._open += 1
        connections.start_soon(self._run, connection)

    async def _run(self, connection: Connection) -> None:
        try:
            await connection.run()
        finally:
            self._open -= 1

    def _make_room(self) -> bool:
        """Cut the connection that has waited longest for its client, if one waits."""
        self._count("connections_full")
        longest = next(iter(self._waiting), None)
        if longest is None:
            return False
        del self._waiting[longest]
        longest.scope.cancel()
        return True
