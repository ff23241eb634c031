"""One client's connection: TLS handshake, then requests until somebody has had enough.

HTTP/1.1 by h11, and the application called in the connection's own task. A constant answer
costs 0.3 ms of CPU here and 0.7 ms on a general ASGI server, where each request is a task with
channels and timeouts of its own, and its head and body are TLS records apart (ADR 0012).
"""

import contextlib
import math
import socket
import ssl
from collections.abc import Iterator

import h11
import structlog
import trio

from client_lib.transport.stream import AcceptedStream
from licensing.serving.exchange import Application, Exchange, Patience

_MAX_HEAD_BYTES = 16_384
_REFUSALS = {400: b"Bad Request", 431: b"Request Header Fields Too Large", 501: b"Not Implemented"}


class Connection:
    """A client that is being served.

    `waiting` has the connections that wait for their clients and are not at work: those can be
    cut (`scope`) without loss. The first of them has waited longest. `hearing` has those whose
    request is still coming in: they can be cut where there is no other room, as nothing was done.
    """

    def __init__(
        self,
        accepted: socket.socket,
        address: tuple[str, int],
        application: Application,
        *,
        waiting: "dict[Connection, None]",
        hearing: "dict[Connection, None]",
        stop: trio.Event,
        patience: Patience,
    ) -> None:
        """Take a non-blocking socket, TLS before its handshake or plain, and the peer's address."""
        self.scope = trio.CancelScope()
        self._stream = AcceptedStream(accepted)
        self._address = address
        self._application = application
        self._waiting = waiting
        self._hearing = hearing
        self._stop = stop
        self._patience = patience
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD_BYTES)

    async def run(self) -> None:
        """Serve until either side closes; closes the socket. Raises nothing but cancellation."""
        try:
            with self.scope, contextlib.suppress(OSError):
                if await self._shook_hands():
                    self._wait_at_most(self._patience.head_s)
                    while await self._one_request():
                        self._wait_at_most(self._patience.idle_s)
                self._wait_at_most(self._patience.parting_s)
                await self._stream.part()
        finally:
            self._waiting.pop(self, None)
            self._stream.close()

    async def _shook_hands(self) -> bool:
        self._wait_at_most(self._patience.handshake_s)
        try:
            await self._stream.handshake()
        except ssl.SSLError:
            return False  # port scanners, mostly; OpenSSL has sent them an alert
        return True

    async def _one_request(self) -> bool:
        """Answer the next request; whether the connection may have another."""
        request = await self._request()
        if request is None:
            return False
        self._work()
        exchange = Exchange(
            self._stream,
            self._http,
            request,
            self._address,
            self._patience,
            self._stop,
            hears=self._hears,
        )
        try:
            await self._application(exchange.scope, exchange.receive, exchange.send)
        except OSError:
            raise
        except Exception:
            # The application answers its errors itself: this one came too late for that.
            structlog.get_logger().exception("request failed")
            return False
        if not exchange.may_have_another:
            return False
        self._http.start_next_cycle()
        return True

    async def _request(self) -> h11.Request | None:
        """The head of the next request, or None if there will be none."""
        silent = not self._http.trailing_data[0]
        if not silent:
            await trio.lowlevel.checkpoint()  # pipelined: one client must not keep us to itself
        while not (silent and self._stop.is_set()):
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                await self._refuse(error.error_status_hint)
                return None
            if isinstance(event, h11.Request):
                return event
            if event is not h11.NEED_DATA:
                return None
            self._http.receive_data(await self._stream.receive())
            if silent:
                silent = False
                self._wait_at_most(self._patience.head_s)
        return None

    async def _refuse(self, status: int) -> None:
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        reason = _REFUSALS.get(status, b"Refused")
        headers = [(b"content-length", b"0"), (b"connection", b"close")]
        head = h11.Response(status_code=status, headers=headers, reason=reason)
        with trio.move_on_after(self._patience.answer_s):
            await self._stream.send(
                (self._http.send(head) or b"") + (self._http.send(h11.EndOfMessage()) or b"")
            )

    @contextlib.contextmanager
    def _hears(self) -> Iterator[None]:
        """Wait for the rest of a request."""
        self._hearing[self] = None
        try:
            yield
        finally:
            self._hearing.pop(self, None)

    def _wait_at_most(self, seconds: float) -> None:
        self._waiting.setdefault(self)
        self.scope.deadline = trio.current_time() + seconds

    def _work(self) -> None:
        self._waiting.pop(self, None)
        self.scope.deadline = math.inf
