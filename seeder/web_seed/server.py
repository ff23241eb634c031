"""The web seed: who visits, and who of them makes room for another."""

import socket
import ssl

from client_lib.transport.stream import AcceptedStream
from seeder.peers.connection import FindSwarm
from seeder.peers.gate import Gate
from seeder.peers.pace import Pace
from seeder.tls_port import TlsPort
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
        self._gate = gate
        self._around = Surroundings(
            find_swarm=find_swarm,
            gate=gate,
            pace=pace,
            has_room=self._has_room,
            on_sent=self._sent,
            patience=patience or Patience(),
        )
        self._waiting: dict[Connection, None] = {}
        self._port = TlsPort(
            context, self._welcome, max_connections=max_connections, make_room=self._make_room
        )
        self.connections = self._port.connections
        self.sent_bytes = 0
        """Payload since the node started."""

    async def serve(self, sockets: list[socket.socket]) -> None:
        """Accept on all sockets, for ever. Closes them, and every connection."""
        await self._port.serve(sockets)

    def cut_revoked(self) -> None:
        """End the connections whose certificate was revoked."""
        for connection in self.connections:
            visitor = connection.visitor
            if visitor is not None and self._gate.is_revoked(visitor.serial):
                connection.scope.cancel()

    def _welcome(self, stream: AcceptedStream) -> Connection:
        return Connection(stream, self._around, self._waiting)

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
