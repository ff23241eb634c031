"""On the customer's terms: nothing given where that was asked, goals kept, everything counted."""

import dataclasses
import math
from pathlib import Path

import trio

from client_lib.download import (
    ClientSettings,
    GoalReached,
    Progress,
    Seeding,
    SeedingGoal,
    SessionSettings,
)
from client_lib.download.line.router_watch import port_mapped
from client_lib.download.traffic.file import read_traffic
from client_lib.swarm.hardening import settings_pack
from client_lib.swarm.session import PortMapping, open_session
from client_lib.swarm.status import Phase
from tests.integration.client.market import market
from tests.integration.client.rig import HOST, Album, seeding, settings
from tests.patience import PATIENCE_S

FILES = {"01 one.flac": 400_000, "02 two.flac": 300_000}
TOTAL = sum(FILES.values())


async def test_without_upload_no_byte_leaves_and_downloads_go_on(tmp_path: Path) -> None:
    album = Album(tmp_path / "origin")
    silent = dataclasses.replace(settings(), upload=False)
    with trio.fail_after(PATIENCE_S):
        async with (
            seeding(album, upload_bytes_s=400_000) as seed,
            open_session(silent) as metered,
            open_session(settings()) as other,
        ):
            mine = await metered.add(album.add(album.folder, album.licence(1), complete=True))
            while mine.status().phase is not Phase.SEEDING:
                await mine.wait_change()
            theirs = await other.add(album.add(tmp_path / "b", album.licence(2)))
            theirs.connect(HOST, metered.listen_port)
            theirs.connect(HOST, seed.port)
            most = 0
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:

                    async def watch() -> None:
                        nonlocal most
                        while True:
                            most = max(most, len(mine.peers()))
                            await theirs.wait_change()

                    nursery.start_soon(watch)
                    await theirs.wait_complete()
                    scope.cancel()
            assert most == 1  # it was there, and was asked
            assert mine.status().uploaded_bytes == 0
            assert (await metered.traffic()).sent_bytes == 0
            assert (await other.traffic()).received_bytes >= TOTAL
        async with seeding(album) as seed, open_session(silent) as metered:
            mine = await metered.add(album.add(tmp_path / "c", album.licence(1)))
            mine.connect(HOST, seed.port)
            await mine.wait_complete()


async def test_album_is_given_until_its_goal_and_both_ends_count(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE_S):
        async with market(tmp_path / "market", [FILES]) as shop:
            folder = tmp_path / "one"
            goal = SeedingGoal(seconds=0.3)
            async with shop.customer(folder, seeding_goal=goal) as client:
                async with client.download(
                    shop.licences, into=folder / "music", keep_seeding=True
                ) as job:
                    kinds = [type(e) async for e in job.events() if not isinstance(e, Progress)]
                (licence,) = shop.licences
                stats = await client.stats()
                assert kinds.index(Seeding) < kinds.index(GoalReached) == len(kinds) - 1
                row = stats.albums[licence.licence_id]
                assert (row.name, row.from_customers_bytes) == (licence.name, 0)
                assert row.from_seeders_bytes >= TOTAL
                assert row.from_seeders_bytes == shop.torrents[0].status().uploaded_bytes
                assert 0.3 <= row.given_s < math.inf
                # In the next run the goal is reached at once, and nothing is counted again.
                async with client.download(
                    shop.licences, into=folder / "music", keep_seeding=True
                ) as job:
                    assert [e async for e in job.events() if isinstance(e, GoalReached)]
                assert (await client.stats()).total.taken_bytes == stats.total.taken_bytes


async def test_ledger_is_written_while_a_download_runs(tmp_path: Path) -> None:
    """So a SIGKILL costs what the last seconds brought, and no more."""
    with trio.fail_after(PATIENCE_S):
        async with (
            market(tmp_path / "market", [FILES], upload_bytes_s=100_000) as shop,
            shop.customer(tmp_path / "one") as client,
            client.download(shop.licences, into=tmp_path / "music") as job,
        ):
            rows = read_traffic(client.library.folder).albums
            async for _ in job.events():
                if rows := read_traffic(client.library.folder).albums:
                    break
            (row,) = rows.values()
            assert 0 < row.taken_bytes <= shop.torrents[0].status().uploaded_bytes


def test_port_mapping_reaches_libtorrent() -> None:
    assert ClientSettings().session.port_mapping
    for wanted in (True, False):
        pack = settings_pack(SessionSettings(port_mapping=wanted))
        assert (pack["enable_upnp"], pack["enable_natpmp"]) == (wanted, wanted)


async def test_without_port_mapping_no_router_is_asked() -> None:
    with trio.fail_after(PATIENCE_S):
        async with open_session(settings()) as session:
            native = session._session.get_settings()
            assert not native["enable_upnp"]
            assert not native["enable_natpmp"]
            assert session.port_mapping is None


def test_what_the_router_said_is_a_sentence() -> None:
    assert port_mapped(PortMapping(51234, "UPnP", "")).detail == (
        "others can call this device on port 51234 (UPnP)"
    )
    refused = port_mapped(PortMapping(None, "NAT-PMP", "no router found"))
    assert refused.port is None
    assert "no router found" in refused.detail
