"""An HTTP/1.1 client for services that are asked small questions (RFC 9110, 9112).

What it leaves out is left out on purpose: redirects are answers like others, nothing is
compressed, an answer is read whole up to a limit, and only `https` exists.
"""

import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import h11
import trio

from client_lib.errors import AnswerLost, UnreachableError
from client_lib.transport.address import ServiceAddress
from client_lib.transport.connecting import MAX_HEAD_BYTES, TlsStream, cause_in_words, connect
from client_lib.transport.proxies import environment_proxy

SILENCE_S = 30.0
_STEP_BYTES = 65_536  # every so many bytes have SILENCE_S to come or go
_IDLE_S = 30.0
_MOST_INTERIM_ANSWERS = 16
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT"})  # of those that we use (RFC 9110, section 9.2.2)
_CLOSE_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Status, headers by lower-case name (of repeated ones the last), and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Http(Protocol):
    """Asks services: `HttpClient`, or a fake one."""

    async def ask(
        self,
        service: str,
        method: str,
        path: str,
        *,
        max_bytes: int,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpAnswer:
        """Ask the service at the URL `service` and return its answer, whatever its status.

        Raises UnreachableError: nobody there or whom we trust, no answer in time, one that is no
        HTTP or larger than `max_bytes`; AnswerLost: the connection broke once it stood.
        """


class HttpClient:
    """Connections to services, kept open for a while after an answer. Make it with `open_http`.

    At most `connections` at a time to each service; who asks more waits. Any task may ask.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        headers: Mapping[str, str] | None = None,
        proxies: bool = False,
        silence_s: float = SILENCE_S,
        connections: int = 8,
    ) -> None:
        """Take whom to trust and as whom we come; `headers` go with every request.

        With `proxies` the environment's are used. A service that says nothing for `silence_s`
        seconds, or sends or takes less than 64 KiB in them, is given up.
        """
        self._context = context
        self._headers = dict(headers or {})
        self._proxies = proxies
        self._silence_s = silence_s
        self._connections = connections
        self._services: dict[str, _Service] = {}

    async def ask(
        self,
        service: str,
        method: str,
        path: str,
        *,
        max_bytes: int,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpAnswer:
        """See `Http`."""
        known = self._services.get(service)
        if known is None:
            address = ServiceAddress.from_url(service)
            known = _Service(address, trio.CapacityLimiter(self._connections))
            self._services[service] = known
        asked = _Question(
            head=_head(known.address, method, path, {**self._headers, **(headers or {})}, body),
            body=body or b"",
            max_bytes=max_bytes,
        )
        async with known.slots:
            kept = await known.take()
            if kept is not None:
                try:
                    return await self._exchange(known, kept, asked)
                except AnswerLost:
                    # It was closed while our request was on its way (RFC 9112, section 9.3.1).
                    if kept.heard or method not in _IDEMPOTENT:
                        raise
            proxy = environment_proxy(known.address) if self._proxies else None
            stream, tcp = await connect(known.address, self._context, proxy)
            return await self._exchange(known, _Connection(stream, tcp), asked)

    async def _exchange(
        self, service: "_Service", connection: "_Connection", asked: "_Question"
    ) -> HttpAnswer:
        url = service.address.url
        try:
            with trio.fail_after(self._silence_s) as scope:
                answer = await connection.exchange(asked, scope, self._silence_s, url)
        except BaseException as error:
            await trio.aclose_forcefully(connection.stream)
            if isinstance(error, trio.TooSlowError):
                raise UnreachableError(url, "no answer in time") from error
            if isinstance(error, (trio.BrokenResourceError, h11.RemoteProtocolError, OSError)):
                raise AnswerLost(url, cause_in_words(error)) from error
            raise
        if connection.next_question():
            service.idle.append(connection)
        else:
            await connection.close()
        return answer

    async def aclose(self) -> None:
        """Close what is open. Nobody may be asking any more."""
        for service in self._services.values():
            while service.idle:
                await service.idle.pop().close()
        await trio.lowlevel.checkpoint()


@contextlib.asynccontextmanager
async def open_http(
    context: ssl.SSLContext,
    *,
    headers: Mapping[str, str] | None = None,
    proxies: bool = False,
    silence_s: float = SILENCE_S,
) -> AsyncIterator[HttpClient]:
    """Open a client; at the end of the block its connections are closed. See `HttpClient`."""
    client = HttpClient(context, headers=headers, proxies=proxies, silence_s=silence_s)
    try:
        yield client
    finally:
        await client.aclose()


@dataclass(frozen=True, slots=True, repr=False)  # its headers hold the bearer
class _Question:
    head: h11.Request
    body: bytes
    max_bytes: int


@dataclass(slots=True)
class _Service:
    address: ServiceAddress
    slots: trio.CapacityLimiter
    idle: "list[_Connection]" = field(default_factory=list)

    async def take(self) -> "_Connection | None":
        """Take the connection used last, if it is still good; close those that are not."""
        while self.idle:
            connection = self.idle.pop()
            if connection.is_fresh():
                return connection
            await trio.aclose_forcefully(connection.stream)
        return None


class _Connection:
    def __init__(self, stream: TlsStream, tcp: trio.SocketStream) -> None:
        self.stream = stream
        self.heard = False
        self._tcp = tcp
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._idle_since_s = 0.0

    async def exchange(
        self, asked: _Question, scope: trio.CancelScope, silence_s: float, url: str
    ) -> HttpAnswer:
        """Ask and read the answer, moving the scope's deadline as bytes come and go."""

        def on_progress() -> None:
            scope.deadline = trio.current_time() + silence_s

        self.heard = False
        unsent: trio.BrokenResourceError | None = None
        try:
            await self._send(asked, on_progress)
        except trio.BrokenResourceError as error:
            unsent = error  # whoever refuses a long body answers before it has come, and closes
        try:
            return await self._read(asked.max_bytes, on_progress, url)
        except (trio.BrokenResourceError, h11.RemoteProtocolError):
            if unsent is not None:
                raise unsent from None
            raise

    def next_question(self) -> bool:
        """Make ready for another question; tell whether that may be."""
        done = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        if not done or self._http.trailing_data[0]:
            return False
        self._http.start_next_cycle()
        self._idle_since_s = trio.current_time()
        return True

    def is_fresh(self) -> bool:
        """Tell whether the service has neither closed it nor said what nobody asked for."""
        rested_s = trio.current_time() - self._idle_since_s
        return rested_s < _IDLE_S and not self._tcp.socket.is_readable()

    async def close(self) -> None:
        """Say goodbye, as far as that works at once."""
        with trio.move_on_after(_CLOSE_WITHIN_S), contextlib.suppress(trio.BrokenResourceError):
            await self.stream.aclose()

    async def _send(self, asked: _Question, on_progress: "_OnProgress") -> None:
        pieces = [self._http.send(asked.head) or b""]
        if asked.body:
            pieces.append(self._http.send(h11.Data(data=asked.body)) or b"")
        pieces.append(self._http.send(h11.EndOfMessage()) or b"")
        data = memoryview(b"".join(pieces))
        for start in range(0, len(data), _STEP_BYTES):
            await self.stream.send_all(data[start : start + _STEP_BYTES])
            on_progress()

    async def _read(self, max_bytes: int, on_progress: "_OnProgress", url: str) -> HttpAnswer:
        head = await self._head()
        on_progress()
        headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
        if headers.get("content-encoding", "identity") != "identity":
            raise UnreachableError(url, "the answer is compressed, and nobody asked for that")
        received, step = bytearray(), _STEP_BYTES
        while isinstance(event := await self._event(), h11.Data):
            received += event.data
            if len(received) > max_bytes:
                raise UnreachableError(url, f"the answer is larger than {max_bytes} bytes")
            if len(received) >= step:
                step = len(received) + _STEP_BYTES
                on_progress()
        return HttpAnswer(head.status_code, headers, bytes(received))

    async def _head(self) -> h11.Response:
        for _ in range(_MOST_INTERIM_ANSWERS):
            event = await self._event()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise h11.RemoteProtocolError("the connection ended before the answer")
        raise h11.RemoteProtocolError("interim answers without end")

    async def _event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            data = await self.stream.receive_some(_STEP_BYTES)
            self.heard = self.heard or bool(data)
            self._http.receive_data(bytes(data))
        return event


class _OnProgress(Protocol):
    def __call__(self) -> None: ...


def _head(
    address: ServiceAddress, method: str, path: str, headers: Mapping[str, str], body: bytes | None
) -> h11.Request:
    lines = [("Host", address.host_header), *headers.items()]
    if body is not None:
        lines.append(("Content-Length", str(len(body))))
    return h11.Request(method=method, target=address.base_path + path, headers=lines)
