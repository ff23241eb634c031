"""A lean load generator: HTTP/1.1 over TLS keep-alive on an epoll loop, one core, no framework.

About 40 microseconds of CPU per exchange, so that one core loads a server on another one up to
some 20,000 requests/s: it is never what limits these benchmarks.
"""

import heapq
import random
import selectors
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

_HANDSHAKE_S = 30.0
_STALLED_S = 30.0


class LoadError(Exception):
    """The server answered otherwise than the benchmark needs; the figures would be worthless."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request as it goes over the wire, and the statuses that count as an answer to it."""

    request: bytes
    statuses: frozenset[int]


@dataclass(frozen=True, slots=True)
class Load:
    """What one run measured. Latencies in seconds, in the order of completion."""

    elapsed_s: float
    latencies_s: tuple[float, ...]

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return len(self.latencies_s) / self.elapsed_s

    def latency_ms(self, quantile: float) -> float:
        """The latency that this share of the requests did not exceed (nearest rank)."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))] * 1000


def http_request(method: str, path: str, *, bearer: str = "", body: bytes = b"") -> bytes:
    """One HTTP/1.1 request with a JSON body, or none."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if bearer:
        lines.append(f"Authorization: Bearer {bearer}")
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


class _Connection:
    """One keep-alive connection with at most one request under way."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext) -> None:
        plain = socket.create_connection(address, timeout=_HANDSHAKE_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tls = context.wrap_socket(plain, server_hostname="localhost")
        self.tls.setblocking(False)
        self.exchange: Exchange | None = None
        self.began = 0.0
        self.body = b""
        self._answer = b""

    def send(self, exchange: Exchange, began: float) -> None:
        self.exchange, self.began, self._answer = exchange, began, b""
        # A request is smaller than the socket's buffer, which is empty: it goes out whole.
        if self.tls.send(exchange.request) != len(exchange.request):
            raise LoadError("a request did not fit the socket's buffer")

    def receive(self) -> bool:
        """Take what has come; whether the answer is complete. Raises LoadError."""
        while True:
            try:
                chunk = self.tls.recv(65_536)
            except ssl.SSLWantReadError:
                break
            if not chunk:
                raise LoadError("the server closed a connection")
            self._answer += chunk
        head, blank, body = self._answer.partition(b"\r\n\r\n")
        if not blank or len(body) < _content_length(head):
            return False
        status = int(head[9:12])
        if self.exchange is not None and status not in self.exchange.statuses:
            raise LoadError(f"status {status}: {body[:500].decode(errors='replace')}")
        self.exchange = None
        self.body = body
        return True


def _content_length(head: bytes) -> int:
    found = head.lower().partition(b"content-length:")[2]
    return int(found.split(b"\r\n", 1)[0]) if found else 0


class LoadGenerator:
    """`count` standing connections to `address`. The handshakes are not part of any figure."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext, count: int) -> None:
        """Connect them all."""
        self._selector = selectors.DefaultSelector()
        self._connections = [_Connection(address, context) for _ in range(count)]
        for connection in self._connections:
            self._selector.register(connection.tls, selectors.EVENT_READ, connection)

    def close(self) -> None:
        """Close them all."""
        self._selector.close()
        for connection in self._connections:
            connection.tls.close()

    def ask(self, exchange: Exchange) -> bytes:
        """Send one request; the body of its answer."""
        self.closed_loop([exchange])
        return self._connections[0].body

    def closed_loop(self, exchanges: Iterable[Exchange]) -> Load:
        """Every connection sends its next request as soon as it has its answer."""
        waiting = iter(exchanges)
        latencies: list[float] = []
        under_way = 0
        started = time.perf_counter()
        for connection, exchange in zip(self._connections, waiting, strict=False):
            connection.send(exchange, time.perf_counter())
            under_way += 1
        while under_way:
            for connection in self._answered(_STALLED_S):
                latencies.append(time.perf_counter() - connection.began)
                following = next(waiting, None)
                if following is None:
                    under_way -= 1
                else:
                    connection.send(following, time.perf_counter())
        return Load(time.perf_counter() - started, tuple(latencies))

    def offered(self, exchanges: list[Exchange], per_second: float, rng: random.Random) -> Load:
        """Requests come at random (Poisson), whether or not the ones before were answered.

        A latency counts from when the request was due, also while it waited for a connection.
        """
        started = time.perf_counter()
        due: list[tuple[float, int]] = []
        at = started
        for number in range(len(exchanges)):
            at += rng.expovariate(per_second)
            due.append((at, number))
        heapq.heapify(due)
        idle = deque(self._connections)
        latencies: list[float] = []
        while len(latencies) < len(exchanges):
            now = time.perf_counter()
            while due and idle and due[0][0] <= now:
                when, number = heapq.heappop(due)
                idle.popleft().send(exchanges[number], when)
            wait = max(0.0, due[0][0] - now) if due and idle else _STALLED_S
            for connection in self._answered(wait, stalled=not due or not idle):
                latencies.append(time.perf_counter() - connection.began)
                idle.append(connection)
        return Load(time.perf_counter() - started, tuple(latencies))

    def _answered(self, wait_s: float, *, stalled: bool = True) -> list[_Connection]:
        ready = self._selector.select(wait_s)
        if not ready and stalled:
            raise LoadError(f"no answer within {wait_s:.0f} s")
        return [key.data for key, _ in ready if key.data.receive()]
