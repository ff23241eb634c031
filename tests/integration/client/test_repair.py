"""What is on the disk: checksums, what repair fetches, and what other albums here can give."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from client_lib.download import Client, FileState, Finished, Progress, Started, VerifyProgress
from client_lib.errors import UsageError
from client_lib.wire.licensing_api import LicenceRecord
from tests.integration.client.market import market
from tests.patience import PATIENCE_S

BIG = 1_200_001
FILES = {"01.flac": BIG, "02.flac": 300_000, "CD 2/03.flac": 200_001, "empty": 0, "folder.jpg": 5}
WHOLE = sum(FILES.values())


async def get(client: Client, licence: LicenceRecord, into: Path) -> tuple[Finished, Started]:
    started: list[Started] = []
    async with client.download([licence], into=into) as job:
        async for event in job.events():
            if isinstance(event, Started):
                started.append(event)
    (end,) = await job.result()
    return end, started[0]


def damage(file: Path, *at: int) -> None:
    with file.open("r+b") as content:
        for position in at:
            content.seek(position)
            byte = content.read(1)
            content.seek(position)
            content.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("said", [False, True], ids=["hashed here", "said by the torrent"])
async def test_checksums_are_beside_the_album_and_hold(tmp_path: Path, *, said: bool) -> None:
    with trio.fail_after(PATIENCE_S):
        async with (
            market(tmp_path / "m", [FILES], checksums=said) as shop,
            shop.customer(tmp_path / "c") as client,
        ):
            (licence,) = await client.redeem("a.b.c")
            end, _ = await get(client, licence, tmp_path / "music")
            lines = (end.folder / "checksums.sha256").read_text().splitlines()
            assert [line[66:] for line in lines] == sorted(FILES)
            await trio.run_process(
                ["sha256sum", "--strict", "-c", "checksums.sha256"],
                cwd=end.folder,
                stdout=subprocess.DEVNULL,
            )
            findings = await client.verify(licence)
            assert {finding.state for finding in findings} == {FileState.OK}


async def test_repair_fetches_damaged_pieces_only_and_leaves_the_customers_files(
    tmp_path: Path,
) -> None:
    with trio.fail_after(PATIENCE_S):
        async with (
            market(tmp_path / "m", [FILES]) as shop,
            shop.customer(tmp_path / "c") as client,
        ):
            (licence,) = await client.redeem("a.b.c")
            (album,) = shop.albums
            with pytest.raises(UsageError, match="not downloaded here"):
                await client.repair(licence)
            end, _ = await get(client, licence, tmp_path / "music")
            folder, piece = end.folder, album.metainfo.piece_length_bytes
            whole = await client.repair(licence)
            assert (whole.mended, whole.downloaded_bytes) == ((), 0)

            damage(folder / "01.flac", 1, 3 * piece, BIG - 1)
            kept = (folder / "01.flac").stat().st_ino
            (folder / "02.flac").write_bytes((folder / "02.flac").read_bytes() + b"tag")
            (folder / "CD 2/03.flac").rename(folder / "CD 2/my favourite.flac")
            (folder / "empty").unlink()
            (folder / "mine.txt").write_text("mine")
            heard: list[VerifyProgress] = []
            found = {f.path: f.state for f in await client.verify(licence, heard.append)}
            assert found == {
                "01.flac": FileState.CORRUPT,
                "02.flac": FileState.WRONG_SIZE,
                "CD 2/03.flac": FileState.MISSING,
                "empty": FileState.MISSING,
                "folder.jpg": FileState.OK,
                "CD 2/my favourite.flac": FileState.SURPLUS,
                "mine.txt": FileState.SURPLUS,
            }
            assert heard[-1].done_bytes == heard[-1].total_bytes == WHOLE

            done = await client.repair(licence)
            assert {f.path for f in done.mended} == {"01.flac", "02.flac", "CD 2/03.flac", "empty"}
            assert done.folder == folder
            assert 0 < done.downloaded_bytes <= 3 * piece
            assert done.reused_bytes == FILES["CD 2/03.flac"]
            assert album.is_in(folder)
            assert (folder / "mine.txt").read_text() == "mine"
            assert (folder / "CD 2/my favourite.flac").exists()
            assert (folder / "01.flac").stat().st_ino != kept, "replaced, not written into"
            assert {path.name for path in (tmp_path / "music").iterdir()} == {"Artist"}
            assert not any(finding.is_damage for finding in await client.verify(licence))


async def test_get_mends_what_verify_found_and_then_gives_the_whole(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE_S):
        async with (
            market(tmp_path / "m", [FILES]) as shop,
            shop.customer(tmp_path / "c") as client,
        ):
            (licence,) = await client.redeem("a.b.c")
            end, _ = await get(client, licence, tmp_path / "music")
            damage(end.folder / "02.flac", 7)
            await client.verify(licence)
            finished = 0
            async with client.download(
                [licence], into=tmp_path / "music", keep_seeding=True
            ) as job:
                async for event in job.events():
                    finished += isinstance(event, Finished)
                    if finished and isinstance(event, Progress) and event.total_bytes == WHOLE:
                        break
            assert finished == 1
            assert shop.albums[0].is_in(end.folder)


async def test_files_that_were_put_in_place_before_a_crash_are_not_fetched_again(
    tmp_path: Path,
) -> None:
    with trio.fail_after(PATIENCE_S):
        async with (
            market(tmp_path / "m", [FILES]) as shop,
            shop.customer(tmp_path / "c") as client,
        ):
            (licence,) = await client.redeem("a.b.c")
            end, _ = await get(client, licence, tmp_path / "music")
            damage(end.folder / "01.flac", 7)
            await client.verify(licence)
            # … mended, put in place, and then the process died before it was recorded.
            shutil.copyfile(shop.albums[0].folder / "01.flac", end.folder / "01.flac")
            again, started = await get(client, licence, tmp_path / "music")
            assert again.from_seeders_bytes == 0
            assert started.resumed_bytes == BIG


async def test_second_edition_fetches_only_what_is_new(tmp_path: Path) -> None:
    editions = [FILES, {"a1.flac": BIG, "a2.flac": 300_000, "bonus.flac": 250_000}]
    same = {"a1.flac": "01.flac", "a2.flac": "02.flac"}
    with trio.fail_after(PATIENCE_S):
        async with (
            market(tmp_path / "m", editions, same={1: same}) as shop,
            shop.customer(tmp_path / "c") as client,
        ):
            first, second = await client.redeem("a.b.c")
            end, started = await get(client, first, tmp_path / "music")
            assert started.reused_bytes == 0
            damage(end.folder / "02.flac", 7)  # since: its good pieces are trusted, no others
            index = tmp_path / "c/data/files.jsonl"
            index.write_bytes(b"damaged\n")
            end, started = await get(client, second, tmp_path / "music")
            piece = shop.albums[1].metainfo.piece_length_bytes
            assert started.reused_bytes == started.resumed_bytes == BIG + 300_000 - piece
            assert end.from_seeders_bytes + end.from_customers_bytes == 250_000 + piece
            assert shop.albums[1].is_in(end.folder)
            assert len(index.read_text().splitlines()) == 2, "made anew"


async def test_folder_template_of_the_settings_is_used(tmp_path: Path) -> None:
    async with market(tmp_path / "m", [{"x.flac": 1000, "y.flac": 1}]) as shop:
        with pytest.raises(UsageError, match="no field"):
            async with shop.customer(tmp_path / "c", folder_template="{nothing}"):
                raise AssertionError("open")
        with trio.fail_after(PATIENCE_S):
            async with shop.customer(
                tmp_path / "c", folder_template="{format}/{release_id}", checksums=False
            ) as client:
                (licence,) = await client.redeem("a.b.c")
                end, _ = await get(client, licence, tmp_path / "music")
                assert end.folder == tmp_path / "music/FLAC 16-44/rel-0001"
                assert sorted(path.name for path in end.folder.iterdir()) == ["x.flac", "y.flac"]


async def test_command_finds_and_mends(tmp_path: Path) -> None:
    async def albumswarm(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "client_lib", *words, "--data", str(tmp_path / "c/data")]
        done = await trio.run_process(command, capture_stdout=True, check=False)
        return done.returncode, done.stdout.decode()

    with trio.fail_after(PATIENCE_S):
        async with market(tmp_path / "m", [FILES]) as shop:
            async with shop.customer(tmp_path / "c") as client:
                (licence,) = await client.redeem("a.b.c")
                end, _ = await get(client, licence, tmp_path / "music")
            damage(end.folder / "01.flac", 7)
            (end.folder / "mine").touch()
            code, said = await albumswarm("verify")
            assert (code, said.splitlines()[1:]) == (1, ["  corrupt: 01.flac", "  surplus: mine"])
            code, said = await albumswarm("repair", "--listen-host", "127.0.0.1", "--json")
            (mended,) = json.loads(said.splitlines()[-1])["albums"]
            assert (code, [one["path"] for one in mended["mended"]]) == (0, ["01.flac"])
            piece = shop.albums[0].metainfo.piece_length_bytes
            assert mended["downloaded_bytes"] == piece
            code, said = await albumswarm("repair")
            assert (code, said) == (0, f"{licence.name}: nothing to mend\n")
