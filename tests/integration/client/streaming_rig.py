"""A customer who listens: a slow line from a web seed, and no peer."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import trio

from client_lib.download import DownloadJob
from client_lib.swarm.torrent import Torrent
from client_lib.wire.licence import LicenceId
from client_lib.wire.release import AudioFormat, ReleaseId
from seeder.publish import Press, Release, publish
from tests.integration.client.rig import Album
from tests.integration.client.shop import Shop, customer
from tests.integration.seeder.rig import NodeRig
from tests.integration.seeder.web_seed_rig import Hosted, hosted
from tests.patience import PATIENCE_S
from tests.unit.seeder.fake_licensing import FakeLicensing

SIZES = {f"{number:02}.flac": 1_000_000 for number in range(1, 9)} | {"cover.jpg": 50_000}
LINE_BYTES_S = 250_000


@dataclass
class Playing:
    album: Album
    job: DownloadJob
    licence_id: LicenceId
    web_seed: Hosted

    def bytes_of(self, path: str) -> bytes:
        return (self.album.folder / path).read_bytes()

    @property
    def torrent(self) -> Torrent:
        return torrent_of(self.job, self.licence_id)

    @property
    def verified_bytes(self) -> int:
        return self.torrent.status().verified_bytes


def torrent_of(job: DownloadJob, licence_id: LicenceId) -> Torrent:
    """Torrent of an album under way."""
    album = job._runner.album(licence_id)
    assert album is not None
    assert album._torrent is not None
    return album._torrent


@contextlib.asynccontextmanager
async def playing(
    root: Path,
    *,
    bytes_s: int = LINE_BYTES_S,
    play_first: str | None = None,
    sizes: Mapping[str, int] | None = None,
    patience_s: float = PATIENCE_S,
) -> AsyncIterator[Playing]:
    """A customer who has begun to download, with a web seed of so much and no peer."""
    album = Album(root / "published", sizes=sizes or SIZES)
    rig = NodeRig(root, licensing=FakeLicensing(pki=album.pki))
    release = Release(album.folder, ReleaseId("rel-0001"), AudioFormat("flac-16-44"))
    async with rig.licensing.client() as client:
        await publish(release, Press(rig.origin, client))
    with trio.fail_after(patience_s):
        async with hosted(rig, bytes_s=bytes_s) as web_seed:
            shop = Shop(album, web_seeds=(web_seed.url,))
            record = shop.sell()
            async with customer(shop, root / "device") as buyer:
                licences = await buyer.client.redeem("token")
                async with buyer.client.download(
                    licences, into=root / "music", play_first=play_first
                ) as job:
                    yield Playing(album, job, record.licence_id, web_seed)


async def read(stream: trio.abc.ReceiveStream, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := await stream.receive_some(count - len(data))):
        data += more
    return data
