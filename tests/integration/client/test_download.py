"""The embedders' API: albums bought, fetched, verified and mended, and what goes wrong with one."""

import shutil
from pathlib import Path

import pytest
import trio

from client_lib.download import Event, Failed, FileState, Finished, Progress, Queued, Started
from client_lib.errors import (
    AlbumswarmError,
    DownloadError,
    LicenceRefused,
    SignatureError,
    StorageError,
    UnreachableError,
    UsageError,
)
from client_lib.wire.licensing_api import LicenceRecord
from tests.integration.client.rig import SIZES, Album, Seed, seeding
from tests.integration.client.shop import Customer, Shop, called_by, customer
from tests.patience import PATIENCE_S
from tests.pki import SwarmPki

TOTAL = sum(SIZES.values())
SHOWN = "Ålbum 1 (2026) [FLAC 16-44]"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(Album(tmp_path / "origin"))


async def fetch(
    who: Customer, seed: Seed, licences: list[LicenceRecord], into: Path
) -> list[Event]:
    async with (
        called_by(seed, who.port),
        who.client.download(licences, into=into) as job,
    ):
        return [event async for event in job.events()]


async def failure(who: Customer, licence: LicenceRecord, into: Path) -> AlbumswarmError:
    async with who.client.download([licence], into=into) as job:
        with pytest.raises(AlbumswarmError) as raised:
            await job.result()
    return raised.value


async def test_album_arrives_and_events_never_go_back(shop: Shop, tmp_path: Path) -> None:
    music = tmp_path / "music"
    with trio.fail_after(PATIENCE_S):
        async with (
            seeding(shop.album, upload_bytes_s=1_000_000) as seed,
            customer(shop, tmp_path / "c") as who,
        ):
            shop.sell()
            (licence,) = await who.client.redeem("a.b.c")
            events = await fetch(who, seed, [licence], music)
            # Before it starts, what is on the disk may have to be hashed.
            started = next(n for n, event in enumerate(events) if isinstance(event, Started))
            assert isinstance(events[0], Queued)
            assert all(isinstance(e, Progress) and e.checking for e in events[1:started])
            assert isinstance(events[-1], Finished)
            progress = [event for event in events if isinstance(event, Progress)]
            arrived = [e.from_seeders_bytes + e.from_customers_bytes for e in progress]
            assert arrived == sorted(arrived)
            assert events[-1].folder == music / "Artist" / SHOWN
            assert events[-1].from_seeders_bytes >= TOTAL
            assert events[-1].from_customers_bytes == 0
            assert shop.album.is_in(events[-1].folder)
            assert {p.name for p in music.iterdir()} == {"Artist"}
            findings = await who.client.verify(licence)
            assert {finding.state for finding in findings} == {FileState.OK}

            shop.away = True
            asked = len(shop.asked)
            (_, again) = await fetch(who, seed, [licence], music)
            assert isinstance(again, Finished)
            assert again.already_there
            assert len(shop.asked) == asked, "nothing to ask for a complete album"
            assert await who.client.licences() == (licence,)


async def test_damage_is_found_and_only_it_is_fetched_again(shop: Shop, tmp_path: Path) -> None:
    licence, music = shop.sell(), tmp_path / "music"
    with trio.fail_after(PATIENCE_S):
        async with customer(shop, tmp_path / "c") as who:
            async with seeding(shop.album) as seed:
                await fetch(who, seed, [licence], music)
            file = music / "Artist" / SHOWN / "folder.jpg"
            file.write_bytes(bytes(file.stat().st_size))
            wrong = [f for f in await who.client.verify(licence) if f.state is not FileState.OK]
            assert [(f.path, f.state) for f in wrong] == [("folder.jpg", FileState.CORRUPT)]
            async with seeding(shop.album) as seed:  # the first one remembers us as complete
                mended = (await fetch(who, seed, [licence], music))[-1]
            assert isinstance(mended, Finished)
            assert 0 < mended.from_seeders_bytes < TOTAL // 2
            assert shop.album.is_in(mended.folder)


async def test_deleted_album_is_fetched_again(shop: Shop, tmp_path: Path) -> None:
    licence, music = shop.sell(), tmp_path / "music"
    with trio.fail_after(PATIENCE_S):
        async with customer(shop, tmp_path / "c") as who:
            async with seeding(shop.album) as seed:
                first = (await fetch(who, seed, [licence], music))[-1]
            assert isinstance(first, Finished)
            shutil.rmtree(first.folder)
            async with seeding(shop.album) as seed:  # the first one remembers us as complete
                again = (await fetch(who, seed, [licence], music))[-1]
            assert isinstance(again, Finished)
            assert again.from_seeders_bytes >= TOTAL
            assert shop.album.is_in(again.folder)


async def test_revoked_licence_fails_alone(shop: Shop, tmp_path: Path) -> None:
    good, revoked = shop.sell(1), shop.sell(2)
    shop.revoked.add(revoked.licence_id)
    with trio.fail_after(PATIENCE_S):
        async with seeding(shop.album) as seed, customer(shop, tmp_path / "c") as who:
            events = await fetch(who, seed, [revoked, good], tmp_path / "music")
            ends = {e.licence_id: e for e in events if isinstance(e, Failed | Finished)}
            failed = ends[revoked.licence_id]
            assert isinstance(failed, Failed)
            assert isinstance(failed.error, LicenceRefused)
            assert "this licence was revoked" in str(failed.error)
            assert isinstance(ends[good.licence_id], Finished)


async def test_licensing_outage_stops_nobody_who_has_a_certificate(
    shop: Shop, tmp_path: Path
) -> None:
    licence = shop.sell()
    with trio.fail_after(PATIENCE_S):
        async with customer(shop, tmp_path / "c", patience_s=0.2) as who:
            error = await failure(who, licence, tmp_path / "music")  # nobody calls yet
            assert isinstance(error, DownloadError)
            assert "nothing arrived" in str(error)
        shop.away = True
        async with seeding(shop.album) as seed, customer(shop, tmp_path / "c") as who:
            end = (await fetch(who, seed, [licence], tmp_path / "music"))[-1]
            assert isinstance(end, Finished)


async def test_without_a_certificate_an_outage_is_told(shop: Shop, tmp_path: Path) -> None:
    licence = shop.sell()
    with trio.fail_after(PATIENCE_S):
        async with customer(shop, tmp_path / "c") as who:
            await who.client.redeem("a.b.c")
            shop.away = True
            error = await failure(who, licence, tmp_path / "music")
            assert isinstance(error, UnreachableError)
            assert error.exit_code == 4
            assert not (tmp_path / "music").exists()


@pytest.mark.parametrize(
    "wrong", ["unsigned", "another licence's", "another CA's", "garbage", "another release"]
)
async def test_torrent_that_the_store_did_not_sign_for_us_is_not_touched(
    shop: Shop, tmp_path: Path, wrong: str
) -> None:
    licence, other = shop.sell(1), shop.sell(2)
    match wrong:
        case "unsigned":
            torrent = shop.album.torrent
        case "another licence's":
            torrent = shop.torrents[other.licence_id]
        case "another CA's":
            stranger = Shop(Album(tmp_path / "other", SwarmPki()))
            torrent = stranger.torrent_for(licence.licence_id)
        case "another release":
            content = Shop(Album(tmp_path / "other", shop.album.pki))
            torrent = content.torrent_for(licence.licence_id)
        case _:
            torrent = b"garbage"
    shop.torrents[licence.licence_id] = torrent
    with trio.fail_after(PATIENCE_S):
        async with customer(shop, tmp_path / "c") as who:
            error = await failure(who, licence, tmp_path / "music")
    assert isinstance(error, SignatureError | LicenceRefused) or wrong == "garbage"
    assert not (tmp_path / "music").exists()
    assert not list((tmp_path / "c").rglob("album.torrent"))


async def test_unusable_partial_folder_fails_and_does_not_hang(shop: Shop, tmp_path: Path) -> None:
    licence, music = shop.sell(), tmp_path / "music"
    partial = music / ".albumswarm" / f"{licence.name}.{licence.licence_id[:8]}"
    partial.mkdir(parents=True)
    (partial / "CD 2").write_text("a file where a folder should be")
    with trio.fail_after(PATIENCE_S):
        async with seeding(shop.album) as seed, customer(shop, tmp_path / "c") as who:
            (*_, end) = await fetch(who, seed, [licence], music)
    assert isinstance(end, Failed)
    assert isinstance(end.error, StorageError | DownloadError)
    assert str(partial) in str(end.error)


async def test_stopped_download_keeps_what_it_has(shop: Shop, tmp_path: Path) -> None:
    licence, music = shop.sell(), tmp_path / "music"
    with trio.fail_after(PATIENCE_S):
        async with (
            seeding(shop.album, upload_bytes_s=600_000) as seed,
            customer(shop, tmp_path / "c") as who,
        ):
            async with (
                called_by(seed, who.port),
                who.client.download([licence], into=music) as job,
            ):
                async for event in job.events():
                    if isinstance(event, Progress) and event.verified_bytes > TOTAL // 2:
                        break
            with pytest.raises(DownloadError, match="stopped"):
                await job.result()
            seed.session.set_limits(upload_bytes_s=0, download_bytes_s=0)
            events = await fetch(who, seed, [licence], music)
            end = events[-1]
            assert isinstance(end, Finished)
            assert shop.album.is_in(end.folder)
            (started,) = [event for event in events if isinstance(event, Started)]
            assert started.resumed_bytes > TOTAL // 4
            assert end.from_seeders_bytes <= TOTAL - started.resumed_bytes + 65_536


async def test_one_library_downloads_once_at_a_time(shop: Shop, tmp_path: Path) -> None:
    licence, music = shop.sell(), tmp_path / "music"
    with trio.fail_after(PATIENCE_S):
        async with (
            customer(shop, tmp_path / "c") as who,
            who.client.download([licence], into=music),
        ):
            with pytest.raises(UsageError, match="another albumswarm process"):
                async with who.client.download([licence], into=music):
                    raise AssertionError("twice")
