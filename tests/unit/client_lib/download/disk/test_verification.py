"""Files on the disk against what was bought."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_lib.download.disk.verification import (
    FileState,
    VerifyProgress,
    sizes_fit,
    surplus_files,
    verify_files,
)
from client_lib.swarm.create import create_torrent
from client_lib.wire.file_tree import TorrentFile
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import TorrentName
from tests.pki import SwarmPki
from tests.unit.client_lib.wire.torrents import hash_tree

CA_PEM = SwarmPki().ca_pem
NAME = TorrentName("rel-1.flac")
SIZES = {"01.flac": 300_001, "CD 2/01 ж.flac": 65_536, "CD 2/02.flac": 1, "empty.txt": 0}


@pytest.fixture
def album(tmp_path: Path) -> tuple[Path, Metainfo, list[str]]:
    """A folder, and what libtorrent says its files' roots are."""
    folder = tmp_path / NAME
    for number, (path, size) in enumerate(SIZES.items()):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(bytes([number + 1]) * size)
    metainfo = Metainfo.from_bytes(create_torrent(folder, name=NAME, ca_pem=CA_PEM))
    return folder, metainfo, ["/".join(file.path) for file in metainfo.files]


def states(folder: Path, metainfo: Metainfo, paths: list[str]) -> dict[str, FileState]:
    return {f.path: f.state for f in verify_files(folder, metainfo.files, paths)}


def test_what_libtorrent_hashed_is_verified(album: tuple[Path, Metainfo, list[str]]) -> None:
    folder, metainfo, paths = album
    read: list[VerifyProgress] = []
    findings = verify_files(folder, metainfo.files, paths, read.append)
    assert {finding.path: finding.length_bytes for finding in findings} == SIZES
    assert {finding.state for finding in findings} == {FileState.OK}
    assert [one.done_bytes for one in read] == sorted(one.done_bytes for one in read)
    assert read[-1] == VerifyProgress("empty.txt", sum(SIZES.values()), sum(SIZES.values()))
    assert {one.path for one in read} == set(SIZES)
    assert sizes_fit(folder, metainfo.files, paths)


def test_each_kind_of_damage_is_told_and_the_rest_is_ok(
    album: tuple[Path, Metainfo, list[str]],
) -> None:
    folder, metainfo, paths = album
    content = bytearray((folder / "01.flac").read_bytes())
    content[-1] ^= 1
    (folder / "01.flac").write_bytes(content)
    assert sizes_fit(folder, metainfo.files, paths), "only hashing shows this one"
    (folder / "CD 2/01 ж.flac").write_bytes(bytes(65_535))
    (folder / "CD 2/02.flac").unlink()
    assert states(folder, metainfo, paths) == {
        "01.flac": FileState.CORRUPT,
        "CD 2/01 ж.flac": FileState.WRONG_SIZE,
        "CD 2/02.flac": FileState.MISSING,
        "empty.txt": FileState.OK,
    }
    assert not sizes_fit(folder, metainfo.files, paths)


def test_link_and_folder_are_not_the_file(album: tuple[Path, Metainfo, list[str]]) -> None:
    folder, metainfo, paths = album
    (folder / "01.flac").rename(folder / "elsewhere")
    (folder / "01.flac").symlink_to("elsewhere")
    (folder / "empty.txt").unlink()
    (folder / "empty.txt").mkdir()
    found = states(folder, metainfo, paths)
    assert found["01.flac"] is found["empty.txt"] is FileState.MISSING


def test_empty_file_that_is_not_empty_is_found(album: tuple[Path, Metainfo, list[str]]) -> None:
    folder, metainfo, paths = album
    (folder / "empty.txt").write_bytes(b"x")
    assert states(folder, metainfo, paths)["empty.txt"] is FileState.WRONG_SIZE


def test_missing_folder_is_all_files_missing(album: tuple[Path, Metainfo, list[str]]) -> None:
    folder, metainfo, paths = album
    assert set(states(folder / "gone", metainfo, paths).values()) == {FileState.MISSING}


@given(st.integers(1, 40), st.integers(-2, 2), st.integers(0, 2**32 - 1))
def test_any_length_hashes_as_the_book_says(
    tmp_path_factory: pytest.TempPathFactory, blocks: int, extra: int, seed: int
) -> None:
    content = (seed.to_bytes(4, "big") * (1 + blocks * 4096))[: max(1, (blocks << 14) + extra)]
    path = tmp_path_factory.mktemp("file") / "x"
    path.write_bytes(content)
    file = TorrentFile(("x",), len(content), hash_tree(content, 1 << 16)[0])
    assert [f.state for f in verify_files(path.parent, [file], ["x"])] == [FileState.OK]


def test_surplus_files_are_the_customers_own(album: tuple[Path, Metainfo, list[str]]) -> None:
    folder, _, paths = album
    (folder / "notes").mkdir()
    (folder / "notes/mine.txt").write_bytes(b"mine")
    (folder / "link").symlink_to("01.flac")
    (folder / "checksums.sha256").touch()
    assert list(surplus_files(folder, paths)) == [("notes/mine.txt", 4)]
    assert list(surplus_files(folder / "gone", paths)) == []
