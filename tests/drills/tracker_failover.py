"""kill -9 of a tracker worker under a crowd: `python -m tests.drills.tracker_failover`.

A thousand peers of fifty swarms, and real libtorrent clients with a seeder, live on the first of
two workers. It is killed. Every one of them must be given peers by the next tracker in its first
announce there; the worker comes back by itself, and must know everybody whom its last snapshot
knew. Again and again, with `--kills`.
"""

import argparse
import contextlib
import dataclasses
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import libtorrent as lt
import trio

from client_lib.swarm.session import open_session
from client_lib.swarm.torrent import Torrent
from client_lib.swarm.tracker_talk import TrackerReport
from client_lib.wire import certificates
from client_lib.wire.certificates import LicenceIdentity
from tests.drills.tracker_crowd import Crowd, connected_proxy
from tests.integration.client.rig import Album, open_seeder, settings
from tests.integration.tracker.processes import prepare, tracker_process
from tests.integration.tracker.rig import FakeLicensing
from tests.pki import Leaf

SNAPSHOT_S = 0.2
_SLOW_SEEDER_BYTES_S = 3_000  # nobody completes during the drill


@dataclass
class Report:
    """What happened, over all kills."""

    peers: int
    swarms: int
    clients: int
    kills: int = 0
    failed_over_s: list[float] = field(default_factory=list)
    restarted_s: list[float] = field(default_factory=list)
    restored_peers: list[int] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        yield f"{self.kills} kills of a worker with {self.peers} peers in {self.swarms} swarms"
        yield f"  {self.clients} libtorrent clients: each got peers in its first announce elsewhere"
        yield f"  all of them within {max(self.failed_over_s):.2f} s of announcing"
        yield f"  the worker was back, with its peers, after {max(self.restarted_s):.2f} s"
        yield f"  peers handed out at once after the restart: {min(self.restored_peers)}"


async def drill(folder: Path, *, swarms: int, customers: int, clients: int, kills: int) -> Report:
    """Run it in an empty folder. AssertionError tells what did not hold."""
    album = Album(folder / "origin")
    data = folder / "data"
    await prepare(folder, FakeLicensing(album.pki), data / "worker-0", data / "worker-1")
    config = folder / "tracker.toml"
    config.write_text(f'snapshot_s = {SNAPSHOT_S}\nplain_listen = ["unix:{folder}/plain.sock"]\n')
    crowd = Crowd(album.pki, swarms=swarms, customers=customers)
    report = Report(len(crowd), swarms, clients)
    async with tracker_process(
        *(data, "--config", str(config), "--workers", "2"), patience_s=30 + 15 * kills
    ) as tracker:
        first = await tracker.log.until("worker-started", worker=0)
        ports = (await tracker.log.until("workers"))["ports"]
        urls = tuple(f"https://localhost:{port}/announce/" for port in ports)
        async with contextlib.AsyncExitStack() as stack:

            async def join(name: str, leaf: Leaf, *, central: bool = False) -> Client:
                opened = (
                    open_seeder(upload_bytes_s=_SLOW_SEEDER_BYTES_S)
                    if central
                    else open_session(settings())
                )
                session = await stack.enter_async_context(opened)
                where = album.folder if central else folder / name
                what = album.add(where, leaf, complete=central)
                tiers = tuple((url + name,) for url in urls)
                torrent = await session.add(dataclasses.replace(what, trackers=tiers))
                return Client(torrent, tiers[0][0], tiers[1][0])

            seeder = await join("s-1", album.seeder(), central=True)
            for url in (seeder.home, seeder.refuge):  # it announces to all tiers
                await seeder.heard_from(url)
            real: list[Client] = []
            for number in range(1, clients + 1):
                leaf = album.licence(number)
                identity = certificates.identify(leaf.certificate)
                assert isinstance(identity, LicenceIdentity)
                client = await join(identity.licence_id, leaf)
                await client.finds_peers(client.home)
                real.append(client)
            shards = [folder / f"plain-{number}.sock" for number in (0, 1)]
            async with connected_proxy(shards[1]) as refuge:
                for member in crowd.seeders:
                    await refuge.announce(member)
                for _ in range(kills):
                    async with connected_proxy(shards[0]) as home:
                        for member in (*crowd.seeders, *crowd.customers):
                            await home.announce(member)
                    # Not a wait for something to happen: this much time is what may be lost.
                    await trio.sleep(3 * SNAPSHOT_S)
                    for client in real:
                        client.forget()
                    # The supervisor is held, so that it is not back before everybody has moved.
                    tracker.process.send_signal(signal.SIGSTOP)
                    os.kill(first["pid"], signal.SIGKILL)
                    begun = trio.current_time()
                    for client in real:
                        client.announce()
                    for client in real:
                        await client.finds_peers(client.refuge)
                    report.failed_over_s.append(trio.current_time() - begun)
                    for member in crowd.customers:
                        assert (await refuge.announce(member)).peers, "nobody at the next tracker"
                    begun = trio.current_time()
                    tracker.process.send_signal(signal.SIGCONT)
                    first = await tracker.log.until("worker-started", worker=0)
                    report.restored_peers.append(await _restored(shards[0], crowd))
                    report.restarted_s.append(trio.current_time() - begun)
                    for client in real:
                        client.forget()
                        client.announce()
                    for client in real:
                        await client.finds_peers(client.home)
                    report.kills += 1
    return report


@dataclass(frozen=True)
class Client:
    """A libtorrent session's torrent, and the announce URLs of its two tiers."""

    torrent: Torrent
    home: str
    refuge: str

    def forget(self) -> None:
        """What trackers said until now."""
        self.torrent.trackers.clear()

    def announce(self) -> None:
        """Announce now: the next one would be due after the client's minimum interval, 30 s."""
        self.torrent._handle.force_reannounce(0, -1, lt.torrent_handle.ignore_min_interval)

    async def heard_from(self, url: str) -> TrackerReport:
        """The tracker's first word since `forget`."""
        while url not in self.torrent.trackers:
            await self.torrent.wait_change()
        return self.torrent.trackers[url]

    async def finds_peers(self, url: str) -> None:
        """That word must be peers."""
        report = await self.heard_from(url)
        assert report.peers > 0, f"{url}: {report}"


async def _restored(socket: Path, crowd: Crowd) -> int:
    """Ask about every swarm; how many of the crowd are told. Everybody must be."""
    told = 0
    async with connected_proxy(socket) as proxy:
        for newcomer, info_hash in zip(crowd.newcomers(), crowd.info_hashes, strict=True):
            peers = (await proxy.announce(newcomer)).peers
            found = {str(peer.address) for peer in peers} & crowd.addresses(info_hash)
            assert found == crowd.addresses(info_hash), f"swarm {info_hash}: {len(found)} restored"
            told += len(found)
    return told


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the drill and print what it did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swarms", type=int, default=50)
    parser.add_argument("--customers", type=int, default=19, help="a swarm, besides its seeder")
    parser.add_argument("--clients", type=int, default=8, help="libtorrent clients")
    parser.add_argument("--kills", type=int, default=5)
    chosen = vars(parser.parse_args(arguments))
    with tempfile.TemporaryDirectory() as folder:

        async def whole() -> Report:
            return await drill(Path(folder), **chosen)

        report = trio.run(whole)
    sys.stdout.writelines(f"{line}\n" for line in report.lines())


if __name__ == "__main__":
    main()
