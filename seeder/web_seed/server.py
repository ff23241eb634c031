"""The web seed's port: TLS on listening sockets, as many visitors as the node can bear."""

import socket
import ssl
from functools import partial

import structlog
import trio

from client_lib.transport.listening import accept_clients
from client_lib.transport.stream import AcceptedStream
from seeder.peers.connection import FindSwarm
from seeder.peers.gate import Gate
from seeder.peers.pace import Pace
from seeder.web_seed.connection import Connection, Patience, Surroundings

MOST_OF_A_LICENCE = 8
"""Connections of one licence at a time. libtorrent opens one."""


class WebSeed:
    """Serves files to licensed visitors until cancelled."""

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        find_swarm: FindSwarm,
        gate: Gate,
        pace: Pace,
        max_connections: int,
        patience: Patience | None = None,
    ) -> None:
        """`context` demands certificates of the swarm CA; what it presents may be renewed."""
        context.set_alpn_protocols(["http/1.1"])
        self._context = context
        self._gate = gate
        self._max_connections = max_connections
        self._around = Surroundings(
            find_swarm=find_swarm,
            gate=gate,
            pace=pace,
            has_room=self._has_room,
            on_sent=self._sent,
            patience=patience or Patience(),
        )
        self._waiting: dict[Connection, None] = {}
        self.connections: set[Connection] = set()
        self.sent_bytes = 0
        """Payload since the node started."""

    async def serve(self, sockets: list[socket.socket]) -> None:
        """Accept on all sockets, for ever. Closes them, and every connection."""
        async with trio.open_nursery() as connections:

            def admit(accepted: socket.socket, _: object) -> None:
                self._admit(accepted, connections)

            for listening in sockets:
                connections.start_soon(
                    partial(accept_clients, listening, admit, on_exhausted=self._no_room)
                )

    def cut_revoked(self) -> None:
        """End the connections whose certificate was revoked."""
        for connection in self.connections:
            visitor = connection.visitor
            if visitor is not None and self._gate.is_revoked(visitor.serial):
                connection.scope.cancel()

    def _admit(self, accepted: socket.socket, connections: trio.Nursery) -> None:
        if len(self.connections) >= self._max_connections and not self._make_room():
            accepted.close()
            return
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tls = self._context.wrap_socket(
                accepted, server_side=True, do_handshake_on_connect=False
            )
        except OSError:  # gone between accept and here
            accepted.close()
            return
        connection = Connection(AcceptedStream(tls), self._around, self._waiting)
        self.connections.add(connection)
        connections.start_soon(self._run, connection)

    async def _run(self, connection: Connection) -> None:
        try:
            await connection.run()
        finally:
            self.connections.discard(connection)

    def _no_room(self, reason: str) -> None:
        structlog.get_logger().warning("accept failed", reason=reason)
        self._make_room()

    def _make_room(self) -> bool:
        """Cut who has waited longest for its own next word: the slow do not keep others out."""
        longest = next(iter(self._waiting), None)
        if longest is None:
            return False
        del self._waiting[longest]
        longest.scope.cancel()
        return True

    def _has_room(self, licence_id: str) -> bool:
        visitors = (connection.visitor for connection in self.connections)
        held = sum(v is not None and v.licence.licence_id == licence_id for v in visitors)
        return held < MOST_OF_A_LICENCE

    def _sent(self, payload_bytes: int) -> None:
        self.sent_bytes += payload_bytes
