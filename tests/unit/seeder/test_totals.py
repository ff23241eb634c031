from pathlib import Path

import pytest

from client_lib.wire.release import TorrentName
from seeder.status import totals_so_far, write_totals

ONE, TWO = TorrentName("rel-0001.flac"), TorrentName("rel-0002.flac")


def test_totals_outlive_the_process(tmp_path: Path) -> None:
    assert totals_so_far(tmp_path) == {}
    write_totals(tmp_path, {ONE: 5, TWO: 7})
    assert totals_so_far(tmp_path) == {ONE: 5, TWO: 7}


@pytest.mark.parametrize("broken", [b"", b"[]", b'{"a":"b"}', b'{"a":', b"\xff"])
def test_what_cannot_be_read_counts_from_nothing(tmp_path: Path, broken: bytes) -> None:
    (tmp_path / "uploads.json").write_bytes(broken)
    (tmp_path / "status.json").write_bytes(broken)
    assert totals_so_far(tmp_path) == {}
