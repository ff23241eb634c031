"""Whoever may not have a release gets no byte of it over HTTPS, however it asks."""

import contextlib
import datetime as dt
from pathlib import Path

import httpx2
import pytest
import trio

from client_lib.wire.certificates import LicenceIdentity
from client_lib.wire.metainfo import Metainfo
from seeder.web_seed.connection import Patience
from tests.integration.seeder.rig import NodeRig, eventually
from tests.integration.seeder.test_strangers import LICENCE, WRONG, licence
from tests.integration.seeder.web_seed_rig import hosted, path_of
from tests.patience import PATIENCE_S

FAST = Patience(handshake_s=0.2, head_s=0.2, idle_s=0.2, answer_s=0.2, parting_s=0.2)


@pytest.fixture
def rig(tmp_path: Path) -> NodeRig:
    return NodeRig(tmp_path)


@pytest.mark.parametrize("which", WRONG)
async def test_wrong_certificate_gets_nothing(rig: NodeRig, which: str) -> None:
    meta = Metainfo.from_bytes(await rig.publish())
    leaf = WRONG[which](rig.licensing.pki, meta)
    with trio.fail_after(PATIENCE_S):
        async with hosted(rig) as seed, seed.visitor(leaf) as http:
            with contextlib.suppress(httpx2.TransportError):
                answer = await http.get(path_of(meta, "01.flac"))
                assert answer.status_code in (403, 503)  # 503: not heard of it
                assert len(answer.content) < 200
            assert seed.sent_bytes == 0


async def test_revoked_licence_is_refused(rig: NodeRig) -> None:
    meta = Metainfo.from_bytes(await rig.publish())
    leaf = licence(rig.licensing.pki, meta)
    rig.revoked.add(leaf.certificate.serial_number)
    with trio.fail_after(PATIENCE_S):
        async with hosted(rig) as seed, seed.visitor(leaf) as http:
            answer = await http.get(path_of(meta, "01.flac"))
            assert answer.status_code == 403
            assert "not valid any more" in answer.text
            assert seed.sent_bytes == 0


async def test_another_release_is_refused_also_on_a_connection_that_was_admitted(
    rig: NodeRig,
) -> None:
    meta = Metainfo.from_bytes(await rig.publish())
    other = Metainfo.from_bytes(await rig.publish("rel-0002"))
    with trio.fail_after(PATIENCE_S):
        async with hosted(rig) as seed, seed.visitor(licence(rig.licensing.pki, meta)) as http:
            assert (await http.get(path_of(meta, "empty.txt"))).status_code == 200
            answer = await http.get(path_of(other, "01.flac"))
            assert answer.status_code == 403
            assert seed.sent_bytes == 0


async def test_connection_is_cut_in_the_middle_when_the_licence_is_revoked(rig: NodeRig) -> None:
    meta = Metainfo.from_bytes(await rig.publish(size_bytes=20_000_000))
    leaf, other = licence(rig.licensing.pki, meta), licence(rig.licensing.pki, meta)
    request = f"GET {path_of(meta, '01.flac')} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with trio.fail_after(PATIENCE_S):
        async with hosted(rig) as seed, seed.raw(leaf) as stream, seed.raw(other) as neighbour:
            await stream.send_all(request)
            await neighbour.do_handshake()
            assert await stream.receive_some()
            rig.revoked.add(leaf.certificate.serial_number)
            seed.web_seed.cut_revoked()
            await eventually(lambda: len(seed.web_seed.connections) == 1)
            assert 0 < seed.sent_bytes < 20_000_000


async def test_connection_ends_with_its_certificate(rig: NodeRig) -> None:
    meta = Metainfo.from_bytes(await rig.publish(size_bytes=20_000_000))
    leaf = rig.licensing.pki.issue(LicenceIdentity(LICENCE, meta.name, meta.info_hash))
    one_second_left = leaf.certificate.not_valid_after_utc - dt.timedelta(seconds=1)
    request = f"GET {path_of(meta, '01.flac')} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with trio.fail_after(PATIENCE_S):
        async with hosted(rig, clock=lambda: one_second_left) as seed, seed.raw(leaf) as stream:
            await stream.send_all(request)
            assert await stream.receive_some()
            await eventually(lambda: not seed.web_seed.connections)
        # OpenSSL may resume a session without looking at the clock: the node does.
        later = leaf.certificate.not_valid_after_utc + dt.timedelta(seconds=1)
        async with hosted(rig, clock=lambda: later) as seed, seed.visitor(leaf) as http:
            assert (await http.get(path_of(meta, "01.flac"))).status_code == 403
            assert seed.sent_bytes == 0


TARGETS = [
    "/",
    "/releases",
    "/releases/",
    "/releases/{name}",
    "/releases/{name}/",
    "/releases/{name}/.",
    "/releases/{name}/..",
    "/releases/{name}/../{name}.torrent",
    "/releases/{name}/../../seeder.pem",
    "/releases/{name}/%2e%2e/%2e%2e/seeder.pem",
    "/releases/{name}/..%2f..%2fseeder.pem",
    "/releases/{name}/..%5c..%5cseeder.pem",
    "/releases/{name}//etc/passwd",
    "/releases/{name}/%2fetc%2fpasswd",
    "/releases//{name}/01.flac",
    "/releases/{name}/01.flac/",
    "/releases/{name}/./01.flac",
    "/releases/{name}/01.FLAC",
    "/releases/{name}/01.flac%00",
    "/releases/{name}/01.flac%",
    "/releases/{name}/01.flac%zz",
    "/releases/{name}/%ff%fe",
    "/releases/{name}/CD 2 Unicode/01.flac",
    "/releases/{name}/CD%202%20%C3%9Cn%C3%AFcode",
    "/releases/{name}/" + "a/" * 1_000,
    "/releases/{name}/" + "%61" * 3_000,
    "/Releases/{name}/01.flac",
    "/releases/{name}.torrent",
    "/releases/%2e%2e/{name}/01.flac",
    "releases/{name}/01.flac",
    "//releases/{name}/01.flac",
    "https://localhost//releases/{name}/01.flac",
    "ftp://localhost/releases/{name}/01.flac",
    "*",
]


@pytest.mark.parametrize("target", TARGETS)
async def test_paths_lead_nowhere_but_to_the_releases_files(rig: NodeRig, target: str) -> None:
    meta = Metainfo.from_bytes(await rig.publish())
    line = f"GET {target.format(name=meta.name)} HTTP/1.1\r\nHost: localhost\r\n"
    with trio.fail_after(PATIENCE_S):
        async with (
            hosted(rig) as seed,
            seed.raw(licence(rig.licensing.pki, meta)) as stream,
        ):
            await stream.send_all(f"{line}Connection: close\r\n\r\n".encode())
            answer = await everything(stream)
            assert answer.split(b" ", 2)[1] in (b"400", b"403", b"404")
            assert len(answer) < 400
            assert seed.sent_bytes == 0


NONSENSE = {
    "no HTTP": b"\x13BitTorrent protocol" + bytes(48) + b"\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "another version": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "a head without end": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40_000,
    "a smuggled request": b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /",
    "a body": b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd",
    "a header folded": b"GET / HTTP/1.1\r\nHost: x\r\n X: y\r\nBad Header\r\n\r\n",
}


@pytest.mark.parametrize("what", NONSENSE)
async def test_nonsense_ends_the_connection(rig: NodeRig, what: str) -> None:
    meta = Metainfo.from_bytes(await rig.publish())
    leaf = licence(rig.licensing.pki, meta)
    with trio.fail_after(PATIENCE_S):
        async with hosted(rig, patience=FAST) as seed:
            async with seed.raw(leaf) as stream:
                with contextlib.suppress(trio.BrokenResourceError):
                    await stream.send_all(NONSENSE[what])
                answer = await everything(stream)
                assert not answer or answer.split(b" ", 2)[1] in (b"400", b"404", b"431")
            await eventually(lambda: not seed.web_seed.connections)
            async with seed.visitor(leaf) as http:
                assert (await http.get(path_of(meta, "02.flac"))).status_code == 200


@pytest.mark.parametrize("words", [b"", b"GET / HTTP/1.1\r\nHost: loc"])
async def test_slow_heads_are_cut_off(rig: NodeRig, words: bytes) -> None:
    meta = Metainfo.from_bytes(await rig.publish())
    with trio.fail_after(PATIENCE_S):
        async with (
            hosted(rig, patience=FAST) as seed,
            seed.raw(licence(rig.licensing.pki, meta)) as stream,
        ):
            await stream.do_handshake()
            if words:
                await stream.send_all(words)
            assert await everything(stream) == b""
            await eventually(lambda: not seed.web_seed.connections)


async def test_who_does_not_take_its_answer_or_finish_its_handshake_is_cut_off(
    rig: NodeRig,
) -> None:
    meta = Metainfo.from_bytes(await rig.publish(size_bytes=30_000_000))
    request = f"GET {path_of(meta, '01.flac')} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with trio.fail_after(PATIENCE_S):
        async with (
            hosted(rig, patience=FAST) as seed,
            seed.raw(licence(rig.licensing.pki, meta)) as stream,
            await trio.open_tcp_stream("localhost", seed.port) as silent,
        ):
            await stream.send_all(request)
            assert await silent.receive_some() == b""
            await eventually(lambda: not seed.web_seed.connections)
            assert seed.sent_bytes < 30_000_000


async def test_when_it_is_full_who_waits_longest_makes_room(rig: NodeRig) -> None:
    meta = Metainfo.from_bytes(await rig.publish())
    with trio.fail_after(PATIENCE_S):
        async with hosted(rig, max_connections=2) as seed, contextlib.AsyncExitStack() as stack:
            for _ in range(2):
                await stack.enter_async_context(await trio.open_tcp_stream("localhost", seed.port))
            await eventually(lambda: len(seed.web_seed.connections) == 2)
            async with seed.visitor(licence(rig.licensing.pki, meta)) as http:
                assert (await http.get(path_of(meta, "02.flac"))).status_code == 200


async def everything(stream: trio.SSLStream[trio.SocketStream]) -> bytes:
    """Read until the other side hangs up, in whatever way."""
    received = b""
    with contextlib.suppress(trio.BrokenResourceError):
        async for data in stream:
            received += data
    return received
