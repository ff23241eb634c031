"""SQLite files of services: private, and of a version that loses nothing."""

import stat
from pathlib import Path

import pytest

from client_lib.errors import StorageError
from client_lib.service.sqlite_files import create_private_file, require_safe_sqlite


def test_file_is_private_and_one_that_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "books"
    create_private_file(path, "ledger")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"kept")
    create_private_file(path, "ledger")
    assert path.read_bytes() == b"kept"
    with pytest.raises(StorageError, match=f"cannot create ledger {path}/below: Not a directory"):
        create_private_file(path / "below", "ledger")


def test_sqlite_that_may_lose_writes_is_refused_by_version() -> None:
    require_safe_sqlite((3, 51, 3))
    with pytest.raises(StorageError, match=r"SQLite 3\.51\.2 may lose writes.* 3\.51\.3 or later"):
        require_safe_sqlite((3, 51, 2))
