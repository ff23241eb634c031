"""The announce formats against libtorrent, in both directions.

Origin of the request vectors: libtorrent itself, announcing in this very run.
"""

import contextlib
import hashlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, TypeVar

import libtorrent as lt
import pytest
import trio

from client_lib.wire import bencode
from client_lib.wire.announce import AnnounceRequest, Event
from client_lib.wire.announce_answer import AnnounceFailure, AnnounceResponse, Peer
from client_lib.wire.infohash import TruncatedInfoHash
from client_lib.wire.scrape import SwarmCounts, encode_scrape, parse_scrape
from tests.patience import PATIENCE_S

ALBUM_BYTES = 40_000
INFO: bencode.Bencodable = {
    b"file tree": {b"01.flac": {b"": {b"length": ALBUM_BYTES, b"pieces root": b"r" * 32}}},
    b"meta version": 2,
    b"name": b"rel-0001.flac-16-44",
    b"piece length": 65_536,
    b"private": 1,
}
PEERS = (
    Peer(ipaddress.ip_address("127.0.0.1"), 6881),
    Peer(ipaddress.ip_address("127.0.0.2"), 65_535),
    Peer(ipaddress.ip_address("::1"), 1),
)
A = TypeVar("A", bound=lt.alert)


class AlertReader:
    """Waits for alerts of one session without polling."""

    def __init__(self, session: lt.session, wakeup: socket.socket) -> None:
        self.session = session
        self._wakeup = wakeup

    async def wait_for(self, kind: type[A]) -> A:
        while True:
            for alert in self.session.pop_alerts():
                if isinstance(alert, kind):
                    return alert
            await trio.lowlevel.wait_readable(self._wakeup)
            self._wakeup.recv(4096)


@contextlib.contextmanager
def announcing_session(
    tracker_url: str, save_path: Path, min_announce_interval: int = 300
) -> Iterator[AlertReader]:
    """A libtorrent session that announces one torrent to one tracker."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    session = lt.session(
        {
            "listen_interfaces": "127.0.0.1:0",
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_ip_notifier": False,
            "alert_mask": lt.alert.category_t.tracker_notification
            | lt.alert.category_t.error_notification,
            "min_announce_interval": min_announce_interval,
            "ssrf_mitigation": False,  # on loopback it would allow no path but /announce
        }
    )
    session.set_alert_fd(theirs.fileno())
    params = lt.load_torrent_buffer(bencode.encode({b"info": INFO}))
    params.trackers = [tracker_url]
    params.save_path = str(save_path)
    session.add_torrent(params)
    try:
        yield AlertReader(session, ours)
    finally:
        session.pause()
        del session
        ours.close()
        theirs.close()


@contextlib.asynccontextmanager
async def tracker_that_says(body: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A tracker of fixed answers, which keeps the queries that it gets."""
    queries: list[bytes] = []

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            head = b""
            while b"\r\n\r\n" not in head:
                head += await stream.receive_some()
            target = head.split(b" ")[1]
            path, _, query = target.partition(b"?")
            queries.append(query if path == b"/announce/abc" else target)
            length = b"Content-Length: %d\r\n" % len(body)
            await stream.send_all(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + length + b"\r\n" + body
            )

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, answer, listeners)
        port = listeners[0].socket.getsockname()[1]
        yield f"http://127.0.0.1:{port}/announce/abc", queries
        nursery.cancel_scope.cancel()


def test_our_response_is_what_libtorrent_s_decoder_reads() -> None:
    response = AnnounceResponse(30, 15, 2, 1, PEERS, ipaddress.ip_address("127.0.0.9"))
    assert lt.bdecode(response.encode()) == {
        b"interval": 30,
        b"min interval": 15,
        b"complete": 2,
        b"incomplete": 1,
        b"peers": b"\x7f\0\0\1\x1a\xe1\x7f\0\0\2\xff\xff",
        b"peers6": b"\0" * 15 + b"\1\0\1",
        b"external ip": b"\x7f\0\0\x09",
    }
    assert response.encode() == lt.bencode(lt.bdecode(response.encode()))  # keys are sorted
    assert lt.bdecode(AnnounceFailure("revoked: gone", 5).encode()) == {
        b"failure reason": b"revoked: gone",
        b"retry in": 5,
    }


async def test_libtorrent_s_announce_is_understood_and_understands_the_answer(
    tmp_path: Path,
) -> None:
    with trio.fail_after(PATIENCE_S):
        response = AnnounceResponse(1800, 300, 1, 1, PEERS)
        async with tracker_that_says(response.encode()) as (url, queries):
            with announcing_session(url, tmp_path) as alerts:
                reply = await alerts.wait_for(lt.tracker_reply_alert)
                assert reply.num_peers == len(PEERS)
    request = AnnounceRequest.from_query(queries[0])
    assert request.info_hash == hashlib.sha256(bencode.encode(INFO)).digest()[:20]
    assert request.event is Event.STARTED
    assert request.left_bytes >= ALBUM_BYTES  # libtorrent counts whole pieces here
    assert (request.uploaded_bytes, request.downloaded_bytes) == (0, 0)
    assert request.key is not None
    assert request.numwant == 200
    assert AnnounceRequest.from_query(request.to_query()) == request


@pytest.mark.parametrize("retry_in", [5, None])
async def test_libtorrent_shows_our_failure_reason(tmp_path: Path, retry_in: int | None) -> None:
    failure = AnnounceFailure("revoked: the licence was revoked", retry_in)
    with trio.fail_after(PATIENCE_S):
        async with tracker_that_says(failure.encode()) as (url, _):
            with announcing_session(url, tmp_path) as alerts:
                error = await alerts.wait_for(lt.tracker_error_alert)
    assert error.failure_reason() == failure.reason


async def test_libtorrent_scrapes_beside_the_announce_url_and_reads_our_counts(
    tmp_path: Path,
) -> None:
    info_hash = TruncatedInfoHash(hashlib.sha256(bencode.encode(INFO)).digest()[:20])
    answer = encode_scrape({info_hash: SwarmCounts(complete=7, downloaded=5, incomplete=3)})
    with trio.fail_after(PATIENCE_S):
        async with tracker_that_says(answer) as (url, queries):
            with announcing_session(url, tmp_path) as alerts:
                await alerts.wait_for(lt.tracker_announce_alert)
                alerts.session.get_torrents()[0].scrape_tracker()
                reply = await alerts.wait_for(lt.scrape_reply_alert)
    assert (reply.complete, reply.incomplete) == (7, 3)
    (scrape,) = [query for query in queries if query.startswith(b"/scrape/abc?")]
    assert parse_scrape(scrape.partition(b"?")[2]) == [info_hash]


async def test_libtorrent_comes_back_after_the_interval_of_a_failure_and_else_late(
    tmp_path: Path,
) -> None:
    """It knows no `retry in` (BEP 31): see ADR 15."""

    async def pause_s(failure: AnnounceFailure) -> int:
        async with tracker_that_says(failure.encode()) as (url, _):
            with announcing_session(url, tmp_path, min_announce_interval=30) as alerts:
                await alerts.wait_for(lt.tracker_error_alert)
                torrent = alerts.session.get_torrents()[0]
                endpoint: Any = torrent.trackers()[0]["endpoints"][0]
                (_, v2) = endpoint["info_hashes"]
                return int(v2["next_announce"] - v2["min_announce"])  # POSIX seconds

    with trio.fail_after(PATIENCE_S):
        assert await pause_s(AnnounceFailure("no-source: wait", 1, interval_s=30)) <= 31
        assert await pause_s(AnnounceFailure("no-source: wait", 1)) >= 1_799
