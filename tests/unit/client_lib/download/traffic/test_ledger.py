"""The ledger of what was taken and given: nothing twice, nothing backwards, whatever crashes."""

from pathlib import Path

import pytest

from client_lib.download.traffic.file import RECENT_FILE, SYNCED_FILE, read_traffic
from client_lib.download.traffic.keeper import TrafficKeeper
from client_lib.download.traffic.ledger import AlbumTraffic, TrafficStats
from client_lib.download.traffic.sources import SourceSplit
from client_lib.download.traffic.totals import AlbumTotals
from client_lib.errors import StorageError
from client_lib.swarm.status import Phase, TorrentStatus
from client_lib.wire.licence import LicenceId
from client_lib.wire.release import TorrentName

ONE = LicenceId("aebagbafaydqqcikbmga2dqpca")
NAME = TorrentName("rel-0001.flac")


def counted(keeper: TrafficKeeper, taken: int, given: int) -> dict[LicenceId, AlbumTotals]:
    totals = AlbumTotals(ONE, NAME, keeper.before(ONE))
    totals.begin(0, 1000)
    totals.update(TorrentStatus(Phase.DOWNLOADING, 1000, 0, taken, given, 0, 0, 0, 0, 0), tuple)
    return {ONE: totals}


def total(folder: Path) -> tuple[int, int]:
    stats = TrafficStats.of(read_traffic(folder))
    return stats.total.taken_bytes, stats.total.given_bytes


def test_runs_add_up_and_writing_again_repeats_nothing(tmp_path: Path) -> None:
    first = TrafficKeeper(tmp_path)
    for _ in range(2):
        first.write_now(counted(first, 700, 50))
        assert total(tmp_path) == (700, 50)
    second = TrafficKeeper(tmp_path)
    second.write_now({})
    assert total(tmp_path) == (700, 50)
    second.write_now(counted(second, 300, 0))
    assert total(tmp_path) == (1000, 50)
    assert (tmp_path / SYNCED_FILE).stat().st_mode & 0o777 == 0o600


def test_the_newer_file_counts_and_a_damaged_recent_one_does_not(tmp_path: Path) -> None:
    keeper = TrafficKeeper(tmp_path)
    keeper.write_now(counted(keeper, 10, 1))
    keeper._write(keeper._now(counted(keeper, 20, 2)), sync=False)
    assert total(tmp_path) == (20, 2)
    (tmp_path / RECENT_FILE).write_bytes(bytes(100))
    assert total(tmp_path) == (10, 1)
    (tmp_path / SYNCED_FILE).write_bytes(b"{")
    with pytest.raises(StorageError, match=r"traffic\.json is damaged"):
        TrafficKeeper(tmp_path)


def test_sources_are_told_apart_and_time_counts() -> None:
    totals = AlbumTotals(ONE, NAME, AlbumTraffic(given_bytes=5, given_s=1.5))
    totals.add_listened(64)
    totals.add_given_s(2.0)
    assert totals.all_time == AlbumTraffic(
        NAME, from_web_seeds_bytes=64, given_bytes=5, given_s=3.5
    )
    assert totals.from_seeders_bytes == 64
    assert SourceSplit().update((), 10) == (10, 0, 0)
    assert TrafficStats.of(read_traffic(Path("/nonexistent"))).ratio is None
