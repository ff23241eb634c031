"""Where customers come in, and who of them is there."""

import socket
import ssl
from collections import Counter

from client_lib.transport.stream import AcceptedStream
from client_lib.wire.licence import LicenceId
from seeder.peers.connection import Connection, FindSwarm
from seeder.peers.gate import Gate
from seeder.peers.pace import Pace
from seeder.peers.refusal import Refusal
from seeder.tls_port import TlsPort

_UNSENT_BYTES = 128 << 10
"""What may wait in the kernel beyond what the line has under way: what is sent next stays ours to
choose, and a fast line with a long delay is filled all the same."""


MOST_OF_A_LICENCE = 8
"""Connections of one licence at a time: its devices, each over IPv4 and IPv6."""


class Listener:
    """Serves customers until cancelled.

    When all places are taken, whoever has shaken hands longest makes room: who has no licence
    cannot keep customers out, nor can one licence the others.
    """

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
        self._find_swarm = find_swarm
        self._gate = gate
        self._pace = pace
        self._strangers: dict[Connection, None] = {}
        self._of_licence: dict[LicenceId, list[Connection]] = {}
        self._port = TlsPort(
            context,
            self._welcome,
            max_connections=max_connections,
            make_room=self._make_room,
            on_refused=self._refused,
            on_end=self._ended,
            unsent_bytes=_UNSENT_BYTES,
        )
        self.connections = self._port.connections
        self.refused: Counter[Refusal] = Counter()
        """Connections that never became a customer's."""
        self.revoked_cuts = 0
        """Connections that stood, and were ended because the licence was revoked."""

    async def serve(self, sockets: list[socket.socket]) -> None:
        """Accept on all sockets, for ever. Closes them, and every connection."""
        await self._port.serve(sockets)

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

    def _welcome(self, stream: AcceptedStream) -> Connection:
        connection = Connection(
            stream,
            find_swarm=self._find_swarm,
            gate=self._gate,
            pace=self._pace,
            on_admitted=self._admitted,
        )
        self._strangers[connection] = None
        return connection

    def _admitted(self, connection: Connection, licence_id: LicenceId) -> None:
        """Count a customer's connection; the oldest of its licence makes room for it."""
        self._strangers.pop(connection, None)
        known = self._of_licence.setdefault(licence_id, [])
        known.append(connection)
        if len(known) > MOST_OF_A_LICENCE:
            known.pop(0).scope.cancel()

    def _make_room(self) -> bool:
        """Cut whoever has been shaking hands longest; a customer is never cut for another."""
        longest = next(iter(self._strangers), None)
        if longest is None:
            return False
        del self._strangers[longest]
        longest.obstacle = Refusal.NO_ROOM
        longest.scope.cancel()
        return True

    def _refused(self) -> None:
        self.refused[Refusal.NO_ROOM] += 1

    def _ended(self, connection: Connection) -> None:
        self._strangers.pop(connection, None)
        if connection.licensed is not None:
            licence_id = connection.licensed.licence.licence_id
            known = self._of_licence.get(licence_id, [])
            if connection in known:
                known.remove(connection)
            if not known:
                self._of_licence.pop(licence_id, None)
        if connection.swarm is None:
            self.refused[connection.obstacle] += 1


def _remember_name(tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
    tls.asked_name = name or ""  # type: ignore[attr-defined]
