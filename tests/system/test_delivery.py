"""Purchase to verified album, with real processes, TLS, SQLite and libtorrent."""

from pathlib import Path

import trio

from docs.demo.customers import buy
from docs.demo.services import open_network, run
from tests.patience import PATIENCE_S
from tests.system.shop import RELEASE, digests, getting, publish, write_album

MB = 1_000_000


async def test_a_large_album_with_hostile_names_arrives_byte_identical(tmp_path: Path) -> None:
    sizes = {f"CD {cd}/{n:02d} – Nótt 夜 {n}.flac": 17 * MB + n for cd in (1, 2) for n in range(9)}
    sizes |= {"cover (front) & 'back'.jpg": 345_678, "CD 2/scans/empty.log": 0}
    album = write_album(tmp_path / "album", sizes)
    assert len(sizes) == 20
    assert sum(sizes.values()) >= 300 * MB
    with trio.fail_after(PATIENCE_S):
        async with open_network(tmp_path / "net", seeder_upload_bytes_s=0) as network:
            await publish(network, album)
            customer = await buy(network, "björk", RELEASE)
            async with getting(customer) as get:
                finished = await get.wait_event("finished")
                assert await get.process.wait() == 0
            verified = await run("albumswarm", "verify", "--data", customer.data)
    folder = Path(finished["folder"])
    assert folder == customer.music / "Sigur Rós" / "Ágætis byrjun (1999) [FLAC 16-44]"
    assert digests(folder) == digests(album)
    assert b"20 files, verified" in verified.stdout
    assert not (customer.music / ".albumswarm").exists()


async def test_a_killed_download_resumes_and_fetches_little_twice(tmp_path: Path) -> None:
    album = write_album(tmp_path / "album", {f"{n:02d}.flac": 6 * MB for n in range(10)})
    size = 60 * MB
    with trio.fail_after(PATIENCE_S):
        async with open_network(tmp_path / "net", seeder_upload_bytes_s=6 * MB) as network:
            await publish(network, album)
            customer = await buy(network, "one", RELEASE)
            async with getting(customer) as get:
                await get.wait_event("progress", at_least=size // 3)
            first = get.downloaded_bytes
            async with getting(customer) as get:
                started = await get.wait_event("started")
                finished = await get.wait_event("finished")
    assert started["resumed_bytes"] > 0
    assert digests(Path(finished["folder"])) == digests(album)
    assert first + get.downloaded_bytes <= 1.05 * size


async def test_a_licensing_outage_stops_no_licensed_download(tmp_path: Path) -> None:
    album = write_album(tmp_path / "album", {f"{n:02d}.flac": 4 * MB for n in range(10)})
    slowly = ("--download-limit", str(4 * MB))
    with trio.fail_after(PATIENCE_S):
        async with open_network(tmp_path / "net", seeder_upload_bytes_s=0) as network:
            await publish(network, album)
            first, second = [await buy(network, name, RELEASE) for name in ("one", "two")]
            async with getting(second, *slowly) as brief:
                await brief.wait_event("started")  # so it has its certificate; then it is killed
            async with getting(first, *slowly) as running:
                await running.wait_event("progress", at_least=4 * MB)
                await network.kill("albumswarm-licensing")
                async with getting(second) as joining:
                    joined = await joining.wait_event("finished")
                finished = await running.wait_event("finished")
    assert digests(Path(finished["folder"])) == digests(album)
    assert digests(Path(joined["folder"])) == digests(album)


async def test_a_single_of_one_file_arrives_without_an_extra_folder(tmp_path: Path) -> None:
    album = write_album(tmp_path / "album", {"Svefn-g-englar.flac": 3 * MB})
    with trio.fail_after(PATIENCE_S):
        async with open_network(tmp_path / "net", seeder_upload_bytes_s=0) as network:
            await publish(network, album)
            customer = await buy(network, "one", RELEASE)
            async with getting(customer) as get:
                finished = await get.wait_event("finished")
            again = await run("albumswarm", "verify", "--data", customer.data)
    assert digests(Path(finished["folder"])) == digests(album)
    assert b"1 files, verified" in again.stdout
