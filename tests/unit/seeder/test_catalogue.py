import contextlib
from pathlib import Path

import pytest
import trio
import trio.testing

from client_lib.errors import StorageError, UnreachableError
from client_lib.wire.licensing_api import CatalogueEntry
from client_lib.wire.release import Album, AudioFormat, ReleaseId, TorrentName, torrent_name
from seeder.catalogue import Catalogue
from seeder.upkeep import follow
from tests.pki import utc_now
from tests.unit.seeder.fake_licensing import FakeLicensing


def entry(sequence: int) -> CatalogueEntry:
    release_id, audio_format = ReleaseId(f"rel-{sequence}"), AudioFormat("flac")
    name = torrent_name(release_id, audio_format)
    album = Album(artist="A", title="T")
    return CatalogueEntry(
        sequence, release_id, audio_format, name, f"{sequence:02x}" * 32, 10, album, utc_now()
    )


async def test_catalogue_is_read_to_its_end_and_kept_on_disk(tmp_path: Path) -> None:
    licensing = FakeLicensing(entries=[entry(n) for n in (2, 3, 5, 8, 13)])
    path = tmp_path / "catalogue.sqlite3"
    async with licensing.client() as client:
        with contextlib.closing(Catalogue(path)) as catalogue:
            assert await catalogue.refresh(client) == 5
            assert await catalogue.refresh(client) == 0
            licensing.entries.append(entry(21))
            assert await catalogue.refresh(client) == 1
        licensing.away = True
        with contextlib.closing(Catalogue(path)) as again:
            with pytest.raises(UnreachableError):
                await again.refresh(client)
            assert (again.position, len(again)) == (21, 6)
            listing = again.named(TorrentName("rel-13.flac"))
            assert listing is not None
            assert (listing.sequence, listing.size_bytes) == (13, 10)
            assert again.named(TorrentName("rel-1.flac")) is None


async def test_release_is_found_by_its_truncated_info_hash(tmp_path: Path) -> None:
    licensing = FakeLicensing(entries=[entry(n) for n in (2, 3)])
    wanted = entry(3)
    async with licensing.client() as client:
        with contextlib.closing(Catalogue(tmp_path / "catalogue.sqlite3")) as catalogue:
            await catalogue.refresh(client)
            listing = catalogue.find(wanted.info_hash[:40])
            assert listing is not None
            assert (listing.name, listing.info_hash_hex) == (wanted.name, wanted.info_hash)
            assert catalogue.find("f" * 40) is None


async def test_what_was_published_a_moment_ago_is_read_when_somebody_asks_for_it(
    tmp_path: Path,
) -> None:
    licensing = FakeLicensing(entries=[entry(2)])
    path = tmp_path / "catalogue.sqlite3"
    async with licensing.client() as client:
        with contextlib.closing(Catalogue(path)) as catalogue:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(follow, catalogue, client, 3_600.0)
                for sequence in (3, 4):
                    licensing.entries.append(entry(sequence))
                    await catalogue.catch_up()
                    assert catalogue.position == sequence
                nursery.cancel_scope.cancel()


async def test_a_licensing_that_is_away_is_not_waited_for_long(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    with contextlib.closing(Catalogue(tmp_path / "catalogue.sqlite3")) as catalogue:
        await catalogue.catch_up()
        assert trio.current_time() <= 5


def test_file_that_is_no_catalogue_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite3"
    path.write_bytes(b"something else" * 100)
    with pytest.raises(StorageError, match=r"catalogue\.sqlite3: file is not a database"):
        Catalogue(path)
