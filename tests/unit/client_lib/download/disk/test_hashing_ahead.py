"""Files are hashed while they come: in any order, interrupted at any moment, never wrongly."""

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import trio
import trio.lowlevel

from client_lib.download.disk.checksums import write_checksums
from client_lib.download.disk.file_digest import FileDigest
from client_lib.download.disk.hashing_ahead import HashingAhead
from client_lib.wire.file_tree import TorrentFile
from client_lib.wire.metainfo import Metainfo
from tests.patience import PATIENCE_S

MIB = 1 << 20
PATHS = ("01.flac", "02.flac", "cover.jpg")
LENGTHS = (9 * MIB + 5, 8 * MIB, 1000)
FIRST_PIECES = (0, 10, 18, 19)


class Album:
    """Content that comes piece by piece."""

    def __init__(self, folder: Path, seed: int = 1, said: Mapping[str, bytes] = {}) -> None:
        self.folder = folder
        rng = random.Random(seed)
        self.content = [rng.randbytes(length) for length in LENGTHS]
        self.verified: set[int] = set()
        self.files = [
            TorrentFile((path,), length, None, said.get(path))
            for path, length in zip(PATHS, LENGTHS, strict=True)
        ]
        for path, length in zip(PATHS, LENGTHS, strict=True):
            with (folder / path).open("wb") as file:
                file.truncate(length)

    def hashing(self) -> HashingAhead:
        torrent = SimpleNamespace(files=self.files, piece_length_bytes=MIB)
        metainfo = cast("Metainfo", torrent)
        return HashingAhead(metainfo, self.verified, self.folder, PATHS)

    def comes(self, piece: int) -> None:
        index = next(i for i in range(3) if piece < FIRST_PIECES[i + 1])
        at = (piece - FIRST_PIECES[index]) * MIB
        with (self.folder / PATHS[index]).open("r+b") as file:
            file.seek(at)
            file.write(self.content[index][at : at + MIB])
        self.verified.add(piece)

    async def listed(self, hashing: HashingAhead) -> str:
        files = dict(zip(PATHS, self.files, strict=True))
        await write_checksums(self.folder, files, hashing.digests)
        return (self.folder / "checksums.sha256").read_text()

    @property
    def expected(self) -> str:
        pairs = zip(PATHS, self.content, strict=True)
        return "".join(f"{sha256(data).hexdigest()}  {path}\n" for path, data in pairs)


@asynccontextmanager
async def running(hashing: HashingAhead) -> AsyncIterator[None]:
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hashing.run)
            yield
            nursery.cancel_scope.cancel()


async def until(digest: FileDigest, done_bytes: int) -> None:
    while digest.done_bytes < done_bytes:  # noqa: ASYNC110 - a thread hashes, and tells nobody
        await trio.sleep(0.001)


def flush(hashing: HashingAhead) -> None:
    hashing.written(hashing.reached())


async def test_what_came_without_a_hole_is_hashed_before_the_last_piece(tmp_path: Path) -> None:
    album = Album(tmp_path)
    hashing = album.hashing()
    assert set(hashing.digests) == {"01.flac", "02.flac"}, "small files are left to the end"
    first, second = hashing.digests["01.flac"], hashing.digests["02.flac"]
    async with running(hashing):
        for piece in (0, 1, 2, 3, 4, 6, 11, 12, 13, 14, 15):
            album.comes(piece)
        flush(hashing)
        await until(first, 5 * MIB)
        for piece in (5, 7, 8, 9):
            album.comes(piece)
        flush(hashing)
        await until(first, LENGTHS[0])
        assert second.done_bytes == 0, "its first piece is missing"
    for piece in (10, 16, 17, 18):
        album.comes(piece)
    assert await album.listed(hashing) == album.expected


async def test_what_the_torrent_says_is_listed_and_nothing_is_read_for_it(tmp_path: Path) -> None:
    album = Album(tmp_path, said={"01.flac": b"1" * 32, "cover.jpg": b"c" * 32})
    hashing = album.hashing()
    assert set(hashing.digests) == {"02.flac"}
    for piece in range(FIRST_PIECES[1], FIRST_PIECES[2]):
        album.comes(piece)
    for path in ("01.flac", "cover.jpg"):
        (tmp_path / path).unlink()
    second = sha256(album.content[1]).hexdigest()
    assert await album.listed(hashing) == (
        f"{'31' * 32}  01.flac\n{second}  02.flac\n{'63' * 32}  cover.jpg\n"
    )


async def test_nothing_is_read_that_has_not_been_written(tmp_path: Path) -> None:
    album = Album(tmp_path)
    hashing = album.hashing()
    for piece in range(5):
        album.comes(piece)
    due = hashing.reached()
    for piece in range(5, 10):
        album.comes(piece)
    async with running(hashing):
        hashing.written(due)
        await until(hashing.digests["01.flac"], 5 * MIB)
        await trio.testing.wait_all_tasks_blocked()
        assert hashing.digests["01.flac"].done_bytes == 5 * MIB


@pytest.mark.parametrize("seed", range(4))
async def test_in_any_order_and_cancelled_at_any_moment_the_list_is_right(
    tmp_path: Path, seed: int
) -> None:
    rng, album = random.Random(seed), Album(tmp_path, seed)
    hashing = album.hashing()
    pieces = sorted(range(FIRST_PIECES[-1]), key=lambda piece: piece + rng.uniform(0, 6))
    while pieces:
        async with running(hashing):
            for _ in range(min(len(pieces), rng.randrange(1, 12))):
                album.comes(pieces.pop(0))
            flush(hashing)
            for _ in range(rng.randrange(4)):
                await trio.lowlevel.checkpoint()
    assert await album.listed(hashing) == album.expected


async def test_a_file_that_takes_the_place_of_another_is_hashed_anew(tmp_path: Path) -> None:
    album = Album(tmp_path)
    hashing = album.hashing()
    async with running(hashing):
        for piece in range(FIRST_PIECES[-1]):
            album.comes(piece)
        flush(hashing)
        await until(hashing.digests["01.flac"], LENGTHS[0])
        await until(hashing.digests["02.flac"], LENGTHS[1])
    other = tmp_path / "other"
    other.write_bytes(album.content[1])
    other.rename(tmp_path / "01.flac")
    (tmp_path / "02.flac").write_bytes(b"shorter")
    album.content[0], album.content[1] = album.content[1], b"shorter"
    assert await album.listed(hashing) == album.expected


async def test_a_file_that_goes_away_fails_nothing_before_the_end(tmp_path: Path) -> None:
    album = Album(tmp_path)
    hashing = album.hashing()
    async with running(hashing):
        for piece in range(10):
            album.comes(piece)
        (tmp_path / "01.flac").unlink()
        flush(hashing)
        await trio.testing.wait_all_tasks_blocked(0.01)
    (tmp_path / "01.flac").write_bytes(album.content[0])
    for piece in range(10, 19):
        album.comes(piece)
    assert await album.listed(hashing) == album.expected


async def test_files_of_which_an_earlier_run_had_a_part_are_left_to_the_end(
    tmp_path: Path,
) -> None:
    album = Album(tmp_path)
    album.comes(4)
    assert set(album.hashing().digests) == {"02.flac"}
