"""Listening while it downloads: what is played comes first, whatever the rest of the album does."""

from pathlib import Path

import pytest
import trio

from client_lib.errors import UsageError
from client_lib.wire.licence import LicenceId
from tests.integration.client.rig import Album, seeding
from tests.integration.client.shop import Shop, called_by, customer
from tests.integration.client.streaming_rig import SIZES, playing, read, torrent_of
from tests.patience import PATIENCE_S


async def test_track_plays_before_the_album_is_there_and_seeks(tmp_path: Path) -> None:
    async with playing(tmp_path) as at:
        content = at.bytes_of("07.flac")
        async with await at.job.open_track(at.licence_id, "07.FLAC") as stream:
            assert stream.size_bytes == len(content)
            assert await read(stream, 100_000) == content[:100_000]
            assert at.verified_bytes < 8_050_000 // 2
            await stream.seek(800_000)
            assert stream.tell() == 800_000
            assert await read(stream, 50_000) == content[800_000:850_000]
            await stream.seek(len(content))
            assert await stream.receive_some() == b""
            with pytest.raises(ValueError, match="1000001"):
                await stream.seek(len(content) + 1)
        with pytest.raises(trio.ClosedResourceError):
            await stream.receive_some()
        torrent = at.torrent
        while set(torrent._handle.get_piece_priorities()) != {4}:
            await torrent.wait_change()


async def test_two_listeners_at_once_and_the_rest_of_a_complete_album(tmp_path: Path) -> None:
    heard: dict[str, bytes] = {}

    async with playing(tmp_path, bytes_s=0) as at:

        async def listen(path: str) -> None:
            async with await at.job.open_track(at.licence_id, path) as stream:
                heard[stream.path] = await read(stream, 2_000_000)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen, "2")
            nursery.start_soon(listen, "08*")
        assert heard == {path: at.bytes_of(path) for path in ("02.flac", "08.flac")}
        async with await at.job.open_track(at.licence_id, "cover.jpg") as stream:
            first = await read(stream, 10)
            await at.job.result()
            assert first + await read(stream, 100_000) == at.bytes_of("cover.jpg")
        async with await at.job.open_track(at.licence_id, "1") as stream:
            assert await read(stream, 2_000_000) == at.bytes_of("01.flac")


async def test_what_cannot_be_played_is_told(tmp_path: Path) -> None:
    async with playing(tmp_path) as at:
        for path, complaint in (("9", "no track 9"), ("*.flac", "8 files fit"), ("x", "no file")):
            with pytest.raises(UsageError, match=complaint):
                await at.job.open_track(at.licence_id, path)
        await at.job.pause(at.licence_id)
        with pytest.raises(UsageError, match="paused"):
            await at.job.open_track(at.licence_id, "1")
        with pytest.raises(UsageError, match="not in the job"):
            await at.job.open_track(LicenceId("a" * 26), "1")


async def test_nobody_waits_for_a_track_when_the_download_has_ended(tmp_path: Path) -> None:
    sizes = {"01.flac": 100_000, "02.flac": 100_000}
    async with playing(tmp_path, bytes_s=0, sizes=sizes) as at:
        await at.job.select_files(at.licence_id, ["01.flac"])
        await at.job.result()
        await at.job.select_files(at.licence_id, [])  # for the next download
        async with await at.job.open_track(at.licence_id, "1") as stream:
            assert await read(stream, 200_000) == at.bytes_of("01.flac")
        with trio.fail_after(PATIENCE_S), pytest.raises(UsageError, match="has ended"):
            await at.job.open_track(at.licence_id, "2")


async def test_play_first_fetches_in_listening_order(tmp_path: Path) -> None:
    async with playing(tmp_path, play_first="6") as at:
        async with await at.job.open_track(at.licence_id, "1") as stream:
            await stream.receive_some()  # the album has joined its swarm
        torrent = at.torrent
        sixth = range(5 * 16, 6 * 16)
        while not set(sixth) <= torrent.pieces.verified:
            await torrent.wait_change()
        assert at.verified_bytes < 8_050_000 // 2


async def test_peers_alone_are_asked_for_what_is_played(tmp_path: Path) -> None:
    album = Album(tmp_path / "published", sizes=SIZES)
    shop = Shop(album)
    record = shop.sell()
    with trio.fail_after(PATIENCE_S):
        async with (
            seeding(album, upload_bytes_s=400_000) as seed,
            customer(shop, tmp_path / "device") as buyer,
        ):
            licences = await buyer.client.redeem("token")
            async with (
                buyer.client.download(licences, into=tmp_path / "music") as job,
                called_by(seed, buyer.port),
                await job.open_track(record.licence_id, "08.flac") as stream,
            ):
                heard = await read(stream, 500_000)
                torrent = torrent_of(job, record.licence_id)
                assert torrent.status().verified_bytes < 8_050_000 // 2
    assert heard == (album.folder / "08.flac").read_bytes()[:500_000]
