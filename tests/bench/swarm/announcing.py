"""The tracker of a benchmark: who has announced hears of all who did before, and of the seeder.

HTTPS with the customers' certificates, BEP 23 answers, nothing else: ours and plain libtorrent find
each other as they would in real life, at the same cost.
"""

import http.server
import ipaddress
import json
import socket
import ssl
import sys
import threading
from pathlib import Path
from typing import Any

from client_lib.transport.tls import mutual_server_context
from client_lib.wire.announce import AnnounceRequest, Event
from client_lib.wire.announce_answer import AnnounceResponse, Peer
from client_lib.wire.infohash import TruncatedInfoHash
from tests.bench.swarm.process import say_ready

PORT = 8443
_SILENCE_S = 10.0


class Tracker(http.server.ThreadingHTTPServer):
    """Remembers who announced what."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: str, seeder: Peer, context: ssl.SSLContext) -> None:
        """Listen on `address`."""
        super().__init__((address, PORT), Announce)
        self._context = context
        self._seeder = seeder
        self._lock = threading.Lock()
        self._swarms: dict[TruncatedInfoHash, dict[str, Peer]] = {}

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept; the handshake is left to the connection's own thread."""
        accepted, address = super().get_request()
        accepted.settimeout(_SILENCE_S)
        wrapped = self._context.wrap_socket(
            accepted, server_side=True, do_handshake_on_connect=False
        )
        return wrapped, address

    def answer(self, request: AnnounceRequest, host: str) -> AnnounceResponse:
        """Enter or remove one, and name the others."""
        with self._lock:
            swarm = self._swarms.setdefault(request.info_hash, {})
            others = [peer for address, peer in swarm.items() if address != host]
            if request.event is Event.STOPPED:
                swarm.pop(host, None)
            elif host != str(self._seeder.address):
                swarm[host] = Peer(ipaddress.ip_address(host), request.port)
        if host != str(self._seeder.address):
            others.append(self._seeder)
        return AnnounceResponse(1800, 60, 1, len(swarm), tuple(others))

    def handle_error(self, *_: object) -> None:
        """Say nothing of peers that go away in the middle."""


class Announce(http.server.BaseHTTPRequestHandler):
    """One connection."""

    def do_GET(self) -> None:
        """Answer an announce."""
        request = AnnounceRequest.from_query(self.path.partition("?")[2].encode("latin-1"))
        assert isinstance(self.server, Tracker)
        body = self.server.answer(request, self.client_address[0]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main(order: dict[str, Any]) -> None:
    """Answer until killed."""
    context = mutual_server_context(
        Path(order["credential"] + ".pem"), Path(order["ca"]).read_text()
    )
    seeder = Peer(ipaddress.ip_address(order["seeder"]), order["seeder_port"])
    with Tracker(order["address"], seeder, context) as tracker:
        say_ready()
        tracker.serve_forever()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
