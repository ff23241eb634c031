"""One customer's connection: handshakes, then its requests are answered until one side leaves.

The client's certificate is the licence: verified by TLS against the swarm CA, then compared with
the release. The connection ends with the certificate, or when its serial number is revoked.
"""

import collections
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog
import trio

from client_lib.errors import CertificateError, PeerProtocolError, StorageError
from client_lib.nursery import leaves, open_quiet_nursery
from client_lib.transport.stream import AcceptedStream
from client_lib.wire import peer_protocol
from client_lib.wire.announce import PeerId
from client_lib.wire.certificates import LicenceIdentity
from client_lib.wire.conventions import PEER_ID_SEEDER
from client_lib.wire.licence import LicenceId
from client_lib.wire.peer_protocol import (
    Bitfield,
    Cancel,
    Handshake,
    HashRequest,
    Have,
    HaveAll,
    HaveNone,
    MessageReader,
    Request,
)
from seeder.peers.gate import Gate, Licensed, NotLicensed
from seeder.peers.pace import Pace
from seeder.peers.refusal import Refusal
from seeder.peers.swarm import Swarm
from seeder.spread import Customer

FindSwarm = Callable[[str], Awaitable[Swarm | None]]
"""The swarm of a truncated info-hash in hexadecimal; loads it. Raises StorageError."""

_HANDSHAKE_S = 15.0
_SILENCE_S = 300.0
"""libtorrent says something every two minutes."""
_KEEP_ALIVE_S = 90.0
_MOST_REQUESTS = 2_048  # libtorrent's default queue is 500
_SENT_AT_ONCE_BYTES = 128 << 10
_EXPECTED = (
    OSError,  # it is gone, or TLS failed
    trio.TooSlowError,
    trio.BusyResourceError,  # it renegotiates TLS 1.2 while both directions are at work
    CertificateError,
    PeerProtocolError,
    StorageError,  # the release cannot be loaded, which the shelf has logged
)
log = structlog.get_logger()


class Connection:
    """A customer that is being served. `scope` may be cancelled at any time to get rid of it."""

    def __init__(
        self,
        stream: AcceptedStream,
        *,
        find_swarm: FindSwarm,
        gate: Gate,
        pace: Pace,
        on_admitted: "Callable[[Connection, LicenceId], None]",
    ) -> None:
        """Take a TLS stream before its handshake. `find_swarm` by the server name (hex).

        `on_admitted` is told once that the certificate is good, and for which licence.
        """
        self.scope = trio.CancelScope()
        self.licensed: Licensed | None = None
        """Who is at the other end, once it is admitted."""
        self.swarm: Swarm | None = None
        self.obstacle = Refusal.TLS
        """What was in the way, should it end before it has become a customer's."""
        self._stream = stream
        self._find_swarm = find_swarm
        self._gate = gate
        self._pace = pace
        self._on_admitted = on_admitted
        self.customer: Customer | None = None
        # In order, and found at once: a `cancel` that searched them all would cost 40 µs.
        self._requests: collections.OrderedDict[Request, None] = collections.OrderedDict()
        self._told: list[bytes] = []
        self._work = trio.Event()

    async def run(self) -> None:
        """Serve until either side closes; closes the socket. Raises nothing but cancellation."""
        try:
            with self.scope:
                with trio.fail_after(_HANDSHAKE_S):
                    fast = await self._shake_hands()
                await self._serve(fast=fast)
        except Exception as error:
            # One customer's connection must never end the others', whatever is wrong with it.
            found = leaves(error)
            self._note(found)
            unexpected = [leaf for leaf in found if not isinstance(leaf, _EXPECTED)]
            if unexpected:
                log.error("connection failed", exc_info=unexpected[0])
        finally:
            self._leave()
            self._stream.close()

    def tell(self) -> None:
        """Tell the customer of pieces that the policy means for it, if there are any."""
        if self.swarm is None or self.customer is None:
            return
        granted = self.swarm.spread.grant(self.customer)
        if granted:
            self._told.extend(peer_protocol.have(piece) for piece in granted)
            self._work.set()

    async def _shake_hands(self) -> bool:
        await self._stream.handshake()
        self.licensed = self._admit()
        swarm = await self._licensed_swarm(self.licensed.licence)
        self._on_admitted(self, self.licensed.licence.licence_id)
        self.obstacle = Refusal.PROTOCOL
        theirs = Handshake.parse(await self._stream.receive_exactly(peer_protocol.HANDSHAKE_BYTES))
        if theirs.info_hash != swarm.info_hash.truncated:
            raise PeerProtocolError("the handshake is for another release than TLS was")
        peer_id = PeerId(PEER_ID_SEEDER.encode() + secrets.token_bytes(12))
        ours = Handshake(swarm.info_hash.truncated, peer_id, fast=theirs.fast)
        hello = ours.encode() + (peer_protocol.HAVE_NONE if theirs.fast else b"")
        await self._stream.send(hello + peer_protocol.UNCHOKE)
        self.swarm = swarm
        return theirs.fast

    def _admit(self) -> Licensed:
        """Raises NotLicensed unless there is a licence for what the client asks for."""
        try:
            licensed = self._gate.admit(self._stream.peer_certificate())
            # Before the release is loaded, which takes time and memory.
            if licensed.licence.info_hash.hex[:40] != self._stream.server_name:
                raise NotLicensed(Refusal.OTHER_RELEASE, "the licence is for another release")
        except NotLicensed as error:
            self.obstacle = error.reason
            raise
        self.scope.deadline = trio.current_time() + licensed.left_s
        return licensed

    async def _licensed_swarm(self, licence: LicenceIdentity) -> Swarm:
        self.obstacle = Refusal.UNKNOWN_RELEASE
        swarm = await self._find_swarm(self._stream.server_name)
        if swarm is None:
            raise PeerProtocolError("no such release here")
        # Both, as libtorrent goes by the name and the tracker by the info-hash.
        if (licence.name, licence.info_hash) != (swarm.name, swarm.info_hash):
            self.obstacle = Refusal.OTHER_RELEASE
            raise NotLicensed(Refusal.OTHER_RELEASE, "the licence is for another release")
        return swarm

    async def _serve(self, *, fast: bool) -> None:
        assert self.swarm is not None  # noqa: S101 - set by the handshake
        self.customer = self.swarm.spread.join(trio.current_time())
        self.swarm.connections[self.customer] = self
        async with open_quiet_nursery() as nursery:
            nursery.start_soon(self._answer, self.swarm, fast)
            await self._listen(self.swarm, self.customer, fast=fast)
            nursery.cancel_scope.cancel()

    async def _listen(self, swarm: Swarm, customer: Customer, *, fast: bool) -> None:
        reader = MessageReader()
        began = introduced = False
        while True:
            with trio.fail_after(_SILENCE_S):
                data = await self._stream.receive()
            if not data:
                return
            gained: list[int] = []
            for message in reader.feed(data):
                if isinstance(message, Bitfield | HaveAll | HaveNone):
                    # Once (BEP 6). It takes time for every piece: 64 KiB of `have all` kept a node
                    # with 4,000 pieces from all its customers for 1.7 s.
                    if introduced:
                        raise PeerProtocolError("it has said before what it has")
                    introduced = True
                match message:
                    case Request():
                        self._take(swarm, customer, message, fast=fast)
                    case Have(piece):
                        if piece >= swarm.piece_count:
                            raise PeerProtocolError(f"piece {piece} of {swarm.piece_count}")
                        if not customer.have[piece]:
                            gained.append(piece)
                    case Bitfield(bits):
                        swarm.spread.gained(customer, _pieces(bits, swarm), earlier=True)
                    case HaveAll():
                        everything = range(swarm.piece_count)
                        swarm.spread.gained(customer, everything, earlier=True)
                    case Cancel(request):
                        self._requests.pop(request, None)
                    case HashRequest():
                        # It has all hashes of pieces in its torrent; blocks are below them.
                        self._answer_later(peer_protocol.hash_reject(message))
                    case _:
                        pass
            if gained:
                givers = swarm.spread.gained(customer, gained)
                swarm.tell(givers)
            if gained or not began:
                began = True
                self.tell()

    def _take(self, swarm: Swarm, customer: Customer, request: Request, *, fast: bool) -> None:
        """Queue a request, or refuse it: only pieces that the customer was told of are served.

        One that waits already is answered once.
        """
        good = (
            request.length_bytes <= peer_protocol.BLOCK_BYTES
            and swarm.in_bounds(request)
            and swarm.spread.may_ask(customer, request.piece)
        )
        if good:
            self._check_room()
            self._requests[request] = None
            self._work.set()
            return
        swarm.counters.refused_requests += 1
        if fast:
            self._answer_later(peer_protocol.reject(request))

    def _answer_later(self, message: bytes) -> None:
        self._check_room()
        self._told.append(message)
        self._work.set()

    def _check_room(self) -> None:
        if len(self._requests) + len(self._told) >= _MOST_REQUESTS:
            raise PeerProtocolError("more requests than anybody needs")

    async def _answer(self, swarm: Swarm, fast: bool) -> None:
        while True:
            with trio.move_on_after(_KEEP_ALIVE_S) as waiting:
                await self._work.wait()
            if waiting.cancelled_caught:
                await self._stream.send(peer_protocol.KEEP_ALIVE)
                continue
            self._work = trio.Event()
            while self._told or self._requests:
                told, self._told = self._told, []
                parts, payload_bytes = await self._blocks(swarm, fast=fast)
                await self._stream.send(b"".join((*told, *parts)))
                swarm.counters.uploaded_bytes += payload_bytes

    async def _blocks(self, swarm: Swarm, *, fast: bool) -> tuple[list[bytes | memoryview], int]:
        """The next blocks, up to what is sent at once, and how many bytes of payload they are."""
        parts: list[bytes | memoryview] = []
        size = 0
        while self._requests and size < _SENT_AT_ONCE_BYTES:
            request, _ = self._requests.popitem(last=False)
            piece = swarm.at_hand(request.piece)
            if piece is None:
                piece = await swarm.fetch(request.piece)
            if piece is None:
                if fast:
                    parts.append(peer_protocol.reject(request))
                continue
            begin = request.begin_bytes
            parts.append(peer_protocol.piece_header(request))
            parts.append(memoryview(piece)[begin : begin + request.length_bytes])
            size += request.length_bytes
        if size:
            await self._pace.take(size, swarm.flow)
        return parts, size

    def _note(self, errors: Sequence[BaseException]) -> None:
        if any(isinstance(error, trio.TooSlowError) for error in errors):
            self.obstacle = Refusal.SILENT
        elif any(isinstance(error, StorageError) for error in errors):
            self.obstacle = Refusal.UNAVAILABLE

    def _leave(self) -> None:
        if self.swarm is not None and self.customer is not None:
            del self.swarm.connections[self.customer]
            self.swarm.spread.leave(self.customer)


def _pieces(bits: bytes, swarm: Swarm) -> Iterable[int]:
    if len(bits) != (swarm.piece_count + 7) // 8:
        raise PeerProtocolError(f"a bitfield of {len(bits)} bytes for {swarm.piece_count} pieces")
    return (piece for piece in range(swarm.piece_count) if bits[piece >> 3] << (piece & 7) & 0x80)
