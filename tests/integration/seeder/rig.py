"""A node on real sockets, an in-memory licensing, and real libtorrent customers."""

import contextlib
import datetime as dt
import os
import random
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import trio

from client_lib.nursery import open_quiet_nursery
from client_lib.swarm.session import Session, open_session
from client_lib.swarm.settings import SessionSettings
from client_lib.swarm.torrent import AddTorrent, Torrent
from client_lib.transport.credential import Credential, obtain_credential
from client_lib.transport.listening import open_sockets
from client_lib.transport.revocations import RevocationFeed
from client_lib.transport.tls import client_context, mutual_server_context
from client_lib.wire import certificates
from client_lib.wire.certificates import LicenceIdentity
from client_lib.wire.licence import licence_id_from
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import AudioFormat, ReleaseId, TorrentName
from seeder.announcing import Announced, Announcements
from seeder.catalogue import Catalogue
from seeder.fleet import Fleet
from seeder.node import Node, Policy
from seeder.observer import Observer
from seeder.origins.folder import FolderOrigin
from seeder.origins.origin import Origin
from seeder.peers.gate import Gate
from seeder.peers.listener import Listener
from seeder.peers.pace import Pace
from seeder.publish import Press, Release, publish
from seeder.status import ReleaseStatus
from tests.pki import Leaf, SwarmPki, utc_now
from tests.unit.seeder.fake_licensing import FakeLicensing

HOST = "127.0.0.1"
NAME = TorrentName("rel-0001.flac")


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def make_album(folder: Path, *, size_bytes: int = 3_000_000) -> Path:
    (folder / "CD 2 Ünïcode").mkdir(parents=True)
    (folder / "01.flac").write_bytes(os.urandom(size_bytes))
    (folder / "02.flac").write_bytes(os.urandom(300_001))
    (folder / "CD 2 Ünïcode" / "01 ж.flac").write_bytes(os.urandom(500_000))
    (folder / "empty.txt").touch()
    return folder


def licence_leaf(pki: SwarmPki, torrent: Metainfo, number: int = 1) -> Leaf:
    licence_id = licence_id_from(number.to_bytes(16, "big"))
    return pki.issue(LicenceIdentity(licence_id, torrent.name, torrent.info_hash))


@contextlib.asynccontextmanager
async def customer(
    torrent: bytes,
    leaf: Leaf,
    save_path: Path,
    *,
    upload_limit_bytes_s: int = 0,
    wanted: frozenset[int] | None = None,
) -> AsyncIterator[tuple[Session, Torrent]]:
    """A libtorrent customer without a tracker."""
    save_path.mkdir(exist_ok=True)
    async with open_session(
        SessionSettings(
            listen_port=0,
            listen_host=HOST,
            limit_local_peers=True,
            upload_limit_bytes_s=upload_limit_bytes_s,
        )
    ) as session:
        added = await session.add(
            AddTorrent(
                torrent, save_path, leaf.certificate_pem, leaf.key_pem, trackers=(), wanted=wanted
            )
        )
        yield session, added


@dataclass
class NodeRig:
    """What a node needs."""

    root: Path
    licensing: FakeLicensing = field(default_factory=FakeLicensing)
    revoked: set[int] = field(default_factory=set)

    @property
    def origin(self) -> FolderOrigin:
        return FolderOrigin(self.root / "origin")

    async def publish(self, release_id: str = "rel-0001", size_bytes: int = 3_000_000) -> bytes:
        album = make_album(self.root / f"album {release_id}", size_bytes=size_bytes)
        release = Release(album, ReleaseId(release_id), AudioFormat("flac"))
        async with self.licensing.client() as client:
            entry = (await publish(release, Press(self.origin, client))).entry
        return self.licensing.torrents[entry.name]

    async def credential(self) -> Credential:
        async with self.licensing.client() as client:
            return await obtain_credential(
                self.root / "seeder.pem",
                client.host_certificate,
                ca=self.licensing.pki.ca,
                now=utc_now(),
                rng=random.Random(1),
            )

    @contextlib.asynccontextmanager
    async def node(
        self,
        *,
        upload_limit_bytes_s: int = 0,
        credential: Credential | None = None,
        policy: Policy | None = None,
        clock: Callable[[], dt.datetime] = utc_now,
        origin: Origin | None = None,
    ) -> AsyncIterator["Serving"]:
        catalogue = Catalogue(self.root / "catalogue.sqlite3")
        async with self.licensing.client() as client:
            await catalogue.refresh(client)
        credential = credential or await self.credential()
        ca_pem = certificates.certificate_pem(self.licensing.pki.ca)
        context = mutual_server_context(credential.path, ca_pem)
        sockets = await open_sockets(HOST, 0)
        port: int = sockets[0].getsockname()[1]
        rng = random.Random(1)
        node = Node(
            origin or self.origin,
            catalogue,
            Fleet("seeder-1", port, 0, ()),
            credential,
            policy=policy or Policy(),
            pace=Pace(upload_limit_bytes_s),
            cache_bytes=1 << 20,
            clock=clock,
            rng=rng,
        )
        node.shelf.uploaded_bytes[NAME] = 1_000
        listener = Listener(
            context,
            find_swarm=node.shelf.find,
            gate=Gate(lambda serial: serial in self.revoked, node.takes, clock),
            pace=node.pace,
            max_connections=20,
        )
        with contextlib.closing(catalogue):
            async with open_quiet_nursery() as nursery:
                outward = client_context(ca_pem, credential.path)
                who = Announced("seeder-1", port, ())
                announcements = Announcements(nursery, outward, who, rng=rng)
                nursery.start_soon(node.run, announcements)
                nursery.start_soon(listener.serve, sockets)
                revocations = RevocationFeed(
                    self.root / "crl.der", ca=self.licensing.pki.ca, grace_s=0
                )
                observer = Observer(node, listener, revocations, clock)
                yield Serving(node, listener, observer, context, port)
                await announcements.close()
                nursery.cancel_scope.cancel()


@dataclass
class Serving:
    """A node that serves."""

    node: Node
    listener: Listener
    observer: Observer
    context: ssl.SSLContext
    port: int

    def status(self, name: str = NAME) -> ReleaseStatus | None:
        releases = self.observer.status().releases
        return {str(release.name): release for release in releases}.get(name)

    @property
    def uploaded_bytes(self) -> int:
        """Payload of this run, of all releases."""
        return sum(self.node.shelf.uploaded().values()) - 1_000


async def eventually(done: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    while True:
        if done():
            return
        await trio.sleep(0.005)
