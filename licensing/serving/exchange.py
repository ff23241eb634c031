"""One request and its answer, in the words of ASGI 3."""

import contextlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import h11
import trio

from client_lib.transport.stream import AcceptedStream

Application = Callable[
    [Any, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]
]
"""An ASGI 3 application that takes `http` scopes and needs no lifespan."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client may take before it is cut off."""

    handshake_s: float = 10.0
    head_s: float = 10.0
    """From the first byte of a request to the end of its head; also for the first request."""
    idle_s: float = 75.0
    """Between the requests of a connection."""
    body_s: float = 20.0
    """For the body of a request, beside what it takes at `body_bytes_per_s`."""
    body_bytes_per_s: float = 16_384.0
    answer_s: float = 60.0
    """To take a part of our answer."""
    parting_s: float = 10.0
    """To send what we shall not read and close, after we did."""


_FRAMED = frozenset({b"content-length", b"transfer-encoding"})


class BodyRefused(Exception):
    """A request's body that cannot be read to its end. `too_slow`: we lost patience."""

    def __init__(self, *, too_slow: bool) -> None:
        """Tell a slow client from one that sends nonsense."""
        super().__init__()
        self.too_slow = too_slow


class Exchange:
    """What the application reads from and writes to."""

    def __init__(
        self,
        stream: AcceptedStream,
        http: h11.Connection,
        request: h11.Request,
        address: tuple[str, int],
        patience: Patience,
        stop: trio.Event,
        *,
        hears: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        """Take the connection, whose next event is the body of `request`.

        Once `stop` is set, an answer says that it is the connection's last. The client is waited
        for inside a `hears()`.
        """
        self._stream = stream
        self._http = http
        self._request = request
        self._address = address
        self._patience = patience
        self._told_end = False
        self._body_began_s = 0.0
        self._body_bytes = 0
        self._start: h11.Response | None = None
        self._stop = stop
        self._hears = hears
        # h11 has a body's end in store where there is no body, and is done only when it is taken.
        self._ended = _FRAMED.isdisjoint(name for name, _ in request.headers)
        if self._ended:
            http.next_event()

    @property
    def scope(self) -> dict[str, Any]:
        """The request line and headers."""
        target, _, query = self._request.target.partition(b"?")
        if not target.startswith(b"/"):  # absolute form (RFC 9112, section 3.2.2), or nonsense
            target = b"/" + target.partition(b"://")[2].partition(b"/")[2]
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": self._request.http_version.decode(),
            "method": self._request.method.decode().upper(),
            "scheme": "https",
            "path": unquote_to_bytes(target).decode(errors="replace"),
            "raw_path": target,
            "query_string": query,
            "root_path": "",
            "headers": list(self._request.headers),
            "client": self._address,
            "server": None,
            "extensions": {},
            "state": {},
        }

    async def receive(self) -> dict[str, Any]:
        """The next part of the body. Raises BodyRefused."""
        if self._told_end:
            # ASGI: the next event is the client's leaving, and we look only when we write.
            await trio.sleep_forever()
        if self._ended:
            self._told_end = True
            return {"type": "http.request", "body": b"", "more_body": False}
        with trio.move_on_at(self._body_deadline()):
            try:
                part = await self._body_part()
            except (h11.RemoteProtocolError, OSError) as error:  # nonsense, or it has left
                raise BodyRefused(too_slow=False) from error
            self._body_bytes += len(part)
            self._told_end = self._ended
            return {"type": "http.request", "body": part, "more_body": not self._ended}
        raise BodyRefused(too_slow=True)

    def _body_deadline(self) -> float:
        self._body_began_s = self._body_began_s or trio.current_time()
        allowed_s = self._patience.body_s + self._body_bytes / self._patience.body_bytes_per_s
        return self._body_began_s + allowed_s

    async def _body_part(self) -> bytes:
        while True:
            if self._http.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
                await self._stream.send(self._http.send(go_on) or b"")
            event = self._http.next_event()
            if isinstance(event, h11.Data):
                return bytes(event.data)
            if isinstance(event, h11.EndOfMessage):
                self._ended = True
                return b""
            with self._hears():
                data = await self._stream.receive()
            if not data:
                raise ConnectionResetError("the client left in the middle of a request")
            self._http.receive_data(data)

    async def send(self, message: Any) -> None:  # noqa: ANN401 - ASGI's
        """Send the answer; head and body leave together."""
        if message["type"] == "http.response.start":
            headers = list(message["headers"])
            if self._stop.is_set() or not self._ended:
                headers.append((b"connection", b"close"))
            self._start = h11.Response(status_code=message["status"], headers=headers)
            return
        data = b""
        if self._start is not None:
            data += self._http.send(self._start) or b""
            self._start = None
        if body := message.get("body", b""):
            data += self._http.send(h11.Data(data=body)) or b""
        if not message.get("more_body", False):
            data += self._http.send(h11.EndOfMessage()) or b""
        with trio.move_on_after(self._patience.answer_s) as taking:
            await self._stream.send(data)
        if taking.cancelled_caught:
            raise TimeoutError("the client does not take its answer")

    @property
    def may_have_another(self) -> bool:
        """Whether request and answer are complete, and the connection goes on."""
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
