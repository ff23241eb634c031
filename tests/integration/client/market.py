"""A shop with many albums: licensing and a tracker in one server, a libtorrent seeder with all."""

import contextlib
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client_lib.download import Client, ClientSettings, SessionSettings, open_client
from client_lib.swarm.session import Session
from client_lib.swarm.torrent import Torrent
from client_lib.wire.licensing_api import LicenceRecord
from client_lib.wire.release import parse_torrent_name
from tests.integration.client.rig import HOST, Album, open_seeder
from tests.integration.client.shop import Shop
from tests.pki import SwarmPki
from tests.unit.client_lib.transport.https_server import HttpsServer, https_server

HOSTILE = [
    "AC/DC: <Live?> |*|",
    "..",
    "CON",
    "nul.flac",
    "  . . .",
    "COM1.flac",
    "Ünïcödé \U0001f3b5" * 20,
    "a\u0301\u0323",
    "~/$(reboot)`id`",
    "name. ",
]


@dataclass(frozen=True)
class Market:
    """Everything that a customer needs, running."""

    shop: Shop
    seeder: Session
    server: HttpsServer
    albums: tuple[Album, ...]
    licences: tuple[LicenceRecord, ...]
    torrents: tuple[Torrent, ...]
    """The seeder's, one an album."""

    @contextlib.asynccontextmanager
    async def customer(self, folder: Path, **changes: Any) -> AsyncIterator[Client]:  # noqa: ANN401
        """A device of the shop; `folder` is kept from one time to the next."""
        values: dict[str, Any] = {
            "data_folder": folder / "data",
            "licensing_url": self.server.url,
            "licensing_ca": self.shop.album.pki.ca_pem,
            "session": SessionSettings(listen_port=0, listen_host=HOST, limit_local_peers=True),
        }
        async with open_client(ClientSettings(**{**values, **changes})) as client:
            yield client

    def limit_seeder(self, upload_bytes_s: int) -> None:
        self.seeder.set_limits(upload_bytes_s=upload_bytes_s, download_bytes_s=0)


@contextlib.asynccontextmanager
async def market(
    folder: Path,
    contents: Sequence[Mapping[str, int]],
    *,
    titles: Sequence[str] = (),
    same: Mapping[int, Mapping[str, str]] | None = None,
    upload_bytes_s: int = 0,
    checksums: bool = True,
) -> AsyncIterator[Market]:
    """Open a market with albums of these files and sizes.

    Albums in `same`, by index, have files that are the same as other ones of the first album.
    """
    pki = SwarmPki()
    (folder / "server").mkdir(parents=True)
    albums: tuple[Album, ...] = ()
    for n, files in enumerate(contents, 1):
        given = (same or {}).get(n - 1, {})
        equal = {path: (albums[0].folder / other).read_bytes() for path, other in given.items()}
        name = parse_torrent_name(f"rel-{n:04}.flac-16-44")
        albums += (Album(folder / "origin", pki, name, files, equal, checksums),)
    shop = Shop(albums[0])
    async with (
        open_seeder(upload_bytes_s=upload_bytes_s or 1 << 30) as seeder,
        https_server(pki, folder / "server", shop.answer) as server,
    ):
        shop.tracker_url = server.url
        shop.peers = ((HOST, seeder.listen_port),)
        torrents = [
            await seeder.add(album.add(album.folder, album.seeder(), complete=True))
            for album in albums
        ]
        licences = tuple(
            shop.sell(n, album=album, title=titles[n - 1] if n <= len(titles) else f"Album {n}")
            for n, album in enumerate(albums, 1)
        )
        yield Market(shop, seeder, server, albums, licences, tuple(torrents))


def small_albums(count: int, *, size: int = 300_000, seed: int = 1) -> list[dict[str, int]]:
    """Sizes of albums with a few files each, the same for one seed."""
    chance = random.Random(seed)
    return [
        {f"{n:02} track.flac": chance.randrange(size // 8, size // 2) for n in range(1, 4)}
        for _ in range(count)
    ]
