from pathlib import Path
from urllib.parse import quote_from_bytes

from client_lib.wire import bencode
from client_lib.wire.certificates import SeederIdentity
from tests.integration.tracker.rig import FakeLicensing, running_tracker
from tests.pki import SwarmPki, licence_identity


async def test_a_licensed_customer_scrapes_its_swarm_over_mutual_tls(tmp_path: Path) -> None:
    pki = SwarmPki()
    mine = licence_identity(number=1)
    leaf = pki.issue(mine)
    info_hash = mine.info_hash.truncated
    async with running_tracker(tmp_path, FakeLicensing(pki)) as rig:
        await rig.announce(pki.issue(SeederIdentity("node-1")), left_bytes=0)
        async with rig.connected(leaf) as client:
            for asked in (info_hash, b"o" * 20):
                target = f"/scrape/{mine.licence_id}?info_hash={quote_from_bytes(asked, safe='')}"
                status, body = await client.request(
                    f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
                )
                assert status == 200
                answer = bencode.decode(body)
                assert isinstance(answer, dict)
                if asked == info_hash:
                    counts = {b"complete": 1, b"downloaded": 0, b"incomplete": 0}
                    assert answer == {b"files": {info_hash: counts}}
                else:
                    assert b"other-swarm: " in body
