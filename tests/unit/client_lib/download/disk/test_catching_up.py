"""After a crash the files say what came since the last resume point; nothing is believed."""

import os
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client_lib.download.disk.catching_up import catch_up
from client_lib.swarm.resume import ResumePoint
from tests.integration.client.rig import Album

PIECE = 65_536
# Three pieces, one, one below a block, none, and a last one that is short.
SIZES = {"a.flac": 3 * PIECE, "b.flac": PIECE, "c.txt": 999, "d.txt": 0, "e.flac": PIECE + 5}
PLACES = [("a.flac", 0), ("a.flac", 1), ("a.flac", 2), ("b.flac", 0)]
PLACES += [("c.txt", 0), ("e.flac", 0), ("e.flac", 1)]


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Album:
    return Album(tmp_path_factory.mktemp("album"), sizes=SIZES)


async def caught_up(album: Album, point: ResumePoint, folder: Path) -> ResumePoint:
    return await trio.to_thread.run_sync(catch_up, point, album.metainfo, folder, album.paths)


def point_of(album: Album, have: list[bool], unfinished: dict[int, list[bool]]) -> ResumePoint:
    return ResumePoint.of(album.info_hash, have, unfinished)


def write_pieces(album: Album, folder: Path, pieces: dict[int, str]) -> None:
    """Leave what a crash leaves: holes, pieces that are there, and damaged ones."""
    for number, (name, index) in enumerate(PLACES):
        begin = index * PIECE
        data = (album.folder / name).read_bytes()[begin : begin + PIECE]
        with (folder / name).open("r+b" if (folder / name).exists() else "wb") as file:
            file.seek(begin)
            match pieces.get(number, "hole"):
                case "there":
                    file.write(data)
                case "damaged":
                    file.write(data[:-1] + bytes([data[-1] ^ 1]))
                case "cut":
                    file.write(data[: len(data) // 2])


@given(
    pieces=st.dictionaries(
        st.integers(0, len(PLACES) - 1), st.sampled_from(["there", "damaged", "cut", "hole"])
    ),
    known=st.sets(st.integers(0, len(PLACES) - 1)),
)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_just_the_right_pieces_are_found(
    album: Album, tmp_path: Path, pieces: dict[int, str], known: set[int]
) -> None:
    folder = tmp_path / os.urandom(8).hex()
    folder.mkdir()
    write_pieces(album, folder, pieces)
    have = [number in known for number in range(len(PLACES))]
    partial = {number: [True, False] for number in range(len(PLACES)) if number not in known}
    found = await caught_up(album, point_of(album, have, partial), folder)
    expected = {number for number, how in pieces.items() if how == "there"} | known
    assert {number for number, flag in enumerate(found.have_pieces) if flag} == expected
    assert found.unfinished_pieces.keys() == partial.keys() - expected


async def test_without_files_a_point_stays_as_it_is(album: Album, tmp_path: Path) -> None:
    point = point_of(album, [True] + [False] * 6, {2: [True]})
    assert await caught_up(album, point, tmp_path / "nowhere") == point
    (tmp_path / "a.flac").symlink_to(album.folder / "a.flac")
    (tmp_path / "b.flac").mkdir()
    assert await caught_up(album, point, tmp_path) == point, "links are not followed"


async def test_a_point_of_another_number_of_pieces_is_left_to_libtorrent(album: Album) -> None:
    for count in (0, 6, 8):
        point = point_of(album, [False] * count, {})
        assert await caught_up(album, point, album.folder) == point
