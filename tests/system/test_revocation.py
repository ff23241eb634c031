"""A refund while the album is being downloaded."""

import json
from pathlib import Path
from typing import Any

import trio

from client_lib.console import print_text
from docs.demo.customers import buy
from docs.demo.services import open_network, run
from tests.integration.seeder.rig import eventually
from tests.patience import PATIENCE_S
from tests.system.shop import FORMAT, digests, getting, publish, write_album

MB = 1_000_000


def status_of(data: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((data / "status.json").read_bytes())
    return found


async def test_a_revoked_customer_is_cut_and_its_neighbour_goes_on(tmp_path: Path) -> None:
    albums = {
        f"rel-000{n}": write_album(tmp_path / f"album {n}", {"01.flac": 16 * MB}, seed=n)
        for n in (1, 2)
    }
    slowly = ("--download-limit", str(MB))
    with trio.fail_after(PATIENCE_S):
        async with open_network(tmp_path / "net", seeder_upload_bytes_s=0) as network:
            for release_id, folder in albums.items():
                await publish(network, folder, release_id)
            # At one address, and in two swarms, so that nobody but the seeder serves them.
            refunded = await buy(network, "refunded", f"rel-0001.{FORMAT}")
            neighbour = await buy(network, "neighbour", f"rel-0002.{FORMAT}")
            async with getting(refunded, *slowly) as bad, getting(neighbour, *slowly) as good:
                for get in (bad, good):
                    await get.wait_event("progress", at_least=MB)
                began_s = trio.current_time()
                await run(
                    *("albumswarm-licensing", "revoke", "--data", network.licensing_data),
                    *("--licence", refunded.licence.licence_id),
                )
                await eventually(lambda: status_of(network.seeder_data)["revoked_cuts"] > 0)
                print_text(f"cut {trio.current_time() - began_s:.1f} s after the revocation")
                status = status_of(network.seeder_data)
                finished = await good.wait_event("finished")
        last = status_of(network.seeder_data)
    sent = [
        {release["name"]: release["uploaded_total_bytes"] for release in each["releases"]}
        for each in (status, last)
    ]
    revoked, other = (f"{release_id}.{FORMAT}" for release_id in albums)
    assert 0 < sent[0][revoked] < 16 * MB
    # What was being sent at that moment may have been counted after it.
    assert sent[1][revoked] <= sent[0][revoked] + 256 * 1024
    assert sent[1][other] == 16 * MB
    assert last["revoked_cuts"] == 1
    assert digests(Path(finished["folder"])) == digests(albums["rel-0002"])
