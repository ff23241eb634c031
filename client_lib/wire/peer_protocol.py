"""The peer wire protocol as a peer speaks it that only uploads (BEP 3, 6, 10, 52).

Sans-I/O: `Handshake` both ways, `MessageReader` for what comes, one function for each message that
leaves. What an uploader has no use for (choke, piece, suggest, …) is read as `Ignored`.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from client_lib.errors import PeerProtocolError
from client_lib.wire.announce import PeerId
from client_lib.wire.infohash import TruncatedInfoHash

BLOCK_BYTES = 16_384
"""What libtorrent asks for at a time; larger requests are refused, as everywhere."""
HANDSHAKE_BYTES = 68
MAX_MESSAGE_BYTES = 1 << 17
"""No bitfield of a torrent that fits our limits is longer, and nothing else comes near it."""

_PROTOCOL = b"\x13BitTorrent protocol"
_FAST_EXTENSION = 0x04  # in the last reserved byte (BEP 6)
_V2 = 0x10  # likewise (BEP 52)


@dataclass(frozen=True, slots=True)
class Handshake:
    """The first 68 bytes of either side. `fast`: whether it speaks BEP 6."""

    info_hash: TruncatedInfoHash
    peer_id: PeerId
    fast: bool = True

    def encode(self) -> bytes:
        """Write it; we always speak BitTorrent v2."""
        reserved = bytes(7) + bytes([_V2 | (_FAST_EXTENSION if self.fast else 0)])
        return _PROTOCOL + reserved + self.info_hash + self.peer_id

    @classmethod
    def parse(cls, data: bytes) -> "Handshake":
        """Read 68 bytes. Raises PeerProtocolError."""
        if len(data) != HANDSHAKE_BYTES or not data.startswith(_PROTOCOL):
            raise PeerProtocolError("this is not a BitTorrent handshake")
        return cls(
            TruncatedInfoHash(data[28:48]), PeerId(data[48:68]), bool(data[27] & _FAST_EXTENSION)
        )


class Interested(NamedTuple):
    """The peer wants something that we have said to have, or no longer."""

    interested: bool


class Have(NamedTuple):
    """The peer has got a piece."""

    piece: int


class Bitfield(NamedTuple):
    """All that the peer has at the beginning: bit 7 of byte 0 is piece 0."""

    bits: bytes


class HaveAll(NamedTuple):
    """The peer is complete (BEP 6)."""


class HaveNone(NamedTuple):
    """The peer has nothing yet (BEP 6)."""


class Request(NamedTuple):
    """The peer wants a part of a piece, at most `BLOCK_BYTES`."""

    piece: int
    begin_bytes: int
    length_bytes: int


class Cancel(NamedTuple):
    """The peer wants it no more."""

    request: Request


class HashRequest(NamedTuple):
    """The peer wants hashes (BEP 52): all of it, to be refused by."""

    body: bytes


class Ignored(NamedTuple):
    """A message that says nothing to an uploader; also a keep-alive."""


Message = (
    Interested | Have | Bitfield | HaveAll | HaveNone | Request | Cancel | HashRequest | Ignored
)

_IGNORED = Ignored()
_NUMBER = struct.Struct(">I")
_TRIPLE = struct.Struct(">III")
_HAVE = struct.Struct(">IBI")
_PIECE = struct.Struct(">IBII")
_REJECT = struct.Struct(">IBIII")

KEEP_ALIVE = bytes(4)
UNCHOKE = b"\x00\x00\x00\x01\x01"
HAVE_NONE = b"\x00\x00\x00\x01\x0f"


class MessageReader:
    """Cuts a stream into messages, holding back what is not complete."""

    def __init__(self) -> None:
        """Start after the handshake."""
        self._received = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take what has come, give what is complete. Raises PeerProtocolError."""
        received = self._received
        received += data
        done = 0
        try:
            while len(received) - done >= 4:
                (length,) = _NUMBER.unpack_from(received, done)
                if length > MAX_MESSAGE_BYTES:
                    raise PeerProtocolError(f"a message of {length} bytes")
                end = done + 4 + length
                if len(received) < end:
                    return
                body = bytes(received[done + 4 : end])
                done = end
                yield _parse(body)
        finally:
            del received[:done]


def have(piece: int) -> bytes:
    """Write `have`."""
    return _HAVE.pack(5, 4, piece)


def piece_header(request: Request) -> bytes:
    """Write the head of `piece`; the block follows."""
    return _PIECE.pack(9 + request.length_bytes, 7, request.piece, request.begin_bytes)


def reject(request: Request) -> bytes:
    """Write `reject request` (BEP 6)."""
    return _REJECT.pack(13, 16, *request)


def hash_reject(request: HashRequest) -> bytes:
    """Write `hash reject` (BEP 52)."""
    return _NUMBER.pack(1 + len(request.body)) + b"\x17" + request.body


def _parse(body: bytes) -> Message:
    if not body:
        return _IGNORED
    kind, size = body[0], len(body)
    # By frequency: a download is requests and haves.
    if kind == 6 and size == 13:
        return Request(*_TRIPLE.unpack_from(body, 1))
    if kind == 4 and size == 5:
        return Have(_NUMBER.unpack_from(body, 1)[0])
    if kind == 8 and size == 13:
        return Cancel(Request(*_TRIPLE.unpack_from(body, 1)))
    if kind in (2, 3) and size == 1:
        return Interested(kind == 2)
    if kind == 5:
        return Bitfield(body[1:])
    if kind == 14 and size == 1:
        return HaveAll()
    if kind == 15 and size == 1:
        return HaveNone()
    if kind == 21 and size == 49:
        return HashRequest(body[1:])
    if kind in _EXPECTED_SIZES:
        raise PeerProtocolError(f"message {kind} has {size} bytes")
    return _IGNORED


_EXPECTED_SIZES = frozenset({2, 3, 4, 6, 8, 14, 15, 21})
