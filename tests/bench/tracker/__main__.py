"""`make bench-tracker`: announces a second, CPU and memory, against opentracker and nginx.

Servers on one core, the load of `load.c` on the other. Every figure is the median of `--runs` runs;
the servers take turns in every run. A server's speed is told in two ways: answers a second as they
came, and CPU time for an answer, which another process on the machine disturbs less.
"""

import argparse
import json
import os
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.report import FOLDER, Figure, figure, publish
from tests.bench.tracker.memory import Announces, bytes_per_peer
from tests.bench.tracker.peers import Crowd, crowd
from tests.bench.tracker.servers import LOAD_CORE, Server, nginx, opentracker, our_tracker

_HERE = Path(__file__).parent
_OPENTRACKER = "opentracker new connection"
_FEW_PEERS = 1_000
_NGINX = "nginx+opentracker mTLS new connection"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the load."""

    per_s: float
    cpu_us: float
    p50_ms: float
    p99_ms: float


class Load:
    """The load generator, compiled when it is needed."""

    def __init__(self, everyone: Crowd, connections: int) -> None:
        """Compile it into the folder of the crowd."""
        self._crowd = everyone
        self._connections = connections
        self._program = everyone.folder / "load"
        subprocess.run(
            ["cc", "-O2", "-o", self._program, _HERE / "load.c", "-lssl", "-lcrypto"], check=True
        )

    def run(
        self,
        server: Server,
        records: Path,
        announces: int,
        *,
        keep_alive: bool = False,
        tls: bool = False,
        rate: float = 0.0,
        seed: int = 1,
        filling: bool = False,
    ) -> Run:
        """Announce so often, from the other core. SystemExit if an announce was not admitted.

        While empty swarms are being filled, the first leecher of each is sent away: no source.
        """
        numbers = (self._connections, announces, rate, int(keep_alive), seed)
        command = ["taskset", "-c", str(LOAD_CORE), str(self._program), "127.0.0.1"]
        command += [str(server.port), str(records), *map(str, numbers)]
        if tls:
            command += [str(self._crowd.ca), str(self._crowd.client_key)]
        complaints = subprocess.DEVNULL if filling else None
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints) as process:
            if process.stdout is None or process.stdout.readline() != b"started\n":
                raise SystemExit("the load did not start")
            before_s = server.cpu_s()
            output = process.stdout.read()
            cpu_s = server.cpu_s() - before_s
        if process.returncode:
            raise SystemExit(f"the load failed: status {process.returncode}")
        said = json.loads(output)
        if (said["refused"] and not filling) or said["failed"] > announces / 1_000:
            raise SystemExit(f"not all announces were answered by {server}: {said}")
        answered = said["answered"]
        return Run(
            answered / said["seconds"], 1e6 * cpu_s / answered, said["p50_ms"], said["p99_ms"]
        )


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(prog="make bench-tracker")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run, about")
    parser.add_argument("--swarms", type=int, default=1_000)
    parser.add_argument("--peers", type=int, default=100, help="in each swarm")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--million", type=int, default=1_000_000, help="peers for the memory")
    chosen = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("two cores are needed: one for the servers, one for the load")
    everyone = crowd(FOLDER / "tracker", swarms=chosen.swarms, peers_per_swarm=chosen.peers)
    figures = [
        *_in_memory(everyone),
        Figure(
            f"memory per peer at {chosen.million:,}", bytes_per_peer(chosen.million), "bytes", 200.0
        ),
    ]
    with tempfile.TemporaryDirectory(prefix="bench-tracker-") as name:
        figures += _served(everyone, Load(everyone, chosen.connections), chosen, Path(name))
    publish("tracker", figures, against="peer")


def _in_memory(everyone: Crowd) -> list[Figure]:
    announces, all_peers = Announces(everyone), len(everyone.peers)
    return [
        Figure("in memory: CPU per announce", announces.parsed_us(), "µs"),
        *(
            Figure(
                f"in memory: CPU per announce that came before, {peers:,} peers",
                announces.recognised_us(peers),
                "µs",
            )
            for peers in (min(_FEW_PEERS, all_peers), all_peers)
        ),
    ]


def _served(everyone: Crowd, load: Load, chosen: argparse.Namespace, folder: Path) -> list[Figure]:
    once = everyone.records("once", keep_alive=False, proxied=True, tls=False)
    again = everyone.records("again", keep_alive=True, proxied=True, tls=False)
    bare = everyone.records("bare", keep_alive=False, proxied=False, tls=False)
    secured = everyone.records("secured", keep_alive=False, proxied=False, tls=True)
    secured_again = everyone.records("secured-again", keep_alive=True, proxied=False, tls=True)
    folder.chmod(0o755)  # nginx's worker is nobody
    with (
        our_tracker(everyone, folder / "keep-alive") as (plain, tls),
        our_tracker(everyone, folder / "new") as (plain_once, tls_once),
        opentracker(everyone, folder) as peer,
        nginx(everyone, folder, peer) as proxied,
    ):
        # A proxy keeps its connections or does not: a tracker knows its clients' requests in the
        # one form or in the other. First in order, everybody once: a certificate's verification,
        # 0.2 ms and more, is not measured.
        everybody = len(everyone.peers)
        empty_bytes = plain.rss_bytes()
        load.run(plain, again, everybody, keep_alive=True, seed=0, filling=True)
        load.run(plain_once, once, everybody, seed=0, filling=True)
        load.run(peer, bare, everybody, seed=0, filling=True)
        measured: dict[str, Callable[[int, float, int], Run]] = {
            "plain new connection": lambda n, rate, seed: load.run(
                plain_once, once, n, rate=rate, seed=seed
            ),
            "plain keep-alive": lambda n, rate, seed: load.run(
                plain, again, n, keep_alive=True, rate=rate, seed=seed
            ),
            "mTLS new connection": lambda n, rate, seed: load.run(
                tls_once, secured, n, tls=True, rate=rate, seed=seed
            ),
            "mTLS keep-alive": lambda n, rate, seed: load.run(
                tls, secured_again, n, tls=True, keep_alive=True, rate=rate, seed=seed
            ),
            _OPENTRACKER: lambda n, rate, seed: load.run(peer, bare, n, rate=rate, seed=seed),
            _NGINX: lambda n, rate, seed: load.run(
                proxied, secured, n, tls=True, rate=rate, seed=seed
            ),
        }
        speeds = {name: run(500, 0.0, 0).per_s for name, run in measured.items()}
        full: dict[str, list[Run]] = defaultdict(list)
        half: dict[str, list[Run]] = defaultdict(list)
        for number in range(1, chosen.runs + 1):
            for name, run in measured.items():
                full[name].append(run(max(500, int(speeds[name] * chosen.seconds)), 0.0, number))
                speeds[name] = full[name][-1].per_s
                rate = speeds[name] / 2
                half[name].append(run(max(500, int(rate * chosen.seconds)), rate, number))
        rss = [
            Figure("RSS without a peer", round(empty_bytes / 1e6, 1), "MB"),
            Figure(
                f"RSS with {len(everyone.peers):,} peers",
                round(plain.rss_bytes() / 1e6, 1),
                "MB",
                round(peer.rss_bytes() / 1e6, 1),
            ),
        ]
    return [*_figures(full, half), *rss]


def _figures(full: dict[str, list[Run]], half: dict[str, list[Run]]) -> list[Figure]:
    figures = []
    for name, runs in full.items():
        against = {"plain new connection": _OPENTRACKER, "mTLS new connection": _NGINX}.get(name)
        peers = full[against] if against else []
        figures += [
            figure(
                f"{name}: announces/s",
                [r.per_s for r in runs],
                "1/s",
                against=[r.per_s for r in peers],
            ),
            # The ratio of speeds by CPU: the peer's time by ours.
            _speed_by_cpu(name, runs, peers),
            figure(
                f"{name}: p50, full load",
                [r.p50_ms for r in runs],
                "ms",
                against=[r.p50_ms for r in peers],
            ),
            figure(
                f"{name}: p99, full load",
                [r.p99_ms for r in runs],
                "ms",
                against=[r.p99_ms for r in peers],
            ),
            figure(
                f"{name}: p99, half load",
                [r.p99_ms for r in half[name]],
                "ms",
                against=[r.p99_ms for r in half[against]] if against else [],
            ),
        ]
    return figures


def _speed_by_cpu(name: str, runs: list[Run], peers: list[Run]) -> Figure:
    ours = figure("", [r.cpu_us for r in runs], "µs", against=[r.cpu_us for r in peers])
    ratio = round(1 / ours.ratio, 3) if ours.ratio else None
    return Figure(f"{name}: CPU (ratio: speed)", ours.value, "µs", ours.against, ratio)


if __name__ == "__main__":
    main()
