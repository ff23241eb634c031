"""What an announce and a peer cost without sockets: the announcer and its store alone."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from client_lib.wire.infohash import TruncatedInfoHash
from tests.bench.tracker.peers import Crowd
from tracker.accounting.tally import Tally
from tracker.announce import Announcer
from tracker.swarms.handout import Pace
from tracker.swarms.peers import CLIENT_BYTES, OWNER_BYTES, ClientTag, Owner, Standing
from tracker.swarms.swarms import Swarms
from tracker.trust.admission import Admission

PEERS_PER_SWARM = 100


class _NoneRevoked:
    def is_current(self, now_s: float) -> bool:
        return True

    def is_revoked(self, serial: int) -> bool:
        return False

    @property
    def version(self) -> object:
        return object()


def microseconds_per_announce(everyone: Crowd, announces: int = 100_000) -> float:
    """CPU time of `Announcer.answer`, each peer in a random order; the best of five."""
    rng = random.Random(1)
    announcer = Announcer(
        admission=Admission(everyone.pki.ca),
        revocations=_NoneRevoked(),
        accounting=Tally(),
        swarms=Swarms(),
        pace=Pace(),
        default_numwant=50,
        max_numwant=200,
        copies_wanted=3,
        rng=rng,
    )
    now_s = time.time()
    calls = [
        (p.certificate_der, p.licence_id, p.query, bytes(map(int, p.address.split("."))), now_s)
        for p in everyone.peers
    ]
    for call in calls:
        announcer.answer(*call)
    chosen = rng.choices(calls, k=announces)
    spent_s = []
    for _ in range(5):
        before_s = time.process_time()
        for call in chosen:
            announcer.answer(*call)
        spent_s.append(time.process_time() - before_s)
    return round(1e6 * min(spent_s) / announces, 2)


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
