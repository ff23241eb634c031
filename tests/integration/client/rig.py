"""Real libtorrent sessions on loopback, with a sealed torrent of awkward sizes."""

import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import trio

from client_lib.swarm.create import create_torrent
from client_lib.swarm.resume import ResumePoint
from client_lib.swarm.session import Session, open_session
from client_lib.swarm.settings import SessionSettings
from client_lib.swarm.status import Phase
from client_lib.swarm.torrent import AddTorrent, Torrent
from client_lib.wire.certificates import SeederIdentity
from client_lib.wire.conventions import PEER_ID_SEEDER
from client_lib.wire.infohash import InfoHash
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import TorrentName
from tests.pki import Leaf, SwarmPki, licence_identity

HOST = "127.0.0.1"
NAME = TorrentName("rel-0001.flac-16-44")
# No multiples of a piece, one below a block, one empty: libtorrent pads between them.
SIZES = {
    "01 Überraschung.flac": 700_001,
    "CD 2/01 ж.flac": 262_145,
    "CD 2/02.flac": 65_536,
    "CD 2/note": 5,
    "empty.txt": 0,
    "folder.jpg": 99_999,
}


@dataclass(frozen=True)
class Album:
    """An album on disk, with its torrent and the CA that seals it."""

    root: Path
    pki: SwarmPki = field(default_factory=SwarmPki)
    name: TorrentName = NAME
    sizes: Mapping[str, int] = field(default_factory=lambda: SIZES)
    contents: Mapping[str, bytes] = field(default_factory=dict)
    """Of files that are not random."""
    checksums: bool = True
    """Whether the torrent says the SHA-256 of each file, as `publish` has it."""
    torrent: bytes = field(init=False)

    def __post_init__(self) -> None:
        for path, size in self.sizes.items():
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self.contents.get(path) or os.urandom(size))
        torrent = create_torrent(
            self.folder, name=self.name, ca_pem=self.pki.ca_pem, checksums=self.checksums
        )
        object.__setattr__(self, "torrent", torrent)

    @property
    def folder(self) -> Path:
        return self.root / self.name

    @property
    def metainfo(self) -> Metainfo:
        return Metainfo.from_bytes(self.torrent)

    @property
    def paths(self) -> list[str]:
        """In the torrent's order."""
        return ["/".join(file.path) for file in self.metainfo.files]

    @property
    def info_hash(self) -> InfoHash:
        return self.metainfo.info_hash

    def licence(self, number: int = 1) -> Leaf:
        return self.pki.issue(licence_identity(self.name, self.metainfo.info, number=number))

    def seeder(self) -> Leaf:
        return self.pki.issue(SeederIdentity("s-1"))

    def add(
        self,
        where: Path,
        leaf: Leaf,
        *,
        complete: bool = False,
        resume: ResumePoint | None = None,
        paths: list[str] | None = None,
    ) -> AddTorrent:
        """How to add it, with the files directly below `where`."""
        where.mkdir(parents=True, exist_ok=True)
        return AddTorrent(
            torrent=self.torrent,
            save_path=where,
            certificate_pem=leaf.certificate_pem,
            key_pem=leaf.key_pem,
            trackers=(),
            paths=paths or self.paths,
            resume=resume,
            complete=complete,
        )

    def is_in(self, where: Path, paths: list[str] | None = None) -> bool:
        """Whether all files lie below `where`, byte for byte."""
        return all(
            (where / path).read_bytes() == (self.folder / original).read_bytes()
            for original, path in zip(self.paths, paths or self.paths, strict=True)
        )


def settings(*, upload_bytes_s: int = 0) -> SessionSettings:
    return SessionSettings(
        listen_port=0,
        listen_host=HOST,
        upload_limit_bytes_s=upload_bytes_s,
        limit_local_peers=upload_bytes_s > 0,
    )


@contextlib.asynccontextmanager
async def open_seeder(*, upload_bytes_s: int = 0) -> AsyncIterator[Session]:
    """A session that others take for a central seeder, and that knows all of its trackers."""
    async with open_session(settings(upload_bytes_s=upload_bytes_s)) as session:
        session._session.apply_settings(
            {
                "peer_fingerprint": PEER_ID_SEEDER,
                "unchoke_slots_limit": 64,
                # Both: with the first alone libtorrent 2.1.1 never comes to the second tier.
                "announce_to_all_tiers": True,
                "announce_to_all_trackers": True,
            }
        )
        yield session


@dataclass(frozen=True)
class Seed:
    session: Session
    torrent: Torrent

    @property
    def port(self) -> int:
        return self.session.listen_port

    @property
    def uploaded_bytes(self) -> int:
        return self.torrent.status().uploaded_bytes


@contextlib.asynccontextmanager
async def seeding(album: Album, *, upload_bytes_s: int = 0) -> AsyncIterator[Seed]:
    """A central seeder that has the album."""
    async with open_seeder(upload_bytes_s=upload_bytes_s) as session:
        torrent = await session.add(album.add(album.folder, album.seeder(), complete=True))
        while torrent.status().phase is not Phase.SEEDING:
            await torrent.wait_change()
        yield Seed(session, torrent)


async def until_bytes(torrent: Torrent, count: int) -> None:
    """Wait for pieces until so many bytes are verified."""
    while torrent.status().verified_bytes < count:
        await torrent.wait_change()
    await trio.lowlevel.checkpoint()
