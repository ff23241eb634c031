"""Where clients come in: our own mutual TLS, or plain HTTP behind a proxy that we trust."""

import socket
import ssl
from collections.abc import Sequence
from typing import Protocol

from tracker.serving.connection import Connection, Room
from tracker.serving.familiar import Familiars
from tracker.serving.head import Heads
from tracker.serving.listening import pack
from tracker.serving.parting import Parting, last_answer
from tracker.serving.reactor import READABLE
from tracker.serving.sender import TrustedProxies, by_connection, by_proxy
from tracker.serving.tls import TlsConnection
from tracker.serving.transfer import received

_CLIENTS_OF_PROXIES = 131_072
_TORRENTS_OF_CLIENT = 8


class Door(Protocol):
    """Listening sockets, and what their clients are received with."""

    sockets: Sequence[socket.socket]

    def receive(
        self, accepted: socket.socket, family: socket.AddressFamily, host: str, room: Room
    ) -> Connection | None:
        """Begin with a client whose socket was accepted from `host`; None if that was all.

        `host` is as `accept` tells it, empty on a Unix socket.
        """


class MutualTlsDoor:
    """Clients prove their certificates to us."""

    def __init__(self, context: ssl.SSLContext, sockets: Sequence[socket.socket]) -> None:
        """Take a context that demands certificates, and listening sockets.

        The context is set to issue no session tickets.
        """
        self.sockets = sockets
        self._context = context
        context.num_tickets = 0  # why: tracker/serving/tls.py
        self._heads = Heads(by_connection)

    def receive(
        self, accepted: socket.socket, family: socket.AddressFamily, host: str, room: Room
    ) -> Connection:
        """Begin with the handshake."""
        connection = TlsConnection(
            accepted,
            self._heads,
            # Of its own: what it says holds for this certificate and this address.
            Familiars(_TORRENTS_OF_CLIENT),
            room,
            context=self._context,
            address=pack(family, host),
        )
        connection.on_ready(READABLE)
        return connection


class PlainDoor:
    """Proxies prove their clients' certificates, and tell us (RFC 9440)."""

    def __init__(self, trusted: TrustedProxies, sockets: Sequence[socket.socket]) -> None:
        """Take whom to believe, and listening sockets: TCP, or Unix, whose clients are trusted."""
        self.sockets = sockets
        self._trusted = trusted
        self._heads = Heads(by_proxy)
        self._familiars = Familiars(_CLIENTS_OF_PROXIES)

    def receive(
        self, accepted: socket.socket, family: socket.AddressFamily, host: str, room: Room
    ) -> Connection | None:
        """Begin with a proxy's request, or send the client away."""
        if family != socket.AF_UNIX and not self._trusted.trusts(host):
            room.count("untrusted_address")
            connection = self._connection(accepted, room)
            connection.refuse(403, "this address is for trusted proxies")
            return connection
        request = received(accepted)
        response = last_answer(request, self._familiars, room) if request else None
        if response is not None:
            parting = Parting(accepted, response, room, self._connection)
            if not room.sends_later(parting):
                parting.send_now()
            return None
        connection = self._connection(accepted, room)
        connection.begin(request)
        return connection

    def _connection(self, accepted: socket.socket, room: Room) -> Connection:
        allowed_s = room.patience.head_s
        return Connection(accepted, self._heads, self._familiars, room, allowed_s=allowed_s)
