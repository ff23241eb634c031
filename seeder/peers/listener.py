"""Where customers come in: TLS on listening sockets, as many connections as the node can bear."""

import socket
import ssl
from collections import Counter
from functools import partial

import structlog
import trio

from client_lib.transport.listening import accept_clients
from client_lib.transport.stream import AcceptedStream
from client_lib.wire.licence import LicenceId
from seeder.peers.connection import Connection, FindSwarm
from seeder.peers.gate import Gate
from seeder.peers.pace import Pace
from seeder.peers.refusal import Refusal

_TCP_NOTSENT_LOWAT = 25
_UNSENT_BYTES = 128 << 10
"""What may wait in the kernel beyond what the line has under way: what is sent next stays ours to
choose, and a fast line with a long delay is filled all the same."""


class Listener:
    """Accepts customers until cancelled."""

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        find_swarm: FindSwarm,
        gate: Gate,
        pace: Pace,
        max_connections: int,
    ) -> None:
        """`context` demands certificates of the swarm CA; what it presents may be renewed."""
        context.sni_callback = _remember_name
        self._context = context
        self._find_swarm = find_swarm
        self._gate = gate
        self._pace = pace
        self._max_connections = max_connections
        self.connections: set[Connection] = set()
        self.refused: Counter[Refusal] = Counter()
        """Connections that never became a customer's."""
        self.revoked_cuts = 0
        """Connections that stood, and were ended because the licence was revoked."""

    async def serve(self, sockets: list[socket.socket]) -> None:
        """Accept on all sockets, for ever. Closes them, and every connection."""
        async with trio.open_nursery() as connections:

            def admit(accepted: socket.socket, _: object) -> None:
                self._admit(accepted, connections)

            for listening in sockets:
                connections.start_soon(
                    partial(accept_clients, listening, admit, on_exhausted=_no_room)
                )

    @property
    def licences(self) -> frozenset[LicenceId]:
        """Those of the customers who are there."""
        return frozenset(
            connection.licensed.licence.licence_id
            for connection in self.connections
            if connection.licensed is not None and connection.swarm is not None
        )

    def cut_revoked(self) -> None:
        """End the connections whose certificate was revoked."""
        for connection in self.connections:
            licensed = connection.licensed
            if licensed is not None and self._gate.is_revoked(licensed.serial):
                self.revoked_cuts += not connection.scope.cancel_called
                connection.scope.cancel()

    def _admit(self, accepted: socket.socket, connections: trio.Nursery) -> None:
        if len(self.connections) >= self._max_connections:
            self.refused[Refusal.NO_ROOM] += 1
            accepted.close()
            return
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            accepted.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
            tls = self._context.wrap_socket(
                accepted, server_side=True, do_handshake_on_connect=False
            )
        except OSError:  # gone between accept and here
            accepted.close()
            return
        connection = Connection(
            AcceptedStream(tls),
            find_swarm=self._find_swarm,
            gate=self._gate,
            pace=self._pace,
        )
        self.connections.add(connection)
        connections.start_soon(self._run, connection)

    async def _run(self, connection: Connection) -> None:
        try:
            await connection.run()
        finally:
            self.connections.discard(connection)
            if connection.swarm is None:
                self.refused[connection.obstacle] += 1


def _no_room(reason: str) -> None:
    structlog.get_logger().warning("accept failed", reason=reason)


def _remember_name(tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
    tls.asked_name = name or ""  # type: ignore[attr-defined]
