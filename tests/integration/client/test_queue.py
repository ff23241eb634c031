"""Many albums: one queue, obeyed commands, what survives, and what is told at the end."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from client_lib.download import (
    DownloadJob,
    Event,
    Failed,
    Finished,
    Order,
    Paused,
    Progress,
    Queued,
    QueueState,
    Seeding,
    Started,
    Verified,
)
from client_lib.download.queueing.requests import Move, Pause, Remove, Resume
from client_lib.errors import DownloadError, UsageError
from client_lib.wire.licensing_api import LicenceRecord
from tests.integration.client.market import Market, market, small_albums
from tests.patience import PATIENCE_S

SLOW = 250_000  # bytes/s: nothing of a megabyte is there before the test has acted


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Market]:
    async with market(tmp_path / "market", small_albums(5)) as opened:
        yield opened


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[Market]:
    contents = [{"01 one.flac": 400_000, "02 two.flac": 300_000, "cover.jpg": 50_000}] * 3
    async with market(tmp_path / "market", contents, upload_bytes_s=SLOW) as opened:
        yield opened


async def until(job: DownloadJob, kind: type[Event], licence: LicenceRecord) -> Event:
    """Next event of a kind for one album."""
    async for event in job.events():
        if isinstance(event, kind) and getattr(event, "licence_id", "") == licence.licence_id:
            return event
    raise AssertionError(f"no {kind.__name__}")


def has(market: Market, music: Path, number: int, *, files: list[str] | None = None) -> bool:
    """Whether an album is under its final name, byte for byte, with these files only."""
    album = market.albums[number]
    folder = music / "Artist" / f"Album {number + 1} (2026) [FLAC 16-44]"
    wanted = sorted(album.sizes) if files is None else files
    listed = sorted([*wanted, "checksums.sha256"])
    here = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    return here == listed and all(
        (folder / name).read_bytes() == (album.folder / name).read_bytes() for name in wanted
    )


async def test_a_discography_arrives_in_order_with_a_summary(shop: Market, tmp_path: Path) -> None:
    music = tmp_path / "music"
    with trio.fail_after(PATIENCE_S):
        async with (
            shop.customer(tmp_path, concurrent_albums=1) as client,
            client.download(shop.licences, into=music) as job,
        ):
            events = [event async for event in job.events()]
    finished = [event.licence_id for event in events if isinstance(event, Finished)]
    assert finished == [one.licence_id for one in shop.licences]
    for kind in (Queued, Started, Verified):
        assert sum(isinstance(event, kind) for event in events) == 5, kind
    assert not any(isinstance(event, Seeding) for event in events)
    assert all(has(shop, music, n) for n in range(5))
    summary = job.summary()
    assert (len(summary.done), summary.failed, summary.skipped) == (5, (), ())
    assert summary.exit_code == 0
    assert {entry.state for entry in job.queue} == {QueueState.COMPLETE}


async def test_the_next_run_goes_on_in_order_and_hashes_nothing_again(
    shop: Market, tmp_path: Path
) -> None:
    music = tmp_path / "music"
    with trio.fail_after(PATIENCE_S):
        async with shop.customer(tmp_path, concurrent_albums=1) as client:
            async with client.download(shop.licences, into=music) as job:
                await until(job, Finished, shop.licences[1])
                await job.move(shop.licences[4].licence_id, before=shop.licences[3].licence_id)
            asked = len(shop.shop.asked)
            before = {p: p.stat().st_mtime_ns for p in music.rglob("*.flac")}
            async with client.download(shop.licences, into=music) as job:
                events = [event async for event in job.events()]
    ends = [event for event in events if isinstance(event, Finished)]
    order = [shop.licences[n].licence_id for n in (0, 1, 2, 4, 3)]
    assert [end.licence_id for end in ends] == order
    assert [end.already_there for end in ends[:2]] == [True, True]
    done = {shop.licences[n].licence_id for n in (0, 1)}
    assert not any(isinstance(e, Started | Progress) and e.licence_id in done for e in events)
    assert not [line for line in shop.shop.asked[asked:] if any(one in line for one in done)]
    kept = [path for path in before if ".albumswarm" not in path.parts]
    assert all(path.stat().st_mtime_ns == before[path] for path in kept)
    assert all(has(shop, music, n) for n in range(5))


async def test_one_failing_album_never_stops_the_rest(shop: Market, tmp_path: Path) -> None:
    bad = shop.licences[1]
    shop.shop.torrents[bad.licence_id] = b"garbage"
    with trio.fail_after(PATIENCE_S):
        async with (
            shop.customer(tmp_path) as client,
            client.download(shop.licences, into=tmp_path / "music") as job,
        ):
            async for _ in job.events():
                pass
            summary = job.summary()
            assert [end.name for end in summary.failed] == [bad.name]
            assert len(summary.done) == 4
            assert summary.exit_code == 1
            with pytest.raises(type(summary.failed[0].error)):
                await job.result()
    (entry,) = [one for one in job.queue if one.licence_id == bad.licence_id]
    assert entry.state is QueueState.FAILED
    assert entry.reason


async def test_paused_album_stays_paused_over_runs_and_costs_nothing(
    slow: Market, tmp_path: Path
) -> None:
    first, music = slow.licences[0], tmp_path / "music"
    with trio.fail_after(PATIENCE_S):
        async with slow.customer(tmp_path, concurrent_albums=1) as client:
            async with client.download([first], into=music) as job:
                async for event in job.events():
                    if isinstance(event, Progress) and event.verified_bytes > 200_000:
                        break
                await job.pause(first.licence_id)
                await job.pause()  # twice is once
                assert isinstance(await until(job, Paused, first), Paused)
                assert [one.state for one in await client.queue()] == [QueueState.PAUSED]
            async with client.download([first], into=music) as job:
                assert isinstance(await until(job, Paused, first), Paused)
                slow.limit_seeder(0)
                await job.resume(first.licence_id)
                events = [event async for event in job.events()]
    (started,) = [event for event in events if isinstance(event, Started)]
    assert started.resumed_bytes > 130_000
    end = events[-1]
    assert isinstance(end, Finished)
    assert end.from_seeders_bytes <= end.total_bytes - started.resumed_bytes + 65_536
    assert has(slow, music, 0)


async def test_totals_never_go_back_over_a_pause(slow: Market, tmp_path: Path) -> None:
    first = slow.licences[0]
    with trio.fail_after(PATIENCE_S):
        async with (
            slow.customer(tmp_path) as client,
            client.download([first], into=tmp_path / "music") as job,
        ):
            seen: list[Progress] = []
            async for event in job.events():
                if isinstance(event, Progress):
                    seen.append(event)
                    if len(seen) == 4:
                        await job.pause(first.licence_id)
                        slow.limit_seeder(0)
                        await job.resume(first.licence_id)
    arrived = [event.from_seeders_bytes + event.from_customers_bytes for event in seen]
    assert arrived == sorted(arrived)
    verified = [event.verified_bytes for event in seen]
    assert verified == sorted(verified)


async def test_moved_and_prioritised_albums_come_when_asked(slow: Market, tmp_path: Path) -> None:
    one, two, three = slow.licences
    with trio.fail_after(PATIENCE_S):
        async with (
            slow.customer(tmp_path, concurrent_albums=1) as client,
            client.download(slow.licences, into=tmp_path / "music") as job,
        ):
            await until(job, Started, one)
            await job.prioritise(three.licence_id)
            assert [entry.name for entry in job.queue] == [one.name, three.name, two.name]
            await job.move(three.licence_id)
            await job.move(three.licence_id, before=two.licence_id)
            with pytest.raises(UsageError, match="not in the queue"):
                await job.move("x" * 26)  # type: ignore[arg-type]
            slow.limit_seeder(0)
            ends = [e.name async for e in job.events() if isinstance(e, Finished)]
    assert ends == [one.name, three.name, two.name]


async def test_smallest_first(tmp_path: Path) -> None:
    sizes = [{"a.flac": size, "b.jpg": 9} for size in (500_000, 100_000, 300_000)]
    with trio.fail_after(PATIENCE_S):
        async with (
            market(tmp_path / "market", sizes) as shop,
            shop.customer(tmp_path, concurrent_albums=1) as client,
            client.download(
                shop.licences, into=tmp_path / "music", order=Order.SMALLEST_FIRST
            ) as job,
        ):
            ends = [e.name async for e in job.events() if isinstance(e, Finished)]
    assert ends == [shop.licences[n].name for n in (1, 2, 0)]


async def test_cancelled_album_keeps_or_loses_its_partial_files(
    slow: Market, tmp_path: Path
) -> None:
    one, two, three = slow.licences
    music = tmp_path / "music"
    with trio.fail_after(PATIENCE_S):
        async with (
            slow.customer(tmp_path, concurrent_albums=2) as client,
            client.download(slow.licences, into=music) as job,
        ):
            begun = set[str]()
            async for event in job.events():  # in whichever order
                if isinstance(event, Started):
                    begun.add(event.licence_id)
                if begun >= {one.licence_id, two.licence_id}:
                    break
            await job.cancel(one.licence_id)
            await job.cancel(two.licence_id, discard=True)
            await job.cancel(two.licence_id, discard=True)
            partial = {path.name.split(".")[0] for path in (music / ".albumswarm").iterdir()}
            assert "rel-0001" in partial
            assert "rel-0002" not in partial
            slow.limit_seeder(0)
            async for _ in job.events():
                pass
            summary = job.summary()
    assert [end.name for end in summary.done] == [three.name]
    assert summary.skipped == (one.name, two.name)
    assert [entry.name for entry in job.queue] == [three.name]


@pytest.mark.parametrize("discard", [False, True])
async def test_album_is_added_again_while_it_is_being_cancelled(
    slow: Market, tmp_path: Path, discard: bool
) -> None:
    one, two, _ = slow.licences
    started: list[Started] = []
    with trio.fail_after(PATIENCE_S):
        async with (
            slow.customer(tmp_path, concurrent_albums=2) as client,
            client.download([one, two], into=tmp_path / "music") as job,
        ):
            async for event in job.events():
                if isinstance(event, Progress) and event.licence_id == one.licence_id:
                    seen = event.verified_bytes
                    if seen > 100_000:
                        break
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lambda: job.cancel(one.licence_id, discard=discard))
                await no_more(job, one)
                await job.add([one])  # it has not left its swarm yet
            slow.limit_seeder(0)
            started = [event async for event in job.events() if isinstance(event, Started)]
            assert {end.name for end in job.summary().done} == {one.name, two.name}
    again = [event for event in started if event.licence_id == one.licence_id][-1]
    assert (again.resumed_bytes == 0) is discard
    assert has(slow, tmp_path / "music", 0)


async def no_more(job: DownloadJob, licence: LicenceRecord) -> None:
    """Until an album is out of the job, and somebody may be busy with its end."""
    while licence in job.licences:
        await trio.lowlevel.checkpoint()


async def test_nothing_is_added_to_a_job_that_is_ending(slow: Market, tmp_path: Path) -> None:
    one = slow.licences[0]
    with trio.fail_after(PATIENCE_S):
        async with (
            slow.customer(tmp_path) as client,
            client.download([one], into=tmp_path / "music") as job,
        ):
            await until(job, Started, one)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(job.cancel, one.licence_id)
                await no_more(job, one)
                for _ in range(3):
                    await trio.lowlevel.checkpoint()  # it has no album left, and sees that
                with pytest.raises(UsageError, match="has ended: start another one"):
                    await job.add([one])
            assert await client.queue() == ()


async def test_chosen_files_make_an_album_and_more_may_be_chosen_later(
    slow: Market, tmp_path: Path
) -> None:
    one, music = slow.licences[0], tmp_path / "music"
    slow.limit_seeder(0)
    with trio.fail_after(PATIENCE_S):
        async with slow.customer(tmp_path) as client:
            async with client.download([one], into=music, files=["02*"]) as job:
                (end,) = await job.result()
            assert end.total_bytes == 300_000
            assert end.from_seeders_bytes < 400_000
            assert has(slow, music, 0, files=["02 two.flac"])
            assert [f.path for f in await client.verify(one)] == ["02 two.flac"]
            async with client.download([one], into=music) as job:  # what was chosen is remembered
                (end,) = await job.result()
            assert end.already_there
            async with client.download([one], into=music, files=["*"]) as job:
                (end,) = await job.result()
            assert has(slow, music, 0)
            assert end.from_seeders_bytes < 600_000


async def test_files_may_be_chosen_while_an_album_comes(slow: Market, tmp_path: Path) -> None:
    one, music = slow.licences[0], tmp_path / "music"
    with trio.fail_after(PATIENCE_S):
        async with (
            slow.customer(tmp_path) as client,
            client.download([one], into=music) as job,
        ):
            await until(job, Started, one)
            await job.select_files(one.licence_id, ["cover.jpg"])
            with pytest.raises(UsageError, match="no file fits 'nope'"):
                await job.select_files(one.licence_id, ["nope"])
            slow.limit_seeder(0)
            (end,) = await job.result()
    assert end.total_bytes == 50_000
    folder = music / "Artist" / "Album 1 (2026) [FLAC 16-44]"
    assert (folder / "cover.jpg").read_bytes() == (slow.albums[0].folder / "cover.jpg").read_bytes()


async def test_albums_are_added_to_a_running_job(shop: Market, tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE_S):
        async with (
            shop.customer(tmp_path) as client,
            client.download(shop.licences[:2], into=tmp_path / "music") as job,
        ):
            await job.add(shop.licences)
            ends = [event async for event in job.events() if isinstance(event, Finished)]
            assert {end.licence_id for end in ends} == {one.licence_id for one in shop.licences}
            with pytest.raises(UsageError, match="ended"):
                await job.add(shop.licences)


async def test_a_failed_album_may_be_tried_again_in_the_job(shop: Market, tmp_path: Path) -> None:
    bad, other = shop.licences[0], shop.licences[1]
    good = shop.shop.torrents[bad.licence_id]
    shop.shop.torrents[bad.licence_id] = b"garbage"
    with trio.fail_after(PATIENCE_S):
        async with (
            shop.customer(tmp_path) as client,
            client.download([bad, other], into=tmp_path / "music") as job,
        ):
            await job.pause(other.licence_id)
            await until(job, Failed, bad)
            shop.shop.torrents[bad.licence_id] = good
            await job.resume()
            assert len(await job.result()) == 2


async def test_limits_hold_at_once(slow: Market, tmp_path: Path) -> None:
    one = slow.licences[0]
    slow.limit_seeder(0)
    with trio.fail_after(PATIENCE_S):
        async with (
            slow.customer(tmp_path) as client,
            client.download([one], into=tmp_path / "music") as job,
        ):
            job.set_limits(down_bytes_s=1_000)
            with pytest.raises(UsageError, match="-1"):
                job.set_limits(up_bytes_s=-1)
            async for event in job.events():
                if isinstance(event, Progress) and event.connected_peers:
                    break
            with trio.move_on_after(1) as unfinished:
                await job.result()
            assert unfinished.cancelled_caught
            job.set_limits()
            await job.result()


async def test_another_command_steers_the_running_download(slow: Market, tmp_path: Path) -> None:
    one, two, three = slow.licences
    with trio.fail_after(PATIENCE_S):
        async with (
            slow.customer(tmp_path, concurrent_albums=1) as client,
            client.download(slow.licences, into=tmp_path / "music") as job,
        ):
            await until(job, Started, one)
            async with slow.customer(tmp_path) as other:
                await other.change_queue(Pause((two.licence_id,)))
                await other.change_queue(Move((three.licence_id,), one.licence_id))
                states = [(entry.name, entry.state) for entry in await other.queue()]
                assert states == [
                    (three.name, QueueState.QUEUED),
                    (one.name, QueueState.DOWNLOADING),
                    (two.name, QueueState.PAUSED),
                ]
                await other.change_queue(Remove((one.licence_id,), discard=True))
                await other.change_queue(Resume((two.licence_id,)))
            slow.limit_seeder(0)
            ends = [e.name async for e in job.events() if isinstance(e, Finished)]
    assert ends == [three.name, two.name]


async def test_the_queue_is_changed_here_when_nobody_downloads(
    shop: Market, tmp_path: Path
) -> None:
    one, two = shop.licences[:2]
    async with shop.customer(tmp_path) as client:
        async with client.download([one, two], into=tmp_path / "music") as job:
            await job.pause()
        with trio.fail_after(PATIENCE_S):
            await client.change_queue(Remove((one.licence_id,)))
            await client.change_queue(Resume((two.licence_id, one.licence_id)))
        (entry,) = await client.queue()
        assert (entry.name, entry.state) == (two.name, QueueState.QUEUED)


async def test_leaving_stops_promptly_and_keeps_partials(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE_S):
        async with (
            market(tmp_path / "market", small_albums(12), upload_bytes_s=100_000) as shop,
            shop.customer(tmp_path, concurrent_albums=12) as client,
        ):
            async with client.download(shop.licences, into=tmp_path / "music") as job:
                started = set()
                async for event in job.events():
                    started |= {event.licence_id} if isinstance(event, Started) else set()
                    if len(started) == 12:
                        break
            with pytest.raises(DownloadError, match="stopped"):
                await job.result()
            assert len(list((tmp_path / "music" / ".albumswarm").iterdir())) == 12
            shop.limit_seeder(0)
            async with client.download(shop.licences, into=tmp_path / "music") as job:
                assert len(await job.result()) == 12
    shutil.rmtree(tmp_path / "music")
