from pathlib import Path

import pytest

from client_lib.errors import UnreachableError
from client_lib.wire.licensing_api import CatalogueEntry
from client_lib.wire.release import Album, AudioFormat, ReleaseId, torrent_name
from seeder.catalogue import Catalogue
from tests.pki import utc_now
from tests.unit.seeder.fake_licensing import FakeLicensing


def entry(sequence: int) -> CatalogueEntry:
    release_id, audio_format = ReleaseId(f"rel-{sequence}"), AudioFormat("flac")
    name = torrent_name(release_id, audio_format)
    album = Album(artist="A", title="T")
    return CatalogueEntry(
        sequence, release_id, audio_format, name, f"{sequence:064x}", 10, album, utc_now()
    )


async def test_catalogue_is_read_to_its_end_and_kept_on_disk(tmp_path: Path) -> None:
    licensing = FakeLicensing(entries=[entry(n) for n in (2, 3, 5, 8, 13)])
    path = tmp_path / "catalogue.jsonl"
    async with licensing.client() as client:
        catalogue = Catalogue(path)
        assert await catalogue.refresh(client) == 5
        assert await catalogue.refresh(client) == 0
        licensing.entries.append(entry(21))
        assert await catalogue.refresh(client) == 1
        licensing.away = True
        again = Catalogue(path)
        with pytest.raises(UnreachableError):
            await again.refresh(client)
    assert again.position == 21
    assert dict(again.listings) == dict(catalogue.listings)
    assert [listing.size_bytes for listing in again.listings.values()] == [10] * 6


async def test_torn_last_line_is_fetched_again(tmp_path: Path) -> None:
    licensing = FakeLicensing(entries=[entry(n) for n in (1, 2, 3)])
    path = tmp_path / "catalogue.jsonl"
    async with licensing.client() as client:
        await Catalogue(path).refresh(client)
        whole = path.read_bytes()
        for cut in (1, 30, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:-cut])
            torn = Catalogue(path)
            assert torn.position < 3
            await torn.refresh(client)
            assert path.read_bytes() == whole
