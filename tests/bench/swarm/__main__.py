"""`make bench-swarm`: a flash crowd on lines of its own, beside the bounds and plain libtorrent.

Every peer has a network namespace with a shaped upload line (downloads are not), an address and a
process. In a run our seeder takes its turn with each policy, and plain libtorrent on both sides.
Bounds are of goodput: Kumar and Ross (2006) for the fastest that is possible at all, and (N-1)F/Σu
for the fastest at exactly one copy from the seeder.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from client_lib.swarm.create import create_torrent
from client_lib.wire.certificates import Identity, SeederIdentity
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import TorrentName
from tests.bench.report import Figure, figure, publish
from tests.bench.swarm.network import GOODPUT, Lines, open_lines
from tests.pki import Leaf, SwarmPki, licence_identity

NAME = TorrentName("rel-0001.flac-16-44")
TRACKS = 8
_STARTING_S = 3.0
PLAIN = "plain libtorrent"


@dataclass(frozen=True, slots=True)
class Crowd:
    """So many customers with that upload, a seeder, and an album. Mbit/s and bytes."""

    customers: int
    customer_mbit_s: float
    seeder_mbit_s: float
    size_bytes: int

    @property
    def fastest_s(self) -> float:
        """Kumar and Ross: max{F/u_s, N·F/(u_s+Σu)}, downloads being unlimited."""
        whole = self.seeder_mbit_s + self.customers * self.customer_mbit_s
        return max(
            _seconds(self.size_bytes, self.seeder_mbit_s),
            _seconds(self.customers * self.size_bytes, whole),
        )

    @property
    def fastest_with_one_copy_s(self) -> float:
        """(N-1)·F/Σu."""
        return _seconds(
            (self.customers - 1) * self.size_bytes, self.customers * self.customer_mbit_s
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """When the last customer was complete, and copies that the seeder sent."""

    last_s: float
    copies: float


class Stage:
    """The album, its torrent and everybody's credentials, in a folder."""

    def __init__(self, root: Path, crowd: Crowd) -> None:
        """Make them."""
        self.root = root
        self.crowd = crowd
        content = root / "origin" / NAME
        content.mkdir(parents=True)
        for number in range(TRACKS):
            track = random.randbytes(crowd.size_bytes // TRACKS)
            (content / f"{number:02}.flac").write_bytes(track)
        pki = SwarmPki()
        torrent = create_torrent(content, name=NAME, ca_pem=pki.ca_pem)
        (root / "album.torrent").write_bytes(torrent)
        (root / "origin" / f"{NAME}.torrent").write_bytes(torrent)
        info = Metainfo.from_bytes(torrent).info
        identities: list[Identity] = [SeederIdentity("seeder-1")]
        identities += [
            licence_identity(NAME, info, number=n) for n in range(1, crowd.customers + 1)
        ]
        for number, identity in enumerate(identities):
            self._keep(number, pki.issue(identity))

    def _keep(self, number: int, leaf: Leaf) -> None:
        base = self.root / str(number)
        base.with_suffix(".crt").write_text(leaf.certificate_pem)
        base.with_suffix(".key").write_text(leaf.key_pem)
        base.with_suffix(".pem").write_text(leaf.key_pem + leaf.certificate_pem)

    def play(self, lines: Lines, policy: str) -> Outcome:
        """One download by everybody; `policy` is one of ours, or PLAIN."""
        stop = self.root / "stop"
        stop.unlink(missing_ok=True)
        start_at = time.time() + _STARTING_S
        processes: list[subprocess.Popen[str]] = []
        everybody = range(lines.count)
        try:
            for number in everybody:
                folder = self.root / ("origin" if number == 0 else f"music-{number}")
                if number:
                    shutil.rmtree(folder, ignore_errors=True)
                    folder.mkdir()
                order = {
                    "address": lines.address(number),
                    "torrent": str(self.root / "album.torrent"),
                    "folder": str(folder),
                    "credential": str(self.root / str(number)),
                    "complete": number == 0,
                    "plain": policy == PLAIN,
                    "policy": policy,
                    "peers": [
                        lines.address(n) for n in range(lines.count) if number and n != number
                    ],
                    "start_at": start_at,
                    "stop": str(stop),
                    "report": str(self.root / f"{number}.json"),
                }
                ours = number == 0 and policy != PLAIN
                module = "tests.bench.swarm." + ("seeder" if ours else "customer")
                line = [*lines.inside(number), sys.executable, "-m", module, json.dumps(order)]
                processes.append(subprocess.Popen(line, stdout=subprocess.PIPE, text=True))
            done = [self._finished(process) for process in processes[1:]]
            stop.touch()
            for process in processes:
                process.wait(30)
        finally:
            for process in processes:
                process.kill()
                process.communicate()
        sent = json.loads((self.root / "0.json").read_text())
        return Outcome(max(done), sent / self.crowd.size_bytes)

    @staticmethod
    def _finished(process: "subprocess.Popen[str]") -> float:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit("a customer died")
        return float(line)


def _seconds(size_bytes: float, mbit_s: float) -> float:
    return size_bytes / (mbit_s * 1e6 / 8 * GOODPUT)


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(prog="make bench-swarm")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--customers", type=int, default=8)
    parser.add_argument("--megabytes", type=int, default=64)
    chosen = parser.parse_args()
    crowd = Crowd(chosen.customers, 8.0, 16.0, chosen.megabytes * 1_000_000 // TRACKS * TRACKS)
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    rates = [crowd.seeder_mbit_s] + [crowd.customer_mbit_s] * crowd.customers
    with tempfile.TemporaryDirectory(prefix="bench-swarm-") as folder, open_lines(rates) as lines:
        os.chdir(Path(__file__).parents[3])
        stage = Stage(Path(folder), crowd)
        for _ in range(chosen.runs):
            for policy in ("thrifty", "balanced", "fast", PLAIN):
                outcomes[policy].append(stage.play(lines, policy))
    publish("swarm", _figures(crowd, outcomes), against=PLAIN)


def _figures(crowd: Crowd, outcomes: dict[str, list[Outcome]]) -> list[Figure]:
    figures = [
        Figure("bound of Kumar and Ross", round(crowd.fastest_s, 1), "s"),
        Figure("bound with one copy", round(crowd.fastest_with_one_copy_s, 1), "s"),
    ]
    plain = outcomes[PLAIN]
    for policy, runs in outcomes.items():
        last = [run.last_s for run in runs]
        figures += [
            figure(f"{policy}: last finisher", last, "s", against=[r.last_s for r in plain]),
            figure(f"{policy}: against Kumar and Ross", [s / crowd.fastest_s for s in last], "x"),
            figure(
                f"{policy}: against the bound with one copy",
                [s / crowd.fastest_with_one_copy_s for s in last],
                "x",
            ),
            figure(
                f"{policy}: copies from the seeder",
                [run.copies for run in runs],
                "x",
                against=[run.copies for run in plain],
            ),
        ]
    return figures


if __name__ == "__main__":
    main()
