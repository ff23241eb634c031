"""What goes wrong in the middle of a download: each ends as it should, and says what to do."""

import contextlib
import datetime as dt
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

from client_lib.download import (
    CertificateRenewed,
    DiskFull,
    Event,
    Failed,
    Finished,
    Progress,
    Revoked,
    Stalled,
    StallReason,
    Started,
    Warned,
    WarningKind,
)
from client_lib.download.disk.space import SPARE_BYTES
from client_lib.errors import LicenceExpired, LicenceRevoked
from client_lib.wire.licensing_api import LicenceRecord
from tests.integration.client.market import Market, market
from tests.patience import PATIENCE_S

CONTENT = {"01 one.flac": 500_000, "02 two.flac": 300_000}
SLOW = 200_000


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[Market]:
    async with market(tmp_path / "market", [CONTENT] * 2, upload_bytes_s=SLOW) as opened:
        yield opened


async def until_half(events: AsyncIterator[Event], licence: LicenceRecord) -> None:
    async for event in events:
        if (
            isinstance(event, Progress)
            and event.licence_id == licence.licence_id
            and event.verified_bytes > 300_000
        ):
            return


async def test_licence_revoked_in_mid_download_ends_that_album(
    slow: Market, tmp_path: Path
) -> None:
    bad, good = slow.licences
    with trio.fail_after(PATIENCE_S):
        async with (
            slow.customer(tmp_path, stalled_after_s=1.5) as client,
            client.download([bad, good], into=tmp_path / "music") as job,
        ):
            await until_half(job.events(), bad)
            slow.shop.revoked.add(bad.licence_id)
            slow.torrents[0].pause()  # what a seeder does to the revoked: they are cut
            slow.limit_seeder(0)
            events = [event async for event in job.events()]
            (revoked,) = [event for event in events if isinstance(event, Revoked)]
            (failed,) = [event for event in events if isinstance(event, Failed)]
            assert revoked.licence_id == failed.licence_id == bad.licence_id
            assert isinstance(failed.error, LicenceRevoked)
            assert "ask the store" in str(failed.error)
            assert isinstance(job.outcomes[good.licence_id], Finished)
            assert job.summary().exit_code == 3


async def test_certificate_is_renewed_in_mid_download(slow: Market, tmp_path: Path) -> None:
    one = slow.licences[0]
    slow.shop.lifetime = dt.timedelta(seconds=4)
    with trio.fail_after(PATIENCE_S):
        async with (
            slow.customer(tmp_path) as client,
            client.download([one], into=tmp_path / "music") as job,
        ):
            events = [event async for event in job.events()]
    assert any(isinstance(event, CertificateRenewed) for event in events)
    assert isinstance(events[-1], Finished)


async def test_certificate_that_ends_with_licensing_away_says_so(
    slow: Market, tmp_path: Path
) -> None:
    one = slow.licences[0]
    slow.shop.lifetime = dt.timedelta(seconds=3)
    with trio.fail_after(PATIENCE_S):
        async with (
            slow.customer(tmp_path, stalled_after_s=1.0, patience_s=5.0) as client,
            client.download([one], into=tmp_path / "music") as job,
        ):
            async for event in job.events():
                if isinstance(event, Started):
                    break
            slow.shop.away = True
            slow.torrents[0].pause()
            with pytest.raises(LicenceExpired, match="try again when licensing answers"):
                await job.result()


async def test_known_peers_are_kept_while_the_tracker_is_away(slow: Market, tmp_path: Path) -> None:
    one = slow.licences[0]
    with trio.fail_after(PATIENCE_S):
        async with slow.customer(tmp_path, stalled_after_s=0.5) as client:
            async with client.download([one], into=tmp_path / "music") as job:
                await until_half(job.events(), one)
            slow.shop.tracker_away = True
            slow.limit_seeder(0)
            announced = len(slow.shop.announced)
            async with client.download([one], into=tmp_path / "music") as job:
                events = [event async for event in job.events()]
            assert len(slow.shop.announced) == announced
    assert isinstance(events[-1], Finished)
    (started,) = [event for event in events if isinstance(event, Started)]
    assert started.resumed_bytes > 200_000


async def test_a_stall_names_its_reason(slow: Market, tmp_path: Path) -> None:
    one = slow.licences[0]
    slow.shop.tracker_away = True
    with trio.fail_after(PATIENCE_S):
        async with (
            slow.customer(tmp_path, stalled_after_s=0.5) as client,
            client.download([one], into=tmp_path / "music") as job,
        ):
            async for event in job.events():
                if isinstance(event, Stalled) and "(" in event.detail:
                    assert event.reason is StallReason.TRACKER_AWAY
                    assert one.licence_id not in event.detail
                    break


@pytest.mark.parametrize(("minutes", "said"), [(20, "20 minutes ahead of"), (-20, "behind")])
async def test_a_clock_that_is_off_is_named(
    slow: Market, tmp_path: Path, minutes: int, said: str
) -> None:
    slow.shop.clock_ahead = dt.timedelta(minutes=minutes)
    with trio.fail_after(PATIENCE_S):
        async with (
            slow.customer(tmp_path) as client,
            client.download(slow.licences[:1], into=tmp_path / "music") as job,
        ):
            async for event in job.events():
                if isinstance(event, Warned):
                    assert event.kind is WarningKind.CLOCK_SKEW
                    assert said in event.message
                    break
            else:
                raise AssertionError("no warning")


async def test_a_clock_that_is_days_off_fails_with_what_to_do(slow: Market, tmp_path: Path) -> None:
    slow.shop.clock_ahead = dt.timedelta(days=3)
    with trio.fail_after(PATIENCE_S):
        async with (
            slow.customer(tmp_path) as client,
            client.download(slow.licences[:1], into=tmp_path / "music") as job,
        ):
            with pytest.raises(LicenceExpired, match="clock is 72 hours ahead of the store's"):
                await job.result()


@contextlib.contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    folder.mkdir()
    options = f"size={size_bytes}"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this machine mounts no tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
async def test_a_full_disk_pauses_the_album_until_there_is_room(
    slow: Market, tmp_path: Path
) -> None:
    one = slow.licences[0]
    slow.limit_seeder(0)
    with (
        trio.fail_after(PATIENCE_S),
        small_disk(tmp_path / "disk", SPARE_BYTES + 10_000_000) as disk,
    ):
        (disk / "film.mkv").write_bytes(bytes(20_000_000))
        async with (
            slow.customer(tmp_path) as client,
            client.download([one], into=disk / "music") as job,
        ):
            kinds = []
            async for event in job.events():
                kinds.append(type(event))
                if isinstance(event, DiskFull):
                    assert event.needed_bytes == sum(CONTENT.values())
                    (disk / "film.mkv").unlink()
            assert DiskFull in kinds
            assert Warned in kinds
            assert kinds[-1] is Finished


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
async def test_a_disk_that_fills_in_mid_download_is_waited_for(
    slow: Market, tmp_path: Path
) -> None:
    one = slow.licences[0]
    with (
        trio.fail_after(PATIENCE_S),
        small_disk(tmp_path / "disk", SPARE_BYTES + 10_000_000) as disk,
    ):
        async with (
            slow.customer(tmp_path) as client,
            client.download([one], into=disk / "music") as job,
        ):
            await until_half(job.events(), one)
            with (disk / "film.mkv").open("wb") as film, contextlib.suppress(OSError):
                for _ in range(64):
                    film.write(bytes(1_000_000))
                    film.flush()
            async for event in job.events():
                if isinstance(event, DiskFull):
                    (disk / "film.mkv").unlink()
                    slow.limit_seeder(0)
            (end,) = await job.result()
        assert (end.folder / "01 one.flac").read_bytes() == (
            slow.albums[0].folder / "01 one.flac"
        ).read_bytes()
