"""Free space is promised once, and told when it is not there."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from client_lib.download.disk.space import SPARE_BYTES, SpaceLedger, space_shortage
from client_lib.errors import DiskFullError, StorageError
from client_lib.wire.licence import licence_id_from

ONE, TWO = (licence_id_from(bytes(15) + bytes([n])) for n in (1, 2))
LOTS = 10**18


class Disk(SimpleNamespace):
    """Free bytes that a test sets."""

    free: int = 0


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: disk)
    return disk


def test_too_little_space_is_told_before_a_byte_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match=r"1000000000000 MB to come and .* MB free") as full:
        SpaceLedger().claim(ONE, tmp_path / "not" / "there", LOTS)
    assert full.value.needed_bytes == LOTS
    assert isinstance(full.value, StorageError)
    SpaceLedger().claim(ONE, tmp_path, 0)


def test_what_one_album_was_promised_another_does_not_get(tmp_path: Path, disk: Disk) -> None:
    ledger = SpaceLedger()
    disk.free = SPARE_BYTES + 1_000
    ledger.claim(ONE, tmp_path, 600)
    assert not ledger.fits(tmp_path, 600)
    with pytest.raises(DiskFullError) as full:
        ledger.claim(TWO, tmp_path, 600)
    assert full.value.free_bytes == 400
    ledger.update(ONE, 100)
    disk.free -= 500
    assert not ledger.fits(tmp_path, 600)
    ledger.claim(TWO, tmp_path, 400)
    ledger.release(ONE)
    ledger.release(ONE)
    ledger.claim(TWO, tmp_path, 500)


def test_a_disk_that_somebody_else_fills_is_noticed(tmp_path: Path, disk: Disk) -> None:
    ledger = SpaceLedger()
    disk.free = SPARE_BYTES + 1_000
    ledger.claim(ONE, tmp_path, 600)
    disk.free = SPARE_BYTES // 2 - 1
    with pytest.raises(DiskFullError):
        ledger.update(ONE, 500)
    ledger.update(ONE, 0)  # nothing to come any more
    ledger.update(TWO, 500)  # nothing was promised to it


def test_a_whole_queue_that_does_not_fit_is_told(tmp_path: Path, disk: Disk) -> None:
    disk.free = SPARE_BYTES + 1_000
    assert space_shortage({tmp_path / "a": 500, tmp_path / "b": 500}) is None
    assert "to come" in (space_shortage({tmp_path / "a": 500, tmp_path / "b": 501}) or "")
    assert space_shortage({}) is None
