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
from tracker.routes import routes_again
from tracker.serving.familiar import Familiars
from tracker.swarms.handout import Pace
from tracker.swarms.peers import CLIENT_BYTES, OWNER_BYTES, ClientTag, Owner, Standing
from tracker.swarms.swarms import Swarms
from tracker.trust.admission import Admission

PEERS_PER_SWARM = 100
_AGAIN = 20_000


class _NoneRevoked:
    def is_current(self, now_s: float) -> bool:
        return True

    def is_revoked(self, serial: int) -> bool:
        return False

    @property
    def version(self) -> object:
        return object()


def _announcer(everyone: Crowd) -> Announcer:
    return Announcer(
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


def microseconds_per_announce(everyone: Crowd, announces: int = 100_000) -> float:
    """CPU time of `Announcer.answer`, each peer in a random order; the best of five."""
    announcer, rng = _announcer(everyone), random.Random(1)
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


def microseconds_per_announce_again(everyone: Crowd, peers: int) -> float:
    """CPU time of an announce that came before, without sockets: of so many peers, at random."""
    announcer = _announcer(everyone)
    familiars, respond_again = Familiars(len(everyone.peers)), routes_again(announcer)
    requests: list[bytes] = []
    for _ in range(2):  # the first one of a swarm is alone
        requests.clear()
        for peer in everyone.peers[:peers]:
            address = bytes(map(int, peer.address.split(".")))
            _, regular = announcer.introduce(
                peer.certificate_der, peer.licence_id, peer.query, address, time.time()
            )
            requests.append(peer.head(keep_alive=True, proxied=True))
            if regular is not None:
                familiars.keep(requests[-1], regular, keep_alive=True)
    chosen = random.Random(1).choices(requests, k=_AGAIN)
    spent_s = []
    for _ in range(5):
        before_s = time.process_time()
        for request in chosen:
            found = familiars.find(request)
            if found is None or respond_again(*found) is None:
                raise SystemExit("an announce that came before was not recognised")
        spent_s.append(time.process_time() - before_s)
    return round(1e6 * min(spent_s) / _AGAIN, 2)


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
