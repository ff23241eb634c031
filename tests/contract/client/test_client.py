"""What an embedder may rely on, of the real client and of the fake one alike."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from client_lib import (
    Client,
    DownloadJob,
    Event,
    Failed,
    FileState,
    Finished,
    LicenceRecord,
    Order,
    Paused,
    Progress,
    Queued,
    QueueState,
    Revoked,
    Seeding,
    Stalled,
    Started,
    Verified,
    VerifyProgress,
)
from client_lib.download.disk.checksums import CHECKSUMS_FILE
from client_lib.download.queueing.requests import Pause, Remove, Resume
from client_lib.errors import DownloadError, LibraryInUse, LicenceRevoked, UsageError
from tests.contract.client.shops import FAST, FILES, SLOW, Shop, shop
from tests.patience import PATIENCE_S

SIZE = sum(FILES.values())


@pytest.fixture(params=["fake", "real"])
def kind(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@contextlib.asynccontextmanager
async def customer(shop: Shop) -> AsyncIterator[tuple[Client, tuple[LicenceRecord, ...]]]:
    with trio.fail_after(PATIENCE_S):
        async with shop.open(shop.settings) as client:
            yield client, await client.redeem(shop.token)


async def until(job: DownloadJob, kind: type[Event], licence: LicenceRecord) -> Event:
    async for event in job.events():
        if isinstance(event, kind) and getattr(event, "licence_id", "") == licence.licence_id:
            return event
    raise AssertionError(f"no {kind.__name__}")


def sizes(folder: Path) -> dict[str, int]:
    return {p.name: p.stat().st_size for p in folder.iterdir() if p.name != CHECKSUMS_FILE}


async def some_bytes(job: DownloadJob) -> None:
    async for event in job.events():
        if isinstance(event, Progress) and event.verified_bytes > 200_000:
            return


async def test_albums_arrive_in_order_and_stay(kind: str, tmp_path: Path) -> None:
    async with shop(kind, tmp_path) as here, customer(here) as (client, licences):
        assert await client.redeem(here.token) == licences
        assert await client.licences() == await client.licences(refresh=False) == licences
        music = tmp_path / "music"
        async with client.download(licences, into=music) as job:
            events = [event async for event in job.events()]
            result = await job.result()
            with pytest.raises(UsageError, match="ended"):
                await job.add(licences)
        for milestone in (Queued, Started, Verified, Finished):
            told = [event.licence_id for event in events if isinstance(event, milestone)]
            assert told == [one.licence_id for one in licences], milestone
        assert [end.name for end in result] == [one.name for one in licences]
        for end, licence in zip(result, licences, strict=True):
            folder = f"{licence.album.title} (2026) [FLAC 16-44]"
            assert end.folder == music.absolute() / "Artist" / folder
            assert (end.total_bytes, end.from_seeders_bytes >= SIZE) == (SIZE, True)
            assert sizes(end.folder) == FILES
            assert (end.folder / CHECKSUMS_FILE).read_text().count("\n") == len(FILES)
        assert job.summary().done == result
        assert (job.summary().exit_code, job.summary().skipped) == (0, ())
        assert {entry.state for entry in await client.queue()} == {QueueState.COMPLETE}
        async with client.download(licences[:1], into=music) as job:
            (again,) = await job.result()
        assert again.already_there
        assert again.folder == result[0].folder


async def test_what_is_wrong_on_disk_is_found_and_mended(kind: str, tmp_path: Path) -> None:
    async with shop(kind, tmp_path) as here, customer(here) as (client, licences):
        licence = licences[0]
        with pytest.raises(UsageError, match="get it first"):
            await client.verify(licence)
        async with client.download([licence], into=tmp_path / "music") as job:
            (end,) = await job.result()
        read: list[VerifyProgress] = []
        assert {one.state for one in await client.verify(licence, read.append)} == {FileState.OK}
        assert (read[-1].done_bytes, read[-1].total_bytes) == (SIZE, SIZE)
        assert (await client.repair(licence)).mended == ()
        (end.folder / "notes.txt").write_text("mine")
        with (end.folder / "01 one.flac").open("r+b") as track:
            track.write(b"not what was bought")
        (end.folder / "cover.jpg").unlink()
        found = {one.path: one.state for one in await client.verify(licence)}
        assert found == {
            "01 one.flac": FileState.CORRUPT,
            "02 two.flac": FileState.OK,
            "cover.jpg": FileState.MISSING,
            "notes.txt": FileState.SURPLUS,
        }
        async with client.download([licence], into=tmp_path / "music") as job:
            (mended,) = await job.result()
        assert mended.folder == end.folder
        assert not mended.already_there
        (end.folder / "02 two.flac").write_bytes(b"")
        told: list[type[Event]] = []
        repaired = await client.repair(licence, on_event=lambda event: told.append(type(event)))
        assert repaired.folder == end.folder
        assert [one.path for one in repaired.mended] == ["02 two.flac"]
        assert 300_000 <= repaired.downloaded_bytes < 400_000
        assert {Started, Verified, Finished} <= set(told)
        states = {one.path: one.state for one in await client.verify(licence)}
        assert states.pop("notes.txt") is FileState.SURPLUS
        assert set(states.values()) == {FileState.OK}


async def test_pause_keeps_and_resume_goes_on(kind: str, tmp_path: Path) -> None:
    async with (
        shop(kind, tmp_path, upload_bytes_s=SLOW) as here,
        customer(here) as (client, (licence, *_)),
    ):
        async with client.download([licence], into=tmp_path / "music") as job:
            await some_bytes(job)
            await job.pause(licence.licence_id)
            await job.pause()  # twice is once
            await until(job, Paused, licence)
            assert [entry.state for entry in job.queue] == [QueueState.PAUSED]
        assert job.outcomes == {}
        async with client.download([licence], into=tmp_path / "music") as job:
            await until(job, Paused, licence)
            here.limit(FAST)
            await job.resume(licence.licence_id)
            events = [event async for event in job.events()]
        (started,) = [event for event in events if isinstance(event, Started)]
        assert 100_000 < started.resumed_bytes < SIZE
        verified = [event.verified_bytes for event in events if isinstance(event, Progress)]
        assert verified == sorted(verified)


async def test_leaving_stops_keeps_and_tells(kind: str, tmp_path: Path) -> None:
    async with (
        shop(kind, tmp_path, upload_bytes_s=SLOW) as here,
        customer(here) as (client, licences),
    ):
        async with client.download(licences[:2], into=tmp_path / "music") as job:
            await some_bytes(job)
            async with here.open(here.settings) as other:
                with pytest.raises(LibraryInUse):
                    async with other.download(licences, into=tmp_path / "music"):
                        pass
        with pytest.raises(DownloadError, match="stopped"):
            await job.result()
        assert job.summary().skipped == tuple(one.name for one in licences[:2])
        assert [event async for event in job.events() if isinstance(event, Finished)] == []
    assert not list((tmp_path / "music").glob("Artist/*"))


async def test_the_queue_obeys(kind: str, tmp_path: Path) -> None:
    async with (
        shop(kind, tmp_path, upload_bytes_s=SLOW) as here,
        customer(here) as (client, (one, two, three)),
    ):
        async with client.download([one, two, three], into=tmp_path / "music") as job:
            await until(job, Started, one)
            await job.prioritise(three.licence_id)
            assert [entry.name for entry in job.queue] == [one.name, three.name, two.name]
            await job.move(three.licence_id)
            assert [entry.name for entry in await client.queue()] == [
                one.name,
                two.name,
                three.name,
            ]
            for command in (job.pause, job.move, job.prioritise):
                with pytest.raises(UsageError):
                    await command("x" * 26)  # type: ignore[arg-type]
            for rate in (-1, 1 << 31):
                with pytest.raises(UsageError):
                    job.set_limits(up_bytes_s=rate)
            await job.set_order(Order.SMALLEST_FIRST)
            await job.cancel(two.licence_id, discard=True)
            await client.change_queue(Remove((one.licence_id,)))
            here.limit(FAST)
            ends = [event.name async for event in job.events() if isinstance(event, Finished)]
            assert ends == [three.name]
            assert job.licences == (three,)
            assert job.summary().skipped == (one.name, two.name)
            assert [end.name for end in await job.result()] == [three.name]
        await client.change_queue(Pause((one.licence_id, three.licence_id)))
        await client.change_queue(Resume((three.licence_id,)))
        assert [(e.name, e.state) for e in await client.queue()] == [
            (three.name, QueueState.COMPLETE)
        ]


async def test_chosen_files_make_an_album(kind: str, tmp_path: Path) -> None:
    async with shop(kind, tmp_path) as here, customer(here) as (client, (licence, *_)):
        async with client.download([licence], into=tmp_path / "music", files=["02*"]) as job:
            with pytest.raises(UsageError, match="not in the job"):
                await job.select_files("x" * 26, ["*"])  # type: ignore[arg-type]
            (end,) = await job.result()
        assert end.total_bytes == 300_000
        assert list(sizes(end.folder)) == ["02 two.flac"]
        assert [one.path for one in await client.verify(licence)] == ["02 two.flac"]
        async with client.download([licence], into=tmp_path / "music", files=["*"]) as job:
            (end,) = await job.result()
        assert sizes(end.folder) == FILES
        async with client.download([licence], into=tmp_path / "music", files=["nope"]) as job:
            with pytest.raises(UsageError, match="no file fits 'nope'"):
                await job.result()


async def test_a_revoked_licence_ends_its_album_alone(kind: str, tmp_path: Path) -> None:
    async with shop(kind, tmp_path) as here, customer(here) as (client, (one, two, _)):
        here.revoke(one)
        async with client.download([one, two], into=tmp_path / "music") as job:
            events = [event async for event in job.events()]
            with pytest.raises(LicenceRevoked):
                await job.result()
        about_one = [type(event) for event in events if getattr(event, "name", "") == one.name]
        assert about_one[-2:] == [Revoked, Failed]
        summary = job.summary()
        assert [end.name for end in summary.done] == [two.name]
        assert isinstance(summary.failed[0].error, LicenceRevoked)
        assert summary.exit_code == 3
        with pytest.raises(LicenceRevoked):
            await client.export(one, tmp_path / "exported")
        exported = await client.export(two, tmp_path / "exported")
        assert exported == tmp_path / "exported" / two.name
        assert {"certificate.pem", "key.pem", f"{two.name}.torrent"} < {
            path.name for path in exported.iterdir()
        }
        with pytest.raises(UsageError, match="there already"):
            await client.export(two, tmp_path / "exported")


async def test_a_swarm_that_gives_nothing_is_told_and_then_fails(kind: str, tmp_path: Path) -> None:
    async with shop(kind, tmp_path, upload_bytes_s=1_000) as here:
        here.limit(0 if kind == "fake" else 1)
        here.settings = replace(here.settings, stalled_after_s=0.6, patience_s=1.2)
        async with (
            customer(here) as (client, (licence, *_)),
            client.download([licence], into=tmp_path / "music") as job,
        ):
            stalled = await until(job, Stalled, licence)
            assert isinstance(stalled, Stalled)
            assert stalled.still_s >= 0.6
            await until(job, Failed, licence)
            with pytest.raises(DownloadError, match="nothing arrived for 1 s"):
                await job.result()


async def test_complete_albums_are_given_until_the_block_ends(kind: str, tmp_path: Path) -> None:
    async with shop(kind, tmp_path) as here, customer(here) as (client, (licence, *_)):
        for _ in range(2):  # fetched, then found there
            async with client.download(
                [licence], into=tmp_path / "music", keep_seeding=True
            ) as job:
                await until(job, Finished, licence)
                await until(job, Seeding, licence)
        async with (
            client.download([licence], into=tmp_path / "music", keep_seeding=True) as job,
            await job.open_track(licence.licence_id, "2") as track,
        ):
            assert (track.path, track.size_bytes) == ("02 two.flac", FILES["02 two.flac"])
            end = await until(job, Finished, licence)
            assert isinstance(end, Finished)
            heard = b"".join([piece async for piece in track])
            assert heard == (end.folder / track.path).read_bytes()
            await track.seek(200_000)
            assert await track.receive_some(10) == heard[200_000:200_010]
            assert track.tell() == 200_010
            for wrong in ("9", "nope", "*"):
                with pytest.raises(UsageError):
                    await job.open_track(licence.licence_id, wrong)
        told = await client.stats()
        assert told.total.from_seeders_bytes >= SIZE
        assert told.albums[licence.licence_id].given_s >= 0
