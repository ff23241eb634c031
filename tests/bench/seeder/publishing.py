"""Publishing an album in a process of its own, and `openssl dgst -sha256` over the same files.

A new album is copied too, and is on the disk afterwards: `cp` and `sync` do that for the peer.
"""

import json
import os
import random
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import trio

from client_lib.transport.http import HttpAnswer
from client_lib.wire.licensing_api import Publication
from client_lib.wire.release import AudioFormat, ReleaseId
from seeder.origins.folder import FolderOrigin
from seeder.publish import Press, Release, publish
from tests.unit.seeder.fake_licensing import FakeLicensing

TRACKS = 8


@dataclass(frozen=True, slots=True)
class Speed:
    """Megabytes a second of CPU time, and a second in which a core was used."""

    mb_cpu_s: float
    mb_core_s: float


def make_album(folder: Path, megabytes: int) -> Path:
    """Tracks of noise."""
    folder.mkdir(parents=True)
    for track in range(TRACKS):
        with (folder / f"{track:02}.flac").open("wb") as file:
            for _ in range(megabytes // TRACKS):
                file.write(random.randbytes(10**6))
    return folder


def hashed_by_openssl(album: Path, copy_to: Path | None = None) -> Speed:
    """A process on each core, with its part of the tracks; before that a copy, if one is wanted."""
    tracks = sorted(album.iterdir())
    cores = _cores()
    before_s, before_cpu_s = time.monotonic(), _children_cpu_s()
    if copy_to is not None:
        copy_to.mkdir()
        subprocess.run(["cp", *tracks, copy_to], check=True)
        subprocess.run(["sync", *copy_to.iterdir()], check=True)
    processes = [
        subprocess.Popen(
            ["openssl", "dgst", "-sha256", *tracks[core::cores]], stdout=subprocess.DEVNULL
        )
        for core in range(cores)
    ]
    for process in processes:
        process.wait()
    return _speed(album, time.monotonic() - before_s, _children_cpu_s() - before_cpu_s)


def published(album: Path, root: Path, *, again: bool = False, checksums: bool = True) -> Speed:
    """`publish` into the folder `root`; with `again`, a second time."""
    order = json.dumps([str(album), str(root), again, checksums])
    script = "from tests.bench.seeder.publishing import run; run()"
    output = subprocess.run(
        [sys.executable, "-c", script], input=order, text=True, check=True, capture_output=True
    )
    return _speed(album, *json.loads(output.stdout))


def run() -> None:
    """Publish as ordered on standard input; print seconds, and seconds of CPU time."""
    album, root, again, checksums = json.loads(sys.stdin.read())
    took = trio.run(_publish, Path(album), Path(root), again, checksums)
    print(json.dumps(took))  # noqa: T201 - read above


class _Licensing(FakeLicensing):
    """Another process, in truth: what it does is none of ours."""

    def register(self, name: str, publication: Publication) -> HttpAnswer:
        if self.torrents.get(name) == publication.torrent:
            (entry,) = self.entries
            return HttpAnswer(200, {}, msgspec.json.encode(entry))
        return super().register(name, publication)


async def _publish(album: Path, root: Path, again: bool, checksums: bool) -> tuple[float, float]:
    licensing = _Licensing()
    release = Release(album, ReleaseId("rel-0001"), AudioFormat("flac-16-44"))
    async with licensing.client() as client:
        press = Press(FolderOrigin(root), client, checksums=checksums)
        if again:  # a licensing that knows the torrent
            await publish(release, press)
        before_s, before_cpu_s = time.monotonic(), time.process_time()
        published = await publish(release, press)
        took = time.monotonic() - before_s, time.process_time() - before_cpu_s
    assert published.new is not again
    return took


def _speed(album: Path, took_s: float, took_cpu_s: float) -> Speed:
    megabytes = sum(path.stat().st_size for path in album.iterdir()) / 1e6
    return Speed(megabytes / took_cpu_s, megabytes / took_s / _cores())


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
