"""A client over mutual TLS.

OpenSSL works on buffers in memory, and the socket is read and written beside it: what a client
sends is read at once (on a socket, OpenSSL reads a record in two calls, and a handshake has five),
and answer and close_notify leave in one segment.

There are no session tickets: OpenSSL 3.0 takes 160 µs for each of its two, a third of a handshake,
and libtorrent resumes no session. With them goes the early acknowledgement that a client with
Nagle's algorithm waits for: until then, or for 40 ms, it holds its request back. TCP_QUICKACK sends
it for a hundredth of the price.
"""

import contextlib
import socket
import ssl

from tracker.serving.connection import Connection, Room, State
from tracker.serving.familiar import Familiars
from tracker.serving.head import Heads, Sender
from tracker.serving.reactor import READABLE, WRITABLE

_READ_BYTES = 16_384


class TlsConnection(Connection):
    """A connection that begins with a handshake."""

    __slots__ = ("_address", "_incoming", "_outgoing", "_tls")

    def __init__(
        self,
        transport: socket.socket,
        heads: Heads,
        familiars: Familiars,
        room: Room,
        *,
        context: ssl.SSLContext,
        address: bytes,
    ) -> None:
        """Take a socket, a context that demands certificates, the packed address."""
        super().__init__(transport, heads, familiars, room, allowed_s=room.patience.handshake_s)
        self._address = address
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def _receive(self) -> bytes | None:
        data = super()._receive()
        if not data:
            return data
        self._incoming.write(data)
        if self._sender is None:
            self._shake_hands()
            if self._sender is None:
                return None
        return self._decrypted()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError:
            self._room.count("handshake_failed")
            # OpenSSL has an alert to send: let it arrive before the reset of our close.
            self._unsent += self._outgoing.read()
            self._flush()
            self._begin_to_linger()
            return
        certificate = self._tls.getpeercert(binary_form=True)
        if certificate is None:  # cannot be: the context demands one
            raise ssl.SSLError("no client certificate")
        self._sender = Sender(certificate, self._address)
        self._room.is_busy(self)
        self.deadline_s = self._room.now_s + self._room.patience.head_s
        if not self._incoming.pending:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _decrypted(self) -> bytes | None:
        chunks: list[bytes] = []
        # An SSLWantReadError costs 5 µs: look first whether there is anything to read.
        while self._incoming.pending or self._tls.pending():
            try:
                data = self._tls.read(_READ_BYTES)
            except ssl.SSLWantReadError:
                break
            if not data:  # close_notify: answer what came before it
                return b"".join(chunks)
            chunks.append(data)
        return b"".join(chunks) if chunks else None

    def _send(self, data: bytes) -> None:
        plain = memoryview(data)
        while plain:
            plain = plain[self._tls.write(plain) :]
        if self.state is State.PARTING:
            # Nothing was cut off, says close_notify. The client's own is not waited for.
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
        super()._send(self._outgoing.read())

    def _sent(self) -> None:
        if self._sender is None:
            self._watch(READABLE)  # that was half of the handshake
        else:
            super()._sent()

    def _wait_for_client(self, events: int) -> None:
        if self._outgoing.pending and self.state is not State.CLOSED:
            # A part of the handshake.
            self._unsent += self._outgoing.read()
            self._flush()
            if self._unsent:
                events = WRITABLE
        super()._wait_for_client(events)
