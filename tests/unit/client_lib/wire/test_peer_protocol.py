import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_lib.errors import PeerProtocolError
from client_lib.wire import peer_protocol
from client_lib.wire.announce import PeerId
from client_lib.wire.infohash import TruncatedInfoHash
from client_lib.wire.peer_protocol import (
    MAX_MESSAGE_BYTES,
    Bitfield,
    Cancel,
    Handshake,
    HashRequest,
    Have,
    HaveAll,
    HaveNone,
    Ignored,
    Interested,
    Message,
    MessageReader,
    Request,
)

HANDSHAKE = Handshake(TruncatedInfoHash(b"h" * 20), PeerId(b"-AS0200-abcdefghijkl"))
EXAMPLES: list[tuple[bytes, Message]] = [
    (bytes(4), Ignored()),
    (b"\0\0\0\1\0", Ignored()),
    (b"\0\0\0\1\1", Ignored()),
    (b"\0\0\0\1\2", Interested(True)),
    (b"\0\0\0\1\3", Interested(False)),
    (b"\0\0\0\5\4\0\0\1\0", Have(256)),
    (b"\0\0\0\3\5\xf0\x80", Bitfield(b"\xf0\x80")),
    (b"\0\0\0\x0d\6" + struct.pack(">III", 7, 16_384, 16_384), Request(7, 16_384, 16_384)),
    (b"\0\0\0\x0d\x08" + struct.pack(">III", 7, 0, 1), Cancel(Request(7, 0, 1))),
    (b"\0\0\0\1\x0e", HaveAll()),
    (b"\0\0\0\1\x0f", HaveNone()),
    (b"\0\0\0\x31\x15" + bytes(48), HashRequest(bytes(48))),
    (b"\0\0\0\3\x14\0d", Ignored()),
]


def test_handshake_as_in_bep_3_6_and_52() -> None:
    encoded = HANDSHAKE.encode()
    assert encoded == (
        b"\x13BitTorrent protocol" + bytes(7) + b"\x14" + b"h" * 20 + b"-AS0200-abcdefghijkl"
    )
    assert Handshake.parse(encoded) == HANDSHAKE
    assert not Handshake.parse(encoded[:27] + b"\x10" + encoded[28:]).fast


@pytest.mark.parametrize("bad", [b"", HANDSHAKE.encode()[:-1], b"\x12" + HANDSHAKE.encode()[1:]])
def test_what_is_no_handshake_is_refused(bad: bytes) -> None:
    with pytest.raises(PeerProtocolError, match="not a BitTorrent handshake"):
        Handshake.parse(bad)


@pytest.mark.parametrize(("data", "message"), EXAMPLES)
def test_messages_are_read(data: bytes, message: Message) -> None:
    assert list(MessageReader().feed(data)) == [message]


@given(st.lists(st.sampled_from(EXAMPLES)), st.lists(st.integers(1, 30)))
def test_messages_are_read_however_they_are_cut(
    examples: list[tuple[bytes, Message]], cuts: list[int]
) -> None:
    stream = b"".join(data for data, _ in examples)
    reader, read = MessageReader(), list[Message]()
    for cut in cuts:
        read += reader.feed(stream[:cut])
        stream = stream[cut:]
    read += reader.feed(stream)
    assert read == [message for _, message in examples]


@pytest.mark.parametrize(
    "bad",
    [
        struct.pack(">I", MAX_MESSAGE_BYTES + 1),
        b"\0\0\0\2\2\0",
        b"\0\0\0\4\4\0\0\0",
        b"\0\0\0\x0e\6" + bytes(13),
        b"\0\0\0\2\x0e\0",
        b"\0\0\0\2\x15\0",
    ],
)
def test_malformed_messages_are_refused(bad: bytes) -> None:
    with pytest.raises(PeerProtocolError):
        list(MessageReader().feed(bad))


@given(st.binary(max_size=300))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    reader = MessageReader()
    try:
        list(reader.feed(data))
        list(reader.feed(data))
    except PeerProtocolError:
        pass


def test_messages_are_written() -> None:
    request = Request(1, 16_384, 100)
    assert peer_protocol.have(256) == b"\0\0\0\5\4\0\0\1\0"
    assert peer_protocol.piece_header(request) == b"\0\0\0\x6d\7" + struct.pack(">II", 1, 16_384)
    assert peer_protocol.reject(request) == b"\0\0\0\x0d\x10" + struct.pack(">III", *request)
    assert peer_protocol.hash_reject(HashRequest(bytes(48))) == b"\0\0\0\x31\x17" + bytes(48)
