"""The front end by itself, with answers of the tests' own: those that are waited for above all."""

import contextlib
import math
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from client_lib.transport.listening import open_sockets
from tests.integration.tracker.rig import (
    Client,
    FakeLicensing,
    announce_head,
    running_tracker,
    until_closed,
)
from tests.patience import PATIENCE_S
from tests.pki import SwarmPki, licence_identity
from tracker.serving.doors import PlainDoor
from tracker.serving.exchange import Answer, Request, Waiting
from tracker.serving.front_end import FrontEnd
from tracker.serving.head import HeadRefused
from tracker.serving.patience import Patience
from tracker.serving.sender import TrustedProxies


@dataclass
class Answers:
    """`/now…` is answered with its path; `/wait…` once `let_go` is set."""

    let_go: trio.Event = field(default_factory=trio.Event)
    begun: trio.Event = field(default_factory=trio.Event)
    cancelled: trio.Event = field(default_factory=trio.Event)
    large_bytes: int = 0

    def __call__(self, request: Request) -> bytes | Waiting:
        if request.head.path.startswith(b"/wait"):
            return self._wait(request.head.path)
        return request.head.path + b"." * self.large_bytes

    async def _wait(self, path: bytes) -> Answer:
        self.begun.set()
        try:
            await self.let_go.wait()
        except trio.Cancelled:
            self.cancelled.set()
            raise
        if path == b"/wait/refused":
            raise HeadRefused(403, "seeders only")
        if path == b"/wait/bug":
            raise ZeroDivisionError("secret detail")
        return Answer(b"{}", 200, b"application/json")


@dataclass
class Serving:
    answers: Answers
    port: int
    stop: trio.Event
    counted: Counter[str]

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator["PlainClient"]:
        async with await trio.open_tcp_stream("localhost", self.port) as stream:
            yield PlainClient(stream)


@dataclass
class PlainClient:
    stream: trio.SocketStream

    def __post_init__(self) -> None:
        self.response = Client(self.stream).response  # type: ignore[arg-type]

    async def send(self, *paths: str) -> None:
        await self.stream.send_all(b"".join(map(get, paths)))

    async def ask(self, path: str) -> tuple[int, bytes]:
        await self.send(path)
        return await self.response()


def get(path: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nClient-Cert: :AA==:\r\n"
        "X-Forwarded-For: 192.0.2.1\r\n\r\n"
    ).encode()


@contextlib.asynccontextmanager
async def serving(
    *, max_connections: int = 8, max_awaited: int = 4, patience: Patience | None = None
) -> AsyncIterator[Serving]:
    counted: Counter[str] = Counter()
    answers = Answers()
    front_end = FrontEnd(
        answers,
        count=lambda what: counted.update([what]),
        max_connections=max_connections,
        max_awaited=max_awaited,
        patience=patience or Patience(),
    )
    sockets = await open_sockets("localhost", 0, clients_speak_first=True)
    door = PlainDoor(TrustedProxies(["127.0.0.1/32", "::1/128"]), sockets)
    stop = trio.Event()
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            port = sockets[0].getsockname()[1]
            nursery.start_soon(front_end.serve, [door], stop)
            yield Serving(answers, port, stop, counted)
            stop.set()


async def test_while_an_answer_is_waited_for_others_are_served_and_then_it_comes() -> None:
    async with serving() as served, served.client() as poller, served.client() as other:
        await poller.send("/wait")
        await served.answers.begun.wait()
        assert await other.ask("/now") == (200, b"/now")
        served.answers.let_go.set()
        assert await poller.response() == (200, b"{}")
        assert await poller.ask("/now/again") == (200, b"/now/again")


async def test_requests_before_and_behind_one_that_waits_are_answered_in_order() -> None:
    async with serving() as served, served.client() as poller:
        await poller.send("/now/1", "/wait", "/now/2")
        await served.answers.begun.wait()
        assert await poller.response() == (200, b"/now/1")
        served.answers.let_go.set()
        assert await poller.response() == (200, b"{}")
        assert await poller.response() == (200, b"/now/2")


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/wait/refused", 403, b"seeders only\n"),
        ("/wait/bug", 500, b"internal error\n"),
    ],
)
async def test_an_answer_that_fails_is_a_status_and_the_door(
    path: str, status: int, body: bytes
) -> None:
    async with serving() as served, served.client() as poller:
        served.answers.let_go.set()
        assert await poller.ask(path) == (status, body)
        assert await until_closed(poller.stream) == b""
        assert served.counted[f"http_{status}"] == 1


async def test_when_the_client_goes_its_answer_is_not_waited_for() -> None:
    async with serving() as served:
        async with served.client() as poller:
            await poller.send("/wait")
            await served.answers.begun.wait()
        await served.answers.cancelled.wait()


async def test_a_client_that_talks_on_without_its_answer_is_let_go() -> None:
    async with serving() as served, served.client() as poller:
        await poller.send("/wait")
        await served.answers.begun.wait()
        await poller.send(*["/now"] * 200)
        await served.answers.cancelled.wait()


async def test_when_the_tracker_stops_nobody_is_waited_for() -> None:
    async with serving() as served, served.client() as poller, served.client() as idle:
        await idle.ask("/now")
        await poller.send("/wait")
        await served.answers.begun.wait()
        served.stop.set()
        await served.answers.cancelled.wait()
        assert await until_closed(poller.stream) == b""
        assert await until_closed(idle.stream) == b""


async def test_answers_are_waited_for_up_to_a_number() -> None:
    async with serving(max_awaited=1) as served, served.client() as poller:
        await poller.send("/wait")
        await served.answers.begun.wait()
        async with served.client() as other:
            assert (await other.ask("/wait"))[0] == 503
        served.answers.let_go.set()
        assert await poller.response() == (200, b"{}")
        assert await poller.ask("/wait") == (200, b"{}")


async def test_whoever_waits_for_its_answer_is_neither_idle_nor_makes_room() -> None:
    hasty = Patience(head_s=math.inf, idle_s=0.01)
    async with serving(max_connections=2, patience=hasty) as served, served.client() as poller:
        request = get("/wait")
        await poller.stream.send_all(request[:9])
        async with served.client() as other:  # when it is answered, the poller was waited for
            await other.ask("/now")
        await poller.stream.send_all(request[9:])
        await served.answers.begun.wait()
        for _ in range(5):
            async with served.client() as silent, served.client() as other:
                await silent.stream.send_all(b"GET ")
                assert await other.ask("/now") == (200, b"/now")
                assert await until_closed(other.stream) == b""  # idle
        served.answers.let_go.set()
        assert await poller.response() == (200, b"{}")


async def test_a_client_that_does_not_read_is_sent_all_when_it_does() -> None:
    asked = 100
    async with serving() as served, served.client() as client:
        served.answers.large_bytes = 100_000
        await client.send(*[f"/now/{number}" for number in range(asked)])
        async with served.client() as other:
            assert (await other.ask("/now"))[0] == 200
        for number in range(asked):
            status, body = await client.response()
            assert status == 200
            assert body.startswith(b"/now/%d." % number)


async def test_a_client_that_never_reads_is_let_go() -> None:
    hasty = Patience(answer_s=0.01)
    async with serving(patience=hasty) as served, served.client() as client:
        served.answers.large_bytes = 20_000_000
        await client.send("/now")
        await client.stream.receive_some()
        served.answers.large_bytes = 0
        await counts(served, "timed_out")


async def test_an_answer_that_is_on_its_way_arrives_though_the_tracker_stops() -> None:
    async with serving() as served, served.client() as client:
        served.answers.large_bytes = 20_000_000
        await client.send("/now")
        # Its beginning is there: the rest is in the tracker, or on the way.
        received = bytearray(await client.stream.receive_some())
        served.stop.set()
        received += await until_closed(client.stream)
        assert len(received) > 20_000_000


async def counts(served: Serving, what: str) -> None:
    """Wait until an event has been counted."""
    while not served.counted[what]:
        async with served.client() as other:
            await other.send("/now")
            await other.response()


async def test_whoever_has_waited_longest_makes_room() -> None:
    async with serving(max_connections=4) as served, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(served.client()) for _ in range(20)]
        for client in clients:
            assert await client.ask("/now") == (200, b"/now")
        for client in clients[-4:]:
            assert await client.ask("/now") == (200, b"/now")
        for client in clients[:-4]:
            assert await until_closed(client.stream) == b""
        assert served.counted["connections_full"] == 16


async def test_a_client_with_nagle_s_algorithm_waits_for_no_delayed_acknowledgement(
    tmp_path: Path,
) -> None:
    async with running_tracker(tmp_path, FakeLicensing(SwarmPki())) as rig:
        leaf = rig.pki.issue(licence_identity())
        context = rig.context(leaf)

        def announce() -> float:
            with (
                socket.create_connection(("localhost", rig.port), timeout=PATIENCE_S) as tcp,
                context.wrap_socket(tcp, server_hostname="localhost") as tls,
            ):
                begun_s = time.perf_counter()
                tls.sendall(announce_head(leaf, left_bytes=0))
                assert b" 200 OK" in tls.recv(4_096)
                return time.perf_counter() - begun_s

        # 1 ms, and 41 for want of the acknowledgement: the quickest of some, on a busy machine.
        assert min([await trio.to_thread.run_sync(announce) for _ in range(8)]) < 0.035
