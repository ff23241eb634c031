"""One visitor's connection: TLS handshake, then requests until somebody has had enough.

The visitor's certificate is the licence: verified by TLS against the swarm CA, compared with the
release of every request. The connection ends with it, or when its serial number is revoked.
"""

import contextlib
import secrets
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any

import h11
import structlog
import trio

from client_lib.errors import StorageError
from client_lib.transport.stream import AcceptedStream
from seeder.origins.pieces import FilePieces
from seeder.peers.gate import Gate, Licensed, NotLicensed
from seeder.peers.pace import Pace
from seeder.peers.refusal import Refusal
from seeder.peers.swarm import Swarm
from seeder.web_seed.answer import Answer, Part, answer_for, refusal
from seeder.web_seed.body import Body, open_body
from seeder.web_seed.paths import parse_target

_MAX_HEAD_BYTES = 16_384
_RETRY_AFTER_S = 30
_SOON_S = 2
_UNREADABLE = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    HTTPStatus.NOT_IMPLEMENTED,
}
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a visitor may take before it is cut off."""

    handshake_s: float = 10.0
    head_s: float = 10.0
    """From the first byte of a request to the end of its head; also for the first request."""
    idle_s: float = 75.0
    """Between the requests of a connection."""
    answer_s: float = 60.0
    """To take a part of our answer, 128 KiB at most."""
    parting_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all connections share.

    `find_swarm`: by truncated info-hash in hexadecimal; raises StorageError.
    """

    find_swarm: Callable[[str], Awaitable[Swarm | None]]
    gate: Gate
    pace: Pace
    has_room: Callable[[str], bool]
    """Whether a licence id may have another connection."""
    on_sent: Callable[[int], None]
    patience: Patience = Patience()


@dataclass(frozen=True, slots=True)
class _Planned:
    """An answer, and for the spans in it the file that they are of."""

    answer: Answer
    swarm: Swarm | None = None
    file: FilePieces | None = None


class Connection:
    """A visitor that is being served. `scope` may be cancelled at any time to get rid of it.

    `waiting` has the connections that wait for their visitors: those can be cut without loss.
    """

    def __init__(
        self,
        stream: AcceptedStream,
        around: Surroundings,
        waiting: "dict[Connection, None]",
    ) -> None:
        """Take a TLS stream before its handshake."""
        self.scope = trio.CancelScope()
        self.visitor: Licensed | None = None
        self._stream = stream
        self._around = around
        self._patience = around.patience
        self._waiting = waiting
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD_BYTES)

    async def run(self) -> None:
        """Serve until either side closes; closes the socket. Raises nothing but cancellation."""
        try:
            with self.scope, contextlib.suppress(OSError, trio.TooSlowError):
                await self._serve()
                with trio.move_on_after(self._patience.parting_s):
                    await self._stream.part()
        except Exception:  # a bug of ours: one visitor pays for it, not the node
            log.exception("web seed connection failed")
        finally:
            self._waiting.pop(self, None)
            self._stream.close()

    async def _serve(self) -> None:
        self._waiting[self] = None
        with trio.fail_after(self._patience.handshake_s):
            try:
                await self._stream.handshake()
            except ssl.SSLError:
                return  # no certificate, or a wrong one; OpenSSL has sent the alert
        no = self._admit()
        first = True
        while (request := await self._request(first=first)) is not None:
            self._waiting.pop(self, None)
            planned = _Planned(no) if no is not None else await self._plan(request)
            await self._answer(request, planned)
            if no is not None or self._http.our_state is not h11.DONE:
                return
            self._http.start_next_cycle()
            self._waiting[self] = None
            first = False

    def _admit(self) -> Answer | None:
        """Note who the visitor is; a refusal for somebody without a licence that is good now."""
        try:
            visitor = self._around.gate.admit(self._stream.peer_certificate())
        except NotLicensed as error:
            if error.reason is Refusal.DRAINING:
                return _unavailable(str(error))
            return refusal(HTTPStatus.FORBIDDEN, str(error))
        if not self._around.has_room(visitor.licence.licence_id):
            return _unavailable("this licence has enough connections")
        self.scope.deadline = trio.current_time() + visitor.left_s
        self.visitor = visitor
        return None

    async def _request(self, *, first: bool) -> h11.Request | None:
        """The head of the next request, or None if there will be none."""
        begun = first or bool(self._http.trailing_data[0])
        with trio.CancelScope() as patience:
            limit_s = self._patience.head_s if begun else self._patience.idle_s
            patience.deadline = trio.current_time() + limit_s
            while True:
                try:
                    event = self._http.next_event()
                except h11.RemoteProtocolError as error:
                    await self._refuse(error.error_status_hint)
                    return None
                if isinstance(event, h11.Request):
                    await trio.lowlevel.checkpoint()  # pipelined: others have their turn
                    return event
                if event is not h11.NEED_DATA:
                    return None
                self._http.receive_data(await self._stream.receive())
                if not begun:
                    begun = True
                    patience.deadline = trio.current_time() + self._patience.head_s
        return None

    async def _plan(self, request: h11.Request) -> _Planned:
        """Decide on an answer: only the licence's own release, and only what is in its torrent."""
        assert self.visitor is not None  # noqa: S101 - admitted before
        licence = self.visitor.licence
        headers = _joined(request)
        if request.method not in (b"GET", b"HEAD"):
            why = "only GET and HEAD"
            return _Planned(refusal(HTTPStatus.METHOD_NOT_ALLOWED, why, (b"allow", b"GET, HEAD")))
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            return _Planned(refusal(HTTPStatus.BAD_REQUEST, "a request without a body is needed"))
        target = parse_target(request.target.decode("latin-1"))
        if target is None:
            return _Planned(refusal(HTTPStatus.NOT_FOUND, "/releases/NAME/FILE"))
        if target.name != licence.name:
            return _Planned(refusal(HTTPStatus.FORBIDDEN, "the licence is for another release"))
        try:
            swarm = await self._around.find_swarm(licence.info_hash.hex[:40])
        except StorageError:  # logged, and in the status
            return _Planned(_unavailable("the release cannot be served now"))
        if swarm is None:  # sold already, and not heard of here
            return _Planned(_unavailable("the release is not here yet", _SOON_S))
        # Both, as libtorrent goes by the name and the tracker by the info-hash.
        if (swarm.name, swarm.info_hash) != (licence.name, licence.info_hash):
            return _Planned(refusal(HTTPStatus.NOT_FOUND, "the release is not here"))
        file = swarm.file(target.path)
        if file is None:
            return _Planned(refusal(HTTPStatus.NOT_FOUND, "the release has no such file"))
        answer = answer_for(
            file.file,
            headers,
            whole=request.method == b"HEAD",
            boundary=lambda: secrets.token_hex(16),
        )
        return _Planned(answer, swarm, file)

    async def _answer(self, request: h11.Request, planned: _Planned) -> None:
        if planned.swarm is None or planned.file is None or request.method == b"HEAD":
            await self._send_answer(request, planned.answer)
            return
        async with open_body(planned.swarm, planned.file, planned.answer.parts) as body:
            try:
                await body.prepare()
            except StorageError:
                await self._send_answer(request, _unavailable("the file cannot be read now"))
                return
            await self._send_head(planned.answer)
            await self._send_body(body)

    async def _send_body(self, body: Body) -> None:
        """Send verified bytes. Raises ConnectionAbortedError when there are none to send."""
        while True:
            try:
                chunk = await body.next_chunk()
            except StorageError as error:
                # The head has promised more: closing is the only way to say so.
                raise ConnectionAbortedError("the rest cannot be read") from error
            if chunk is None:
                break
            if chunk.payload:
                await self._around.pace.take(len(chunk.data), body.flow)
            data: Any = chunk.data  # a view of the piece: h11 passes it through
            for raw in self._http.send_with_data_passthrough(h11.Data(data=data)) or ():
                await self._send(raw)
            if chunk.payload:
                body.count(len(chunk.data))
                self._around.on_sent(len(chunk.data))
        self._http.send(h11.EndOfMessage())

    async def _send_answer(self, request: h11.Request, answer: Answer) -> None:
        await self._send_head(answer)
        if request.method != b"HEAD":
            for part in answer.parts:
                await self._send(self._http.send(h11.Data(data=_as_bytes(part))) or b"")
        self._http.send(h11.EndOfMessage())

    async def _send_head(self, answer: Answer) -> None:
        headers = [*answer.headers]
        headers.append((b"date", format_datetime(self._around.gate.clock(), usegmt=True).encode()))
        if answer.status is not HTTPStatus.NOT_MODIFIED:
            headers.append((b"content-length", b"%d" % answer.length_bytes))
        if self.visitor is None or not self._is_read():
            headers.append((b"connection", b"close"))
        head = h11.Response(
            status_code=answer.status.value, headers=headers, reason=answer.status.phrase.encode()
        )
        await self._send(self._http.send(head) or b"")

    def _is_read(self) -> bool:
        """Whether the request is read to its end: what has a body is not read further."""
        try:
            return isinstance(self._http.next_event(), h11.EndOfMessage)
        except h11.RemoteProtocolError:
            return False

    async def _refuse(self, status: int) -> None:
        """Say no to what is no HTTP."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        code = HTTPStatus(status) if status in _UNREADABLE else HTTPStatus.BAD_REQUEST
        headers = [(b"content-length", b"0"), (b"connection", b"close")]
        head = h11.Response(status_code=code.value, headers=headers, reason=code.phrase.encode())
        await self._send(
            (self._http.send(head) or b"") + (self._http.send(h11.EndOfMessage()) or b"")
        )

    async def _send(self, data: Any) -> None:  # noqa: ANN401 - h11's bytes or memoryview
        with trio.fail_after(self._patience.answer_s):
            await self._stream.send(data)


def _unavailable(why: str, after_s: int = _RETRY_AFTER_S) -> Answer:
    after = (b"retry-after", b"%d" % after_s)
    return refusal(HTTPStatus.SERVICE_UNAVAILABLE, why, after)


def _as_bytes(part: Part) -> bytes:
    if not isinstance(part, bytes):
        raise TypeError("a span without its file")
    return part


def _joined(request: h11.Request) -> dict[str, str]:
    """Headers by name; repeated ones as a list (RFC 9110, section 5.3)."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in request.headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
