"""A customer whose network lets no peer through gets the album from the store's web seed."""

from pathlib import Path

import trio

from client_lib.download import Event, Fallback, Finished
from client_lib.wire.release import AudioFormat, ReleaseId
from seeder.publish import Press, Release, publish
from tests.integration.client.rig import Album
from tests.integration.client.shop import Shop, customer
from tests.integration.seeder.rig import NodeRig
from tests.integration.seeder.web_seed_rig import hosted
from tests.patience import PATIENCE_S
from tests.unit.seeder.fake_licensing import FakeLicensing


async def test_album_arrives_without_a_single_peer(tmp_path: Path) -> None:
    album = Album(tmp_path / "published")
    rig = NodeRig(tmp_path, licensing=FakeLicensing(pki=album.pki))
    release = Release(album.folder, ReleaseId("rel-0001"), AudioFormat("flac-16-44"))
    async with rig.licensing.client() as client:
        entry = (await publish(release, Press(rig.origin, client))).entry
    assert entry.info_hash == album.info_hash.hex
    events: list[Event] = []
    with trio.fail_after(PATIENCE_S):
        async with hosted(rig) as seed:
            shop = Shop(album, web_seeds=(seed.url,))
            shop.sell()
            async with customer(shop, tmp_path / "device") as buyer:
                licences = await buyer.client.redeem("token")
                async with buyer.client.download(licences, into=tmp_path / "music") as job:
                    async for event in job.events():
                        events.append(event)
                    (finished,) = await job.result()
            assert seed.sent_bytes == album.metainfo.size_bytes
    assert album.is_in(finished.folder)
    assert [event.joined for event in events if isinstance(event, Fallback)] == [True]
    assert [e.from_seeders_bytes for e in events if isinstance(e, Finished)] == [
        album.metainfo.size_bytes
    ]
