"""Whoever may not have a release gets no byte of it from a node, however it asks."""

import contextlib
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from client_lib.wire import peer_protocol
from client_lib.wire.announce import PeerId
from client_lib.wire.certificates import HostIdentity, LicenceIdentity, SeederIdentity
from client_lib.wire.infohash import TruncatedInfoHash
from client_lib.wire.licence import licence_id_from
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.peer_protocol import Handshake
from client_lib.wire.release import TorrentName
from seeder.peers.listener import MOST_OF_A_LICENCE
from seeder.peers.refusal import Refusal
from tests.integration.seeder.rig import HOST, NodeRig, Serving, eventually
from tests.patience import PATIENCE_S
from tests.pki import Leaf, SwarmPki, utc_now

PEER_ID = PeerId(b"-XX0000-abcdefghijkl")
LICENCE = licence_id_from(bytes(16))


@pytest.fixture
def rig(tmp_path: Path) -> NodeRig:
    return NodeRig(tmp_path)


@contextlib.asynccontextmanager
async def shaking_hands(
    rig: NodeRig, serving: Serving, leaf: Leaf | None, meta: Metainfo, *, name: str | None = None
) -> AsyncIterator[trio.SSLStream[trio.SocketStream]]:
    """A TLS connection of a peer of our own making."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=rig.licensing.pki.ca_pem)
    if leaf is not None:
        file = rig.root / "stranger.pem"
        file.write_text(leaf.key_pem + leaf.certificate_pem)
        context.load_cert_chain(file)
    plain = await trio.open_tcp_stream(HOST, serving.port)
    async with trio.SSLStream(
        plain, context, server_hostname=name or meta.info_hash.hex[:40]
    ) as stream:
        yield stream


def hello(info_hash: TruncatedInfoHash) -> bytes:
    return Handshake(info_hash, PEER_ID).encode() + peer_protocol.HAVE_NONE


def request(piece: int, begin: int = 0, length: int = 16_384) -> bytes:
    return b"\x00\x00\x00\x0d\x06" + b"".join(n.to_bytes(4, "big") for n in (piece, begin, length))


async def everything(stream: trio.SSLStream[trio.SocketStream]) -> bytes:
    """Read until the other side hangs up, in whatever way."""
    received = b""
    with contextlib.suppress(trio.BrokenResourceError):
        async for data in stream:
            received += data
    return received


def licence(pki: SwarmPki, meta: Metainfo) -> Leaf:
    return pki.issue(LicenceIdentity(LICENCE, meta.name, meta.info_hash))


WRONG: dict[str, Callable[[SwarmPki, Metainfo], Leaf | None]] = {
    "no certificate": lambda pki, meta: None,
    "another CA": lambda pki, meta: licence(SwarmPki(), meta),
    "another release": lambda pki, meta: pki.issue(
        LicenceIdentity(LICENCE, TorrentName("rel-0009.flac"), meta.info_hash.of(b"de"))
    ),
    "the info-hash of the release, another name": lambda pki, meta: pki.issue(
        LicenceIdentity(LICENCE, TorrentName("rel-0009.flac"), meta.info_hash)
    ),
    "the name of the release, another info-hash": lambda pki, meta: pki.issue(
        LicenceIdentity(LICENCE, meta.name, meta.info_hash.of(b"de"))
    ),
    "expired": lambda pki, meta: pki.expired(LicenceIdentity(LICENCE, meta.name, meta.info_hash)),
    "not yet valid": lambda pki, meta: pki.issue(
        LicenceIdentity(LICENCE, meta.name, meta.info_hash), now=utc_now() + dt.timedelta(days=2)
    ),
    "a host": lambda pki, meta: pki.issue(HostIdentity("tracker", ("tracker.example.com",))),
    "a seeder": lambda pki, meta: pki.issue(SeederIdentity("seeder-2")),
}


@pytest.mark.parametrize("which", WRONG)
async def test_wrong_certificate_gets_not_even_a_handshake(rig: NodeRig, which: str) -> None:
    meta = Metainfo.from_bytes(await rig.publish())
    leaf = WRONG[which](rig.licensing.pki, meta)
    with trio.fail_after(PATIENCE_S):
        async with rig.node() as serving:
            received = b""
            with contextlib.suppress(trio.BrokenResourceError):
                async with shaking_hands(rig, serving, leaf, meta) as stream:
                    await stream.send_all(hello(meta.info_hash.truncated) + request(0))
                    received = await everything(stream)
            await eventually(lambda: serving.listener.refused.total() == 1)
            assert received == b""
            assert serving.uploaded_bytes == 0
            if which != "the info-hash of the release, another name":
                assert not serving.node.shelf.loaded  # nothing is read for strangers


async def test_revoked_licence_is_refused(rig: NodeRig) -> None:
    meta = Metainfo.from_bytes(await rig.publish())
    leaf = licence(rig.licensing.pki, meta)
    rig.revoked.add(leaf.certificate.serial_number)
    with trio.fail_after(PATIENCE_S):
        async with rig.node() as serving:
            async with shaking_hands(rig, serving, leaf, meta) as stream:
                await stream.send_all(hello(meta.info_hash.truncated) + request(0))
                assert await everything(stream) == b""
            assert serving.uploaded_bytes == 0


async def test_connection_ends_when_the_licence_is_revoked(rig: NodeRig) -> None:
    meta = Metainfo.from_bytes(await rig.publish())
    leaf = licence(rig.licensing.pki, meta)
    with trio.fail_after(PATIENCE_S):
        async with rig.node() as serving, shaking_hands(rig, serving, leaf, meta) as stream:
            await stream.send_all(hello(meta.info_hash.truncated))
            assert await stream.receive_some()
            rig.revoked.add(leaf.certificate.serial_number)
            serving.listener.cut_revoked()
            await everything(stream)
            await eventually(lambda: not serving.listener.connections)


async def test_connection_ends_with_its_certificate(rig: NodeRig) -> None:
    meta = Metainfo.from_bytes(await rig.publish())
    identity = LicenceIdentity(LICENCE, meta.name, meta.info_hash)
    leaf = rig.licensing.pki.issue(identity)
    one_second_left = leaf.certificate.not_valid_after_utc - dt.timedelta(seconds=1)
    with trio.fail_after(PATIENCE_S):
        async with (
            rig.node(clock=lambda: one_second_left) as serving,
            shaking_hands(rig, serving, leaf, meta) as stream,
        ):
            await stream.send_all(hello(meta.info_hash.truncated))
            assert await stream.receive_some()
            await everything(stream)


async def test_pieces_that_were_not_offered_are_refused(rig: NodeRig) -> None:
    meta = Metainfo.from_bytes(await rig.publish(size_bytes=16_000_000))
    leaf = licence(rig.licensing.pki, meta)
    with trio.fail_after(PATIENCE_S):
        async with rig.node() as serving, shaking_hands(rig, serving, leaf, meta) as stream:
            await stream.send_all(hello(meta.info_hash.truncated))
            offered = await _offered(stream)
            pieces = meta.size_bytes // meta.piece_length_bytes
            others = [piece for piece in range(pieces) if piece not in offered]
            bad = [
                *(request(piece) for piece in others),
                request(min(offered), length=16_385),
                request(min(offered), length=0),
                request(min(offered), begin=meta.piece_length_bytes),
                request(1 << 31),
            ]
            await stream.send_all(b"".join(bad))
            received = b""
            while received.count(b"\x00\x00\x00\x0d\x10") < len(bad):
                received += await stream.receive_some()
            assert serving.uploaded_bytes == 0


async def _offered(stream: trio.SSLStream[trio.SocketStream]) -> set[int]:
    received = b""
    while b"\x00\x00\x00\x05\x04" not in received:
        received += bytes(await stream.receive_some())
    haves = received[received.index(b"\x00\x00\x00\x05\x04") :]
    return {int.from_bytes(haves[at + 5 : at + 9], "big") for at in range(0, len(haves), 9)}


NONSENSE = {
    "another protocol": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + bytes(60),
    "another release": hello(TruncatedInfoHash(bytes(20))),
    "a message too long": b"\x7f\xff\xff\xff\x05",
    "a have out of range": b"\x00\x00\x00\x05\x04\x7f\xff\xff\xff",
    "a bitfield too short": b"\x00\x00\x00\x02\x05\xff",
    "a request of a wrong size": b"\x00\x00\x00\x02\x06\x00",
    "everything, once more and more": b"\x00\x00\x00\x01\x0e" * 2,
    "requests without end": b"".join(request(0, n, 16_000) for n in range(20_000)),
    "hash requests without end": (b"\x00\x00\x00\x31\x15" + bytes(48))
    * 400_000,  # more than all buffers hold
}


@pytest.mark.parametrize("what", NONSENSE)
async def test_nonsense_ends_the_connection_and_moves_nothing(rig: NodeRig, what: str) -> None:
    meta = Metainfo.from_bytes(await rig.publish())
    leaf = licence(rig.licensing.pki, meta)
    begins = b"" if what.startswith("another") else hello(meta.info_hash.truncated)
    with trio.fail_after(PATIENCE_S):
        async with rig.node() as serving, shaking_hands(rig, serving, leaf, meta) as stream:
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(begins + NONSENSE[what])
                await everything(stream)
            await eventually(lambda: not serving.listener.connections)
            if what != "requests without end":
                assert serving.uploaded_bytes == 0


async def test_a_block_that_is_asked_for_again_and_again_is_sent_once(rig: NodeRig) -> None:
    meta = Metainfo.from_bytes(await rig.publish())
    leaf = licence(rig.licensing.pki, meta)
    with trio.fail_after(PATIENCE_S):
        async with rig.node() as serving, shaking_hands(rig, serving, leaf, meta) as stream:
            await stream.send_all(hello(meta.info_hash.truncated))
            piece = min(await _offered(stream))
            await stream.send_all(request(piece) * 50 + request(piece, begin=16_384))
            received = bytearray()
            while len(received) < 2 * (16_384 + 13):
                received += await stream.receive_some()
            assert received[16_397 + 5 : 16_397 + 13] == piece.to_bytes(4, "big") + (
                16_384
            ).to_bytes(4, "big")
            await eventually(lambda: serving.uploaded_bytes == 2 * 16_384)


async def test_strangers_who_shake_hands_for_ever_make_room_for_customers(rig: NodeRig) -> None:
    meta = Metainfo.from_bytes(await rig.publish())
    leaf = licence(rig.licensing.pki, meta)
    with trio.fail_after(PATIENCE_S):
        async with rig.node() as serving, contextlib.AsyncExitStack() as strangers:
            for _ in range(20):  # all places of the rig's node
                plain = await trio.open_tcp_stream(HOST, serving.port)
                await strangers.enter_async_context(plain)
            await eventually(lambda: len(serving.listener.connections) == 20)
            async with shaking_hands(rig, serving, leaf, meta) as stream:
                await stream.send_all(hello(meta.info_hash.truncated))
                assert await _offered(stream)
            assert serving.listener.refused[Refusal.NO_ROOM] == 1
            assert serving.uploaded_bytes == 0


async def test_a_licence_has_so_many_connections_and_the_oldest_makes_room(rig: NodeRig) -> None:
    meta = Metainfo.from_bytes(await rig.publish())
    leaf = licence(rig.licensing.pki, meta)
    with trio.fail_after(PATIENCE_S):
        async with rig.node() as serving, contextlib.AsyncExitStack() as customers:
            streams = []
            for _ in range(MOST_OF_A_LICENCE + 1):
                stream = await customers.enter_async_context(
                    shaking_hands(rig, serving, leaf, meta)
                )
                await stream.send_all(hello(meta.info_hash.truncated))
                assert await stream.receive_some()
                streams.append(stream)
            await everything(streams[0])  # until it ends
            await eventually(lambda: len(serving.listener.connections) == MOST_OF_A_LICENCE)
            assert await _offered(streams[-1])


@pytest.mark.parametrize("name", ["", "localhost", "0" * 40, "a" * 63])
async def test_unknown_server_name_is_refused(rig: NodeRig, name: str) -> None:
    meta = Metainfo.from_bytes(await rig.publish())
    leaf = licence(rig.licensing.pki, meta)
    with trio.fail_after(PATIENCE_S):
        async with rig.node() as serving:
            async with shaking_hands(rig, serving, leaf, meta, name=name or "x.invalid") as stream:
                await stream.send_all(hello(meta.info_hash.truncated) + request(0))
                assert await everything(stream) == b""
            assert serving.uploaded_bytes == 0


async def test_what_goes_wrong_with_one_connection_is_logged_and_ends_no_other(
    rig: NodeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta = Metainfo.from_bytes(await rig.publish())
    leaf = licence(rig.licensing.pki, meta)
    with trio.fail_after(PATIENCE_S):
        async with rig.node() as serving, shaking_hands(rig, serving, leaf, meta) as good:
            await good.send_all(hello(meta.info_hash.truncated))
            offered = await _offered(good)

            def broken(*_: object) -> None:
                raise LookupError("a defect of ours")

            monkeypatch.setattr(Handshake, "parse", broken)
            with capture_logs() as logs:
                async with shaking_hands(rig, serving, leaf, meta) as stream:
                    await stream.send_all(hello(meta.info_hash.truncated))
                    assert await everything(stream) == b""
                await eventually(lambda: len(serving.listener.connections) == 1)
            assert [entry["event"] for entry in logs] == ["connection failed"]
            await good.send_all(request(min(offered)))
            assert len(await good.receive_some()) > 0
            await eventually(lambda: serving.uploaded_bytes == 16_384)
