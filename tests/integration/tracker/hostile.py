"""Everything that a tracker should survive, from one process with blocking sockets.

`python -m tests.integration.tracker.hostile TLS_PORT PLAIN_PORT FOLDER REQUESTS SEED`, started by
`fuzz.py`. FOLDER has `client.pem` and `ca.pem` of a licensed client, which is what attacks.
"""

import collections
import contextlib
import json
import random
import re
import socket
import ssl
import struct
import sys
from collections.abc import Callable
from pathlib import Path

from client_lib.transport.tls import client_context

_TIMEOUT_S = 20.0
_BATCH = 40
_HELD = 400
_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
_GET = b"GET /announce/"
_SPICES = (
    b"%", b"%%", b"%0", b"%GG", b"&", b"=", b"&&", b"info_hash=", b"&port=0", b"&left=-1",
    b"&numwant=99999999999999999999", b"&event=paused", b"&key=" + b"k" * 70, b"&left=0x1",
    b"&peer_id=%00", b"&port=6881&port=6882", b"&ip=127.0.0.1", b"?", b"/", b"..", b"#", b"~",
    b"&uploaded=9223372036854775808", b"&downloaded=00", b"+", b"&compact=0", b"&supportcrypto=1",
)  # fmt: skip
_HEAD_SPICES = (
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"\xff", b"HTTP/1.1", b"HTTP/9.9", b"POST ",
    b"Host: x\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n\r\n",
    b"Client-Cert: :AA==:\r\n", b"X-Forwarded-For: 1.2.3.4.5\r\n", b"A" * 9_000, b"Host: y\r\n",
    b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"%00", b"/", b"GET ",
)  # fmt: skip


class Attacker:
    """Attacks, each of which returns how many requests it was."""

    def __init__(self, tls_port: int, plain_port: int, folder: Path, seed: str) -> None:
        self._tls_port = tls_port
        self._plain_port = plain_port
        self._context = client_context((folder / "ca.pem").read_text(), folder / "client.pem")
        self._head = (folder / "head").read_bytes()
        self._proxied = (folder / "proxied").read_bytes()
        self._rng = random.Random(seed)
        self._held: collections.deque[socket.socket] = collections.deque(maxlen=_HELD)
        self.statuses: collections.Counter[str] = collections.Counter()

    def attack(self) -> int:
        """Attack once, at random. Raises nothing: the tracker may hang up at any time."""
        attacks: list[Callable[[], int]] = [
            self._queries_over_tls,
            *[self._queries] * 3,
            *[self._heads] * 30,
            *[self._garbage_for_tls] * 30,
            *[self._hold] * 20,
            *[self._reset] * 10,
        ]
        try:
            return self._rng.choice(attacks)()
        except (OSError, EOFError) as error:
            self.statuses[type(error).__name__] += 1
            return 1

    def _queries(self) -> int:
        with self._connected(self._plain_port) as plain:
            return self._pipelined(plain, self._proxied)

    def _queries_over_tls(self) -> int:
        with (
            self._connected(self._tls_port) as plain,
            self._context.wrap_socket(plain, server_hostname="localhost") as tls,
        ):
            return sum(self._pipelined(tls, self._head) for _ in range(5))

    def _pipelined(self, stream: socket.socket, head: bytes) -> int:
        """Mutated queries in heads that are well-formed otherwise: all are answered."""
        stream.sendall(b"".join(self._mutated_query(head) for _ in range(_BATCH)))
        received, answered = b"", 0
        while answered < _BATCH:
            data = stream.recv(65_536)
            if not data:
                break
            received += data
            statuses = _STATUS.findall(received)
            answered = len(statuses)
            if statuses and statuses[-1] != b"200":
                break  # one was no path of ours: the tracker hangs up
        self._count(received)
        return max(1, answered)

    def _heads(self) -> int:
        """Mutated heads, from a proxy and from one that is none."""
        data = bytearray(self._rng.choice((self._proxied, self._proxied, self._head)))
        for _ in range(self._rng.randint(1, 4)):
            at = self._rng.randrange(len(data))
            match self._rng.randrange(4):
                case 0:
                    data[at] = self._rng.randrange(256)
                case 1:
                    del data[at : at + self._rng.randint(1, 40)]
                case 2:
                    data[at:at] = self._rng.choice(_HEAD_SPICES)
                case _:
                    data[at:at] = data[at : at + self._rng.randint(1, 200)]
            data = data or bytearray(b"G")
        with self._connected(self._plain_port) as plain:
            plain.sendall(data)
            plain.shutdown(socket.SHUT_WR)
            self._count(self._rest(plain))
        return 1

    def _garbage_for_tls(self) -> int:
        hello = bytearray(self._client_hello())
        for _ in range(self._rng.randint(1, 6)):
            hello[self._rng.randrange(len(hello))] = self._rng.randrange(256)
        garbage = self._rng.choice(
            (hello, hello, hello[: self._rng.randrange(len(hello))], self._rng.randbytes(300), _GET)
        )
        with self._connected(self._tls_port) as plain:
            plain.sendall(garbage or b"\0")
            plain.shutdown(socket.SHUT_WR)
            self._count(self._rest(plain))
        return 1

    def _hold(self) -> int:
        """Open, say something or nothing, and stay; now and then say one byte more."""
        if self._held and self._rng.random() < 0.5:
            with contextlib.suppress(OSError):
                self._rng.choice(self._held).send(b"x")
        if len(self._held) == _HELD:
            self._held.popleft().close()
        stream = self._connected(self._rng.choice((self._tls_port, self._plain_port)))
        self._held.append(stream)
        stream.sendall(self._proxied[: self._rng.randrange(len(self._proxied))])
        if self._rng.random() < 0.3:
            stream.shutdown(self._rng.choice((socket.SHUT_WR, socket.SHUT_RD)))
        return 1

    def _reset(self) -> int:
        """Ask, and reset the connection instead of reading."""
        port, head = self._rng.choice(
            ((self._tls_port, self._client_hello()), (self._plain_port, self._proxied))
        )
        with self._connected(port) as stream:
            stream.sendall(head * self._rng.randint(1, 10))
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return 1

    def _mutated_query(self, head: bytes) -> bytes:
        start, end = head.index(b"?") + 1, head.index(b" HTTP/")
        query = bytearray(head[start:end])
        for _ in range(self._rng.randint(1, 5)):
            at = self._rng.randrange(len(query) + 1)
            match self._rng.randrange(4):
                case 0:
                    query[at : at + 1] = bytes((self._rng.randint(0x21, 0x7E),))
                case 1:
                    query[at:at] = self._rng.choice(_SPICES)
                case 2:
                    del query[at : at + self._rng.randint(1, 60)]
                case _:
                    query += b"&" + query[at : at + 30]
        return head[:start] + bytes(query) + head[end:]

    def _client_hello(self) -> bytes:
        outgoing = ssl.MemoryBIO()
        tls = self._context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        return outgoing.read()

    def _connected(self, port: int) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S)

    def _rest(self, stream: socket.socket) -> bytes:
        received = b""
        while data := stream.recv(65_536):
            received += data
        return received

    def _count(self, received: bytes) -> None:
        self.statuses.update(status.decode() for status in _STATUS.findall(received))


def main() -> None:
    tls_port, plain_port, folder, requests, seed = sys.argv[1:]
    attacker = Attacker(int(tls_port), int(plain_port), Path(folder), seed)
    done = 0
    while done < int(requests):
        done += attacker.attack()
    sys.stdout.write(json.dumps({"requests": done, "seen": attacker.statuses}) + "\n")


if __name__ == "__main__":
    main()
