from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from client_lib.transport.listening import open_sockets
from client_lib.transport.tls import mutual_server_context
from client_lib.wire.certificates import HostIdentity
from tests.integration.tracker.rig import (
    FakeLicensing,
    Reachable,
    Rig,
    announce_head,
    running_tracker,
    until_closed,
)
from tests.pki import Leaf, SwarmPki, licence_identity
from tracker.serving.doors import MutualTlsDoor
from tracker.serving.exchange import Request
from tracker.serving.front_end import FrontEnd
from tracker.serving.patience import Patience


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with running_tracker(tmp_path, FakeLicensing(SwarmPki()), max_connections=8) as running:
        yield running


@pytest.fixture
def leaf(rig: Rig) -> Leaf:
    return rig.pki.issue(licence_identity(number=1))


async def assert_still_serving(rig: Rig) -> None:
    response = await rig.announce(rig.pki.issue(licence_identity(number=99)), left_bytes=0)
    assert response.complete >= 1


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"POST /announce/x HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /scrape HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /announce/ HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /announce/a/b HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /announce/../x HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (bytes(range(256)) + b"\r\n\r\n", 400),
        (b"GET /announce/" + b"a" * 100_000, 431),
    ],
)
async def test_what_is_no_announce_gets_its_status_and_the_door(
    rig: Rig, leaf: Leaf, raw: bytes, status: int
) -> None:
    async with rig.connected(leaf) as client:
        found, body = await client.request(raw)
        assert found == status
        assert b"Traceback" not in body
        assert await until_closed(client.stream) == b""
    await assert_still_serving(rig)


async def test_a_malformed_query_is_a_failure_reason_and_the_connection_lives(
    rig: Rig, leaf: Leaf
) -> None:
    async with rig.connected(leaf) as client:
        for query in (b"", b"?", b"?%%%", b"?info_hash=1&info_hash=2", b"?port=99999"):
            raw = b"GET /announce/x" + query + b" HTTP/1.1\r\nHost: x\r\n\r\n"
            status, body = await client.request(raw)
            assert status == 200
            assert body.startswith(b"d14:failure reason")
            assert b"malformed: " in body
        await client.announce(leaf, left_bytes=0)


async def test_requests_in_pieces_and_requests_in_one_piece_are_all_answered(
    rig: Rig, leaf: Leaf
) -> None:
    head = announce_head(leaf)
    async with rig.connected(leaf) as client:
        for at in range(0, len(head), 50):
            await client.stream.send_all(head[at : at + 50])
        assert (await client.response())[0] == 200
        await client.stream.send_all(head * 5)
        for _ in range(5):
            assert (await client.response())[0] == 200


@pytest.mark.parametrize(
    "sent", [b"", b"\x16", b"\x16\x03\x01\x02\x00" + b"\xff" * 512, b"\0" * 99]
)
async def test_a_client_that_never_finishes_its_handshake_is_cut_off(
    tmp_path: Path, sent: bytes
) -> None:
    licensing = FakeLicensing(SwarmPki())
    async with running_tracker(tmp_path, licensing, handshake_timeout_s=1.0) as rig:
        async with await trio.open_tcp_stream("localhost", rig.port) as tcp:
            await tcp.send_all(sent)
            assert b"HTTP" not in await until_closed(tcp)
        await assert_still_serving(rig)


@pytest.mark.parametrize(
    ("hurry", "answered", "sent"),
    [
        ("head_timeout_s", 0, b""),
        ("head_timeout_s", 0, b"GET /announce/x HTTP/1.1\r\nHost:"),
        ("head_timeout_s", 1, b"GET /announce/x HTTP/1.1\r\nHost:"),
        ("idle_timeout_s", 1, b""),
    ],
)
async def test_a_client_that_never_finishes_its_request_is_cut_off(
    tmp_path: Path, hurry: str, answered: int, sent: bytes
) -> None:
    patient: dict[str, Any] = {
        "handshake_timeout_s": 600,
        "head_timeout_s": 600,
        "idle_timeout_s": 600,
    }
    licensing = FakeLicensing(SwarmPki())
    async with running_tracker(tmp_path, licensing, **patient | {hurry: 1.0}) as rig:
        leaf = rig.pki.issue(licence_identity(number=1))
        async with rig.connected(leaf) as client:
            for _ in range(answered):
                await client.announce(leaf, left_bytes=0)
            if sent:
                await client.stream.send_all(sent)
            assert await until_closed(client.stream) == b""
        await assert_still_serving(rig)


async def test_a_half_closed_connection_is_let_go(rig: Rig, leaf: Leaf) -> None:
    async with rig.connected(leaf) as client:
        await client.stream.send_all(b"GET /announce/x HTTP/1.1\r\n")
        await client.stream.transport_stream.send_eof()
        assert await until_closed(client.stream) == b""
    await assert_still_serving(rig)


async def test_idle_connections_make_room_for_licensed_clients(tmp_path: Path) -> None:
    patient: dict[str, Any] = {
        "max_connections": 8,
        "handshake_timeout_s": 600,
        "idle_timeout_s": 600,
    }
    async with running_tracker(tmp_path, FakeLicensing(SwarmPki()), **patient) as rig:
        idle = [await trio.open_tcp_stream("localhost", rig.port) for _ in range(40)]
        await assert_still_serving(rig)
        for stream in idle:
            await stream.aclose()
        await assert_still_serving(rig)


async def test_a_bug_of_ours_is_a_500_without_detail_and_the_next_request_is_answered(
    tmp_path: Path,
) -> None:
    pki = SwarmPki()
    host = pki.issue(HostIdentity("tracker-1", ("localhost",)))
    credential = tmp_path / "host.pem"
    credential.write_text(host.key_pem + host.certificate_pem)

    def respond(request: Request) -> bytes:
        if request.head.path == b"/bug":
            raise ZeroDivisionError("secret detail")
        return b"fine"

    counted: Counter[str] = Counter()
    stop = trio.Event()
    front_end = FrontEnd(
        respond,
        count=lambda what: counted.update([what]),
        max_connections=8,
        patience=Patience(),
    )
    sockets = await open_sockets("localhost", 0, clients_speak_first=True)
    port = sockets[0].getsockname()[1]
    door = MutualTlsDoor(mutual_server_context(credential, pki.ca_pem), sockets)
    leaf = pki.issue(licence_identity())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(front_end.serve, [door], stop)
        tracker = Reachable(tmp_path, pki.ca_pem, port)
        for path, expected in ((b"/bug", (500, b"internal error\n")), (b"/", (200, b"fine"))):
            async with tracker.connected(leaf) as client:
                request = b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n"
                assert await client.request(request) == expected
        stop.set()
    assert counted["http_500"] == 1
