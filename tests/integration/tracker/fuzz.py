"""`make fuzz-tracker`: hostile clients against a real tracker, which serves licensed ones, too.

    make fuzz-tracker ARGS="--requests 1000000"

Fails if the tracker ends, answers 500, grows, or keeps a licensed client from its announce.
"""

import base64
import json
import math
import re
import secrets
import socket
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import cyclopts
import trio
from cryptography.hazmat.primitives.serialization import Encoding

from tests.integration.tracker.processes import prepare, tracker_process
from tests.integration.tracker.rig import FakeLicensing, Reachable, announce_head
from tests.pki import Leaf, SwarmPki, licence_identity

_MAX_CONNECTIONS = 256  # fewer than the attackers hold
_MAX_RSS_MB = 300.0
_PATIENCE_S = 20.0
_ATTACKERS = 2


@dataclass
class Result:
    """What came of it."""

    requests: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    """Statuses that attackers were answered with, and how their connections broke."""
    announces: int = 0
    slowest_s: float = 0.0
    """Of the licensed clients' announces, with handshake."""
    first_rss_mb: float = 0.0
    highest_rss_mb: float = 0.0

    def __str__(self) -> str:
        seen = ", ".join(f"{what}: {count:,}" for what, count in sorted(self.seen.items()))
        return (
            f"{self.requests:,} hostile requests ({seen}); {self.announces:,} licensed announces "
            f"served meanwhile, the slowest in {self.slowest_s:.2f} s; RSS {self.first_rss_mb:.0f} "
            f"-> at most {self.highest_rss_mb:.0f} MB"
        )


async def fuzz(requests: int, folder: Path, seed: str) -> Result:
    """Attack a tracker process with so many requests. Raises AssertionError if it minds."""
    pki, result = SwarmPki(), Result()
    await prepare(folder, FakeLicensing(pki), folder / "data")
    attacker, *licensed = [pki.issue(licence_identity(number=number)) for number in range(1, 5)]
    _write_weapons(folder, attacker, pki.ca_pem)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        plain_port = probe.getsockname()[1]
    config = folder / "tracker.toml"
    config.write_text(
        f'plain_listen = ["127.0.0.1:{plain_port}"]\nmax_connections = {_MAX_CONNECTIONS}\n'
    )
    async with tracker_process(
        folder / "data", "--config", str(config), patience_s=math.inf
    ) as tracker:
        port = int((await tracker.log.until("serving"))["address"].rpartition(":")[2])
        reachable = Reachable(folder, pki.ca_pem, port)
        result.first_rss_mb = _rss_mb(tracker.process.pid)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tracker.log.to_the_end)
            async with trio.open_nursery() as attacks:
                for number in range(_ATTACKERS):
                    arguments = (port, plain_port, folder, -(-requests // _ATTACKERS), seed, number)
                    attacks.start_soon(_attack, arguments, result)
                nursery.start_soon(_serve_licensed, reachable, licensed, tracker.process, result)
            nursery.cancel_scope.cancel()
        for leaf in licensed:
            await reachable.announce(leaf, left_bytes=0)
        tracker.process.terminate()
        await tracker.log.to_the_end()
        assert await tracker.process.wait() == 0
        stopped = tracker.log.lines[-1]
        assert stopped["event"] == "stopped", stopped
        assert not stopped.get("http_500"), tracker.log.lines
    assert not result.seen["500"], result
    assert result.announces, "no licensed client was served"
    assert result.highest_rss_mb < _MAX_RSS_MB, result
    return result


def _write_weapons(folder: Path, attacker: Leaf, ca_pem: str) -> None:
    (folder / "client.pem").write_text(attacker.key_pem + attacker.certificate_pem)
    (folder / "ca.pem").write_text(ca_pem)
    head = announce_head(attacker)
    (folder / "head").write_bytes(head)
    certificate = base64.b64encode(attacker.certificate.public_bytes(Encoding.DER))
    fields = b"Client-Cert: :" + certificate + b":\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n"
    (folder / "proxied").write_bytes(head[:-2] + fields)


async def _attack(arguments: tuple[object, ...], result: Result) -> None:
    port, plain_port, folder, requests, seed, number = map(str, arguments)
    done = await trio.run_process(
        [
            *(sys.executable, "-m", "tests.integration.tracker.hostile"),
            *(port, plain_port, folder, requests, f"{seed}-{number}"),
        ],
        capture_stdout=True,
    )
    told = json.loads(done.stdout)
    result.requests += told["requests"]
    result.seen.update(told["seen"])


async def _serve_licensed(
    tracker: Reachable, licensed: list[Leaf], process: trio.Process, result: Result
) -> None:
    """Announce again and again, with a handshake each, until cancelled."""
    while True:
        for leaf in licensed:
            begun_s = trio.current_time()
            with trio.fail_after(_PATIENCE_S):
                await tracker.announce(leaf, left_bytes=0)
            result.announces += 1
            result.slowest_s = max(result.slowest_s, trio.current_time() - begun_s)
        result.highest_rss_mb = max(result.highest_rss_mb, _rss_mb(process.pid))


def _rss_mb(pid: int) -> float:
    found = re.search(r"VmRSS:\s+([0-9]+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1024


app = cyclopts.App(help="Hostile clients against a real tracker.")


@app.default
async def main(
    *,
    requests: Annotated[int, cyclopts.Parameter(help="So many hostile requests.")] = 100_000,
    seed: Annotated[str, cyclopts.Parameter(help="Repeat a run (default: another one).")] = "",
) -> None:
    seed = seed or secrets.token_hex(4)
    sys.stdout.write(f"seed {seed}\n")
    with tempfile.TemporaryDirectory(prefix="aw-fuzz-") as folder:
        sys.stdout.write(f"{await fuzz(requests, Path(folder), seed)}\n")


if __name__ == "__main__":
    app(backend="trio")
