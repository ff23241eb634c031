"""TLS on non-blocking sockets, without memory buffers in between.

Through memory BIOs (`trio.SSLStream`) the same bytes cost half as much again.
"""

import contextlib
import socket
import ssl

import trio

from client_lib.errors import PeerProtocolError

_READ_BYTES = 65_536
_TURNS = 4  # reads or writes in a row without waiting, before others have theirs


class PeerStream:
    """Bytes from and to a peer. Every method raises OSError (`ssl.SSLError`) if it is gone."""

    def __init__(self, accepted: ssl.SSLSocket) -> None:
        """Take a non-blocking socket before its handshake."""
        self._socket = accepted
        self._turns = 0
        self._early = b""

    @property
    def server_name(self) -> str:
        """The name that the client asked for (SNI, RFC 6066); empty if none."""
        return str(getattr(self._socket, "asked_name", ""))

    def peer_certificate(self) -> bytes:
        """The verified certificate, DER. Empty if there is none."""
        return self._socket.getpeercert(binary_form=True) or b""

    async def handshake(self) -> None:
        """Shake hands."""
        while True:
            try:
                self._socket.do_handshake()
                return
            except ssl.SSLWantReadError:
                await trio.lowlevel.wait_readable(self._socket)
            except ssl.SSLWantWriteError:
                await trio.lowlevel.wait_writable(self._socket)

    async def receive(self) -> bytes:
        """What has come, at least a byte; nothing at the end."""
        if self._early:
            early, self._early = self._early, b""
            return early
        while True:
            try:
                data = self._socket.recv(_READ_BYTES)
            except ssl.SSLWantReadError:
                self._turns = 0
                await trio.lowlevel.wait_readable(self._socket)
            except ssl.SSLWantWriteError:
                await trio.lowlevel.wait_writable(self._socket)
            else:
                await self._take_turns()
                return data

    async def receive_exactly(self, count: int) -> bytes:
        """So many bytes. Raises PeerProtocolError if the peer leaves before."""
        received = b""
        while len(received) < count:
            data = await self.receive()
            if not data:
                raise PeerProtocolError("the peer left in the middle of its handshake")
            received += data
        self._early = received[count:]
        return received[:count]

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        left = memoryview(data)
        while left:
            try:
                left = left[self._socket.send(left) :]
            except ssl.SSLWantWriteError:
                self._turns = 0
                await trio.lowlevel.wait_writable(self._socket)
            except ssl.SSLWantReadError:
                await trio.lowlevel.wait_readable(self._socket)
        await self._take_turns()

    def close(self) -> None:
        """Close at once."""
        trio.lowlevel.notify_closing(self._socket)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    async def _take_turns(self) -> None:
        self._turns += 1
        if self._turns >= _TURNS:
            self._turns = 0
            await trio.lowlevel.checkpoint()
