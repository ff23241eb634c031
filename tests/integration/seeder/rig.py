"""A node over a real session, an in-memory licensing, and real libtorrent customers."""

import contextlib
import datetime as dt
import os
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import trio

from client_lib.swarm.session import Session, open_session
from client_lib.swarm.settings import SessionSettings
from client_lib.swarm.torrent import AddTorrent, Torrent
from client_lib.transport.credential import Credential, obtain_credential
from client_lib.wire.certificates import LicenceIdentity
from client_lib.wire.licence import licence_id_from
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import AudioFormat, ReleaseId, TorrentName
from seeder.catalogue import Catalogue
from seeder.node import Node, NodeSettings
from seeder.origin import FolderOrigin
from seeder.publish import Release, publish
from tests.pki import Leaf, SwarmPki, utc_now
from tests.unit.seeder.fake_licensing import FakeLicensing

HOST = "127.0.0.1"
NAME = TorrentName("rel-0001.flac")
PATIENCE_S = 60.0
"""No test waits longer, however slow the machine."""


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
    torrent: bytes, leaf: Leaf, save_path: Path, *, upload_limit_bytes_s: int = 0
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
            AddTorrent(torrent, save_path, leaf.certificate_pem, leaf.key_pem, trackers=())
        )
        yield session, added


@dataclass
class NodeRig:
    """A node whose rounds the test runs itself."""

    root: Path
    licensing: FakeLicensing = field(default_factory=FakeLicensing)

    @property
    def origin(self) -> FolderOrigin:
        return FolderOrigin(self.root / "origin")

    async def publish(self, release_id: str = "rel-0001", size_bytes: int = 3_000_000) -> bytes:
        album = make_album(self.root / f"album {release_id}", size_bytes=size_bytes)
        release = Release(album, ReleaseId(release_id), AudioFormat("flac"))
        async with self.licensing.client() as client:
            entry = (await publish(release, origin=self.origin, licensing=client)).entry
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
        self, *, upload_limit_bytes_s: int = 0, credential: Credential | None = None
    ) -> AsyncIterator[tuple[Node, int]]:
        catalogue = Catalogue(self.root / "catalogue.jsonl")
        async with self.licensing.client() as client:
            await catalogue.refresh(client)
        settings = SessionSettings(
            listen_port=0,
            listen_host=HOST,
            central_seeder=True,
            limit_local_peers=True,
            upload_limit_bytes_s=upload_limit_bytes_s,
        )
        async with open_session(settings) as session:
            node = Node(
                session,
                self.origin,
                catalogue,
                credential or await self.credential(),
                NodeSettings("seeder-1", (), upload_limit_bytes_s),
                clock=lambda: dt.datetime.now(dt.UTC),
                uploaded_before={NAME: 1_000},
            )
            await node.reconcile()
            yield node, session.listen_port


async def control_until(node: Node, done: Callable[[], bool]) -> None:
    """Run the node's rounds, quickly, until something is true."""
    while not done():
        await node.control(trio.current_time())
        await trio.sleep(0.05)


async def eventually(done: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    while True:
        if done():
            return
        await trio.sleep(0.005)
