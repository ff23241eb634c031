"""The index of what complete albums have: bounded, and no worse after a kill."""

from pathlib import Path

import pytest

from client_lib.download.disk import shared_files
from client_lib.download.disk.shared_files import SharedFiles
from client_lib.download.library import DeviceLibrary, DownloadRecord, DownloadState
from client_lib.wire.file_tree import TorrentFile
from client_lib.wire.licence import LicenceId
from tests.unit.client_lib.download.licences import licence

SAME = TorrentFile(("x",), 5, b"r" * 32)
OWN = licence(number=99).licence_id


@pytest.fixture
def library(tmp_path: Path) -> DeviceLibrary:
    return DeviceLibrary(tmp_path / "data")


def complete(library: DeviceLibrary, number: int) -> LicenceId:
    licence_id = licence(number=number).licence_id
    record = DownloadRecord(DownloadState.COMPLETE, "/partial", f"/music/{number}")
    library.keep_download(licence_id, record)
    return licence_id


async def test_newest_album_is_tried_first_and_ones_own_never(library: DeviceLibrary) -> None:
    shared = SharedFiles(library)
    first, second = complete(library, 1), complete(library, 2)
    await shared.add(first, [SAME], ["a"])
    await shared.add(second, [SAME], ["b"])
    assert await shared.find(SAME, apart_from=OWN) == (Path("/music/2/b"), Path("/music/1/a"))
    assert await shared.find(SAME, apart_from=second) == (Path("/music/1/a"),)
    assert await shared.find(TorrentFile(("y",), 0, None), apart_from=OWN) == ()
    library.forget_download(second)
    assert await shared.find(SAME, apart_from=OWN) == (Path("/music/1/a"),)


async def test_line_that_a_kill_cut_off_costs_that_album_only(library: DeviceLibrary) -> None:
    shared = SharedFiles(library)
    for number in (1, 2):
        await shared.add(complete(library, number), [SAME], [f"{number}"])
    index = library.folder / "files.jsonl"
    index.write_bytes(index.read_bytes()[:-9])
    assert await SharedFiles(library).find(SAME, apart_from=OWN) == (Path("/music/1/1"),)
    await SharedFiles(library).add(complete(library, 3), [SAME], ["3"])
    found = await SharedFiles(library).find(SAME, apart_from=OWN)
    assert found == (Path("/music/3/3"), Path("/music/1/1")), "no line runs into the cut one"


async def test_index_is_bounded_and_the_oldest_albums_go(
    library: DeviceLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_files, "MAX_ROOTS", 3)
    shared = SharedFiles(library)
    files = [TorrentFile((f"{n}",), 5, bytes([n]) * 32) for n in range(1, 6)]
    for number, file in enumerate(files, 1):
        await shared.add(complete(library, number), [file], ["x"])
    for opened in (shared, SharedFiles(library)):
        found = [bool(await opened.find(file, apart_from=OWN)) for file in files]
        assert found == [False, False, True, True, True]
