"""Files that are whole whatever happens, and private from their first byte."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from client_lib import durable
from client_lib.errors import StorageError

SIZE = 2_000_000
# Replaces the file without end, telling once that it has begun.
WRITER = """
import sys
from pathlib import Path
from client_lib.durable import write_atomically
path = Path(sys.argv[1])
for number in range(10**9):
    write_atomically(path, bytes([number % 251]) * int(sys.argv[2]))
    if number == 3:
        print("begun", flush=True)
"""


@pytest.mark.parametrize("replacements", [0, 20, 90])
def test_killed_writer_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, replacements: int
) -> None:
    path = tmp_path / "file"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(SIZE)], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        try:
            seen: set[bytes] = set()
            while len(seen) < replacements:  # any of these moments could be that of the kill
                data = path.read_bytes()
                assert data == data[:1] * SIZE
                seen.add(data[:1])
        finally:
            writer.kill()
    data = path.read_bytes()
    assert data == data[:1] * SIZE


def test_secret_is_private_from_its_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []
    monkeypatch.setattr(os, "fsync", seen_by(modes, os.fsync, tmp_path))
    old_mask = os.umask(0)
    try:
        durable.write_secret(tmp_path / "secret", b"hunter2")
    finally:
        os.umask(old_mask)
    assert set(modes) == {0o600}
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def seen_by(modes: list[int], real: object, folder: Path) -> object:
    """`os.fsync` that notes the modes of all files there are at that moment."""
    assert callable(real)

    def fsync(descriptor: int) -> None:
        modes.extend(stat.S_IMODE(entry.stat().st_mode) for entry in folder.iterdir())
        real(descriptor)

    return fsync


def test_rewritten_file_takes_the_mode_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "file"
    durable.write_atomically(path, b"1")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    durable.write_secret(path, b"2")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_failed_write_keeps_the_old_file_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    durable.write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=f"cannot write {path}: No space left on device"):
        durable.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_folder_that_cannot_be_written_is_named(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / folder / "x"
    with pytest.raises(StorageError, match=f"cannot write {path}: "):
        durable.write_atomically(path, b"")
    with pytest.raises(StorageError, match=f"cannot read {path}: "):
        durable.read_file(path)


def test_private_folder_is_private_and_may_be_there(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert durable.private_folder(folder) == durable.private_folder(folder) == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=f"cannot make folder {tmp_path}/file: File exists"):
        durable.private_folder(tmp_path / "file")


def test_only_a_missing_file_counts_as_not_present(tmp_path: Path) -> None:
    assert durable.read_file_if_present(tmp_path / "missing") is None
    (tmp_path / "file").write_bytes(b"x")
    assert durable.read_file_if_present(tmp_path / "file") == b"x"
    for there in (tmp_path, tmp_path / ("n" * 300), tmp_path / "file" / "below"):
        with pytest.raises(StorageError, match="cannot read"):
            durable.read_file_if_present(there)


def test_file_larger_than_it_may_be_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(101))
    assert durable.read_file(path, max_bytes=101) == bytes(101)
    with pytest.raises(StorageError, match=f"cannot read {path}: larger than 100 bytes"):
        durable.read_file(path, max_bytes=100)


def test_text_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(StorageError, match=f"cannot read {path}: it is not UTF-8 text"):
        durable.read_text(path)
    with pytest.raises(StorageError, match=r"cannot read 'a.x00b'"):
        durable.read_text(Path("a\0b"))
