"""What an announce and a peer cost without sockets: the announcer and its store alone."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from client_lib.wire.infohash import TruncatedInfoHash
from tests.bench.tracker.peers import Crowd
from tracker.accounting.tally import Tally
from tracker.announce import Announcer
from tracker.routes import routes_again
from tracker.serving.familiar import Familiars
from tracker.swarms.handout import Pace
from tracker.swarms.peers import CLIENT_BYTES, OWNER_BYTES, ClientTag, Owner, Standing
from tracker.swarms.swarms import Swarms
from tracker.trust.admission import Admission

PEERS_PER_SWARM = 100
_ANNOUNCES = 20_000
T = TypeVar("T")


class _NoneRevoked:
    version = None

    def is_current(self, now_s: float) -> bool:
        return True

    def is_revoked(self, serial: int) -> bool:
        return False


class Announces:
    """An announcer without sockets that knows everybody: CPU times of an announce, in µs."""

    def __init__(self, everyone: Crowd) -> None:
        """Let everybody announce twice: the first one of a swarm is alone."""
        self._announcer = Announcer(
            admission=Admission(everyone.pki.ca),
            revocations=_NoneRevoked(),
            accounting=Tally(),
            swarms=Swarms(),
            pace=Pace(),
            default_numwant=50,
            max_numwant=200,
            copies_wanted=3,
            rng=random.Random(1),
        )
        self._again = routes_again(self._announcer)
        self._familiars = Familiars(len(everyone.peers))
        now_s = time.time()
        self._calls = [
            (p.certificate_der, p.licence_id, p.query, bytes(map(int, p.address.split("."))), now_s)
            for p in everyone.peers
        ]
        for call in self._calls:
            self._announcer.answer(*call)
        self._requests = [peer.head(keep_alive=True, proxied=True) for peer in everyone.peers]
        for call, request in zip(self._calls, self._requests, strict=True):
            _, regular = self._announcer.introduce(*call)
            if regular is not None:
                self._familiars.keep(request, regular, keep_alive=True)

    def parsed_us(self) -> float:
        """Of `Announcer.answer`, each peer in a random order; the best of five."""

        def answer(calls: list[tuple[bytes, str, bytes, bytes, float]]) -> None:
            for call in calls:
                self._announcer.answer(*call)

        return _best_us(answer, self._calls)

    def recognised_us(self, peers: int) -> float:
        """Of a request that came before, of one of so many peers."""

        def answer(requests: list[bytes]) -> None:
            for request in requests:
                found = self._familiars.find(request)
                if found is None or self._again(*found) is None:
                    raise SystemExit("an announce that came before was not recognised")

        return _best_us(answer, self._requests[:peers])


def _best_us(run: Callable[[list[T]], None], of: list[T]) -> float:
    chosen = random.Random(1).choices(of, k=_ANNOUNCES)
    spent_s = []
    for _ in range(5):
        before_s = time.process_time()
        run(chosen)
        spent_s.append(time.process_time() - before_s)
    return round(1e6 * min(spent_s) / _ANNOUNCES, 2)


def bytes_per_peer(peers: int) -> float:
    """Growth of a fresh process's resident memory by one peer, in swarms of 100."""
    script = "from tests.bench.tracker.memory import grow; grow()"
    output = subprocess.run(
        [sys.executable, "-c", script], input=str(peers), text=True, check=True, capture_output=True
    )
    return round(float(output.stdout), 1)


def grow() -> None:
    """Put as many peers as standard input says into swarms, and print the growth by each."""
    peers = int(sys.stdin.read())
    before_bytes = _rss_bytes()
    swarms = filled(peers)
    print((_rss_bytes() - before_bytes) / peers)  # noqa: T201 - read by bytes_per_peer
    assert swarms.peers == peers


def filled(peers: int) -> Swarms:
    """Swarms of 100 customers each; a tenth of them is complete, a quarter has IPv6 alone."""
    swarms, rng = Swarms(), random.Random(2)
    for number in range(peers):
        address = rng.randbytes(16 if number % 4 == 0 else 4)
        swarms.put(
            TruncatedInfoHash((number // PEERS_PER_SWARM).to_bytes(20, "big")),
            Owner(rng.randbytes(OWNER_BYTES)),
            ClientTag(rng.randbytes(CLIENT_BYTES)),
            address + b"\x1a\xe1",
            Standing.LEECHER if number % 10 else Standing.COMPLETE,
            limit=3,
            deadline_s=4_000_000_000,
            now_s=0.0,
        )
    return swarms


def _rss_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
