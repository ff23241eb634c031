"""Licensing and tracker of a benchmark in a process of its own, and the albums that it sells.

The seeder is a node of ours: the process of `bench-swarm`.
"""

import json
import sys
from functools import partial
from pathlib import Path

import trio

from client_lib.wire.certificates import SeederIdentity
from client_lib.wire.release import parse_torrent_name
from tests.bench.swarm.process import PEER_PORT
from tests.integration.client.rig import Album
from tests.integration.client.shop import Shop
from tests.pki import Leaf, SwarmPki, licence_identity
from tests.unit.client_lib.transport.https_server import https_server

TRACKS = 4


async def main(root: Path, seeder: str, albums: int, album_bytes: int, *, checksums: bool) -> None:
    """Publish albums below `root`, sell a licence of each, and serve until killed.

    `offer.json` appears when all is there. Other clients find torrents, licences' certificates and
    keys below `root`, by name.
    """
    root.mkdir(parents=True)
    pki = SwarmPki()
    sizes = {f"{track:02}.flac": album_bytes // TRACKS for track in range(TRACKS)}
    published = [
        Album(
            root / "origin",
            pki,
            parse_torrent_name(f"rel-{number:04}.flac-16-44"),
            sizes,
            checksums=checksums,
        )
        for number in range(1, albums + 1)
    ]
    _keep(root / "seeder", pki.issue(SeederIdentity("seeder-1")))
    (root / "ca.pem").write_text(pki.ca_pem)
    shop = Shop(published[0], peers=((seeder, PEER_PORT),))
    async with https_server(pki, root, shop.answer) as server:
        shop.tracker_url = server.url
        for number, album in enumerate(published, start=1):
            (root / f"{album.name}.torrent").write_bytes(album.torrent)
            identity = licence_identity(album.name, album.metainfo.info, number=number)
            _keep(root / album.name, pki.issue(identity))
            shop.sell(number, album=album, title=f"Album {number}")
        offer = {"url": server.url, "names": [album.name for album in published]}
        (root / "offer.new").write_text(json.dumps(offer))
        (root / "offer.new").rename(root / "offer.json")
        await trio.sleep_forever()


def _keep(base: Path, leaf: Leaf) -> None:
    for end, text in (
        (".crt", leaf.certificate_pem),
        (".key", leaf.key_pem),
        (".pem", leaf.key_pem + leaf.certificate_pem),
    ):
        base.with_name(base.name + end).write_text(text)


if __name__ == "__main__":
    folder, address, *numbers = sys.argv[1:]
    albums, size_bytes, said = map(int, numbers)
    trio.run(partial(main, Path(folder), address, albums, size_bytes, checksums=bool(said)))
