"""The device's folder: what is kept comes back, what is damaged is named."""

import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from client_lib.download.library import DeviceLibrary, DownloadRecord, DownloadState, Service
from client_lib.errors import StorageError, UsageError
from client_lib.swarm.resume import ResumePoint
from client_lib.wire.infohash import InfoHash
from client_lib.wire.licensing_api import Library
from tests.unit.client_lib.download.licences import licence

HOLDER = """
import sys
from pathlib import Path
from client_lib.download.library import DeviceLibrary
with DeviceLibrary(Path(sys.argv[1])).exclusive():
    print("held", flush=True)
    sys.stdin.read()
"""
ID = licence().licence_id


@pytest.fixture
def library(tmp_path: Path) -> DeviceLibrary:
    return DeviceLibrary(tmp_path / "data")


def test_everything_kept_comes_back(library: DeviceLibrary) -> None:
    service = Service("https://l", "CA", "SWARM")
    licences = Library((licence(), licence("rel-2.flac", number=2, title="Ünï")))
    record = DownloadRecord(DownloadState.DOWNLOADING, "/p", "/f")
    library.keep_service(service)
    library.keep_licences(licences)
    library.keep_download(ID, record)
    secret = library.device_secret()
    again = DeviceLibrary(library.folder)
    assert (again.service(), again.licences(), again.download(ID)) == (service, licences, record)
    assert again.device_secret() == secret
    assert again.folders_in_use() == {"/f"}


def test_new_library_is_empty(library: DeviceLibrary) -> None:
    assert library.service() is None
    assert library.licences() == Library(())
    assert library.download(ID) is None
    assert library.resume_point(ID, InfoHash(bytes(32))) is None
    assert library.folders_in_use() == set()


def test_nobody_else_reads_secret_and_purchases(library: DeviceLibrary) -> None:
    library.device_secret()
    library.keep_licences(Library((licence(),)))
    assert stat.S_IMODE(library.folder.stat().st_mode) == 0o700
    for name in ("device.secret", "library.json"):
        assert stat.S_IMODE((library.folder / name).stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"x": 1}', b"\xff\xfe", b"null"])
def test_damaged_file_is_named_with_what_to_do(library: DeviceLibrary, content: bytes) -> None:
    library.keep_download(ID, DownloadRecord(DownloadState.COMPLETE, "/p", "/f"))
    files: dict[Path, Callable[[], object]] = {
        library.folder / "service.json": library.service,
        library.folder / "library.json": library.licences,
        library.licence_folder(ID) / "download.json": lambda: library.download(ID),
    }
    for path, read in files.items():
        path.write_bytes(content)
        with pytest.raises(StorageError, match=f"{path} is damaged .*remove it and try again"):
            read()


def test_damaged_secret_is_never_replaced(library: DeviceLibrary) -> None:
    """A new one would be another device: what was bought with the old one would be out of reach."""
    secret = library.device_secret()
    path = library.folder / "device.secret"
    for content in (b"", secret.bearer.encode()[:-1], b"\xff" * 43):
        path.write_bytes(content)
        with pytest.raises(StorageError, match=str(path)) as damaged:
            library.device_secret()
        assert secret.bearer[:-1] not in str(damaged.value)
        assert path.read_bytes() == content


def test_two_processes_never_download_with_one_library(library: DeviceLibrary) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(library.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(UsageError, match=f"with {library.folder}"), library.exclusive():
            raise AssertionError("both hold it")
        holder.kill()
    with library.exclusive():
        pass  # a killed process holds nothing


def test_lock_that_cannot_be_made_is_named(library: DeviceLibrary) -> None:
    (library.folder / "lock").mkdir()
    sentence = f"cannot open {library.folder}/lock: Is a directory"
    with pytest.raises(StorageError, match=sentence), library.exclusive():
        raise AssertionError("held")


def test_resume_point_is_kept_and_forgotten(library: DeviceLibrary) -> None:
    info_hash = InfoHash(bytes(32))
    point = ResumePoint.of(info_hash, [True, False], {1: [True]})
    library.keep_download(ID, DownloadRecord(DownloadState.DOWNLOADING, "/p", "/f"))
    library.keep_resume_point(ID, point)
    assert library.resume_point(ID, info_hash) == point
    assert library.resume_point(ID, InfoHash(b"x" * 32)) is None
    library.forget_resume_point(ID)
    library.forget_resume_point(ID)
    assert library.resume_point(ID, info_hash) is None
