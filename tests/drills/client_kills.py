"""A discography on a client that is killed again and again: `python -m tests.drills.client_kills`.

Albums of mixed sizes, some with hostile names, from a real seeder over a slow line. `albumswarm
get --all` runs as a process and gets SIGKILL at random moments, then runs to its end. Every byte
must be right, little may have come twice, finished albums must not be looked at again, and the
queue must keep its order.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from tests.integration.client.market import HOSTILE, Market, market
from tests.integration.client.rig import HOST


@dataclass
class Report:
    """What happened, over all runs."""

    albums: int
    total_bytes: int
    kills: int = 0
    sent_bytes: int = 0
    finished: list[str] = field(default_factory=list)
    started_again: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        """What the seeder sent, of what the albums are."""
        return self.sent_bytes / self.total_bytes

    def line(self) -> str:
        return (
            f"{self.albums} albums, {self.total_bytes / 1e6:.1f} MB, {self.kills} kills: "
            f"{self.share:.3f} x downloaded, every byte right"
        )


def contents(count: int, *, largest: int, chance: random.Random) -> list[Mapping[str, int]]:
    """Files of the albums: mostly small, a few large, names of all kinds in the first ten."""
    made: list[Mapping[str, int]] = []
    for number in range(count):
        size = largest if number % 10 == 0 else chance.randrange(largest // 50, largest // 5)
        odd = f"{HOSTILE[number].replace('/', '_')[:60]}.flac" if number < len(HOSTILE) else "x"
        made.append({"01 track.flac": size, odd: 1 + size // 7, "CD 2/empty": 0})
    return made


async def drill(folder: Path, *, albums: int, kills: int, largest: int, seed: int) -> Report:
    """Run it in an empty folder. AssertionError tells what did not hold."""
    chance = random.Random(seed)
    sizes = contents(albums, largest=largest, chance=chance)
    total = sum(sum(files.values()) for files in sizes)
    report = Report(albums, total)
    # So slow that the last kill comes before the end.
    rate = max(200_000, total // (2 * kills + 4))
    async with market(folder / "market", sizes, titles=HOSTILE, upload_bytes_s=rate) as shop:
        ca = folder / "ca.pem"
        ca.write_text(shop.shop.album.pki.ca_pem)
        for _ in range(kills):
            await _run(shop, folder, report, kill_after=chance.uniform(0.2, 2.0))
        shop.limit_seeder(0)
        await _run(shop, folder, report, kill_after=None)
        report.sent_bytes = sum(torrent.status().uploaded_bytes for torrent in shop.torrents)
        _require_everything(shop, folder, report)
    return report


async def _run(shop: Market, folder: Path, report: Report, *, kill_after: float | None) -> None:
    """One life of the client, killed so many seconds after its first album started, or not."""
    command = [
        *(sys.executable, "-m", "client_lib", "get", "--all", "--json"),
        *("--into", str(folder / "music"), "--data", str(folder / "data")),
        *("--licensing-url", shop.server.url, "--licensing-ca", str(folder / "ca.pem")),
        *("--listen-host", HOST),
    ]
    done = set(report.finished)
    async with trio.open_nursery() as nursery:
        process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
        started = trio.Event()

        async def kill() -> None:
            await started.wait()
            await trio.sleep(kill_after or 0)
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                report.kills += 1

        if kill_after is not None:
            nursery.start_soon(kill)
        assert process.stdout is not None
        pending = b""
        async for chunk in process.stdout:
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                _take(json.loads(line), report, done)
                started.set()
        await process.wait()
        if kill_after is None:
            assert process.returncode == 0, f"exit code {process.returncode}"
        nursery.cancel_scope.cancel()


def _take(event: dict[str, Any], report: Report, done: set[str]) -> None:
    match event:
        case {"event": "finished", "name": name, "already_there": False}:
            report.finished.append(name)
        case {"event": "started" | "progress", "name": name} if name in done:
            report.started_again.append(name)


def _require_everything(shop: Market, folder: Path, report: Report) -> None:
    by_name = {
        entry["name"]: entry["into"]
        for entry in json.loads((folder / "data" / "queue.json").read_bytes())["entries"]
    }
    assert list(by_name) == [one.name for one in shop.licences], "the queue's order was lost"
    assert not report.started_again, f"looked at again: {sorted(set(report.started_again))}"
    for licence, album in zip(shop.licences, shop.albums, strict=True):
        record = folder / "data" / "licences" / licence.licence_id / "download.json"
        place = Path(json.loads(record.read_bytes())["folder"])
        wrong = _contents(place) ^ _contents(album.folder)
        assert not wrong, f"{licence.name} in {place} is not what was bought"
        assert place.is_relative_to(folder / "music")
    left = [path for path in (folder / "music").rglob("*") if ".albumswarm" in path.parts]
    assert not [path for path in left if path.is_file()], "partial files are left"
    # A kill costs what half a second of the line brought; of a short drill that is a larger share.
    allowed = max(0.05 * report.total_bytes, report.kills * 262_144)
    assert report.sent_bytes <= report.total_bytes + allowed, f"{report.share:.3f} x downloaded"


def _contents(folder: Path) -> set[tuple[int, bytes]]:
    """Files by what is in them: names on the disk are the client's choice."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    found = [path.read_bytes() for path in files if path.name != "checksums.sha256"]
    return {(len(data), data) for data in found}


def main() -> None:
    """Run the drill and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--albums", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--largest", type=int, default=8_000_000, help="bytes of an album")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = trio.run(
            lambda: drill(
                Path(folder),
                albums=options.albums,
                kills=options.kills,
                largest=options.largest,
                seed=options.seed,
            )
        )
    print(report.line())  # noqa: T201


if __name__ == "__main__":
    main()
