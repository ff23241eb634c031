"""`publish` of a whole catalogue, and what it refuses before it begins."""

import json
import shutil
from pathlib import Path

import pytest
import trio

from licensing.ledger import Role
from tests.integration.seeder.rig import files_below, make_album
from tests.integration.seeder.test_commands import Shop, seeder, shop
from tests.patience import PATIENCE_S

__all__ = ["shop"]


async def test_one_bad_album_stops_no_other(shop: Shop) -> None:
    good, other = (make_album(shop.root / name, size_bytes=1000) for name in ("a-1", "b-2"))
    missing, unnamed = shop.root / "nowhere", make_album(shop.root / "No Id", size_bytes=1000)
    options = ("--format", "flac", *shop.licensing_options(Role.PUBLISHER))
    with trio.fail_after(PATIENCE_S):
        code, out, err = await seeder("publish", good, missing, unnamed, other, *options, "--json")
        assert code == 1
        assert [json.loads(line)["name"] for line in out.splitlines()] == ["a-1.flac", "b-2.flac"]
        *bad, last = err.splitlines()
        assert [line.split(":")[1].strip() for line in bad] == [str(missing), str(unnamed)]
        assert "give --release" in bad[1]
        assert last.endswith("2 of 4 albums were not published")
        before = files_below(shop.data)
        code, out, err = await seeder("publish", good, other, *options)
        assert (code, err) == (0, "")
        assert [line.split()[0] for line in out.splitlines()] == ["already", "already", "all"]
        assert files_below(shop.data) == before
        # What is wrong for all of them is said once.
        shop.licensing.stop.set()
        code, out, err = await seeder("publish", good, other, *options)
        assert (code, out, err.count("\n")) == (4, "", 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("a-1", "--encode", "mp3-999"), "'mp3-999' is not a format that can be made: mp3-320"),
        (("a-1", "--encode", "flac-16-44"), "the album's own format"),
        (("a-1", "--encode", "mp3-320"), "ffmpeg, which is not installed"),
        (("a-1", "b-2", "--release", "x"), "are of one album"),
        (("No Id",), "give --release"),
        ((), "no album folder"),
    ],
)
async def test_what_cannot_be_done_is_said_before_anything_is_written(
    options: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a-1", "b-2", "No Id"):
        make_album(tmp_path / name, size_bytes=1000)
    (tmp_path / "key").write_text("key\n")
    before = files_below(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    arguments = (
        *("publish", *options, "--format", "flac-16-44", "--data", tmp_path / "d"),
        *("--licensing-url", "https://localhost:1", "--api-key-file", tmp_path / "key"),
    )
    monkeypatch.chdir(tmp_path)
    with trio.fail_after(PATIENCE_S):
        code, out, err = await seeder(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert files_below(tmp_path) == before


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs ffmpeg (Debian: apt install ffmpeg)")
async def test_lossy_album_is_refused_by_name_and_nothing_is_published(
    shop: Shop,
) -> None:
    album = make_album(shop.root / "a-1", size_bytes=1000)  # its tracks are noise
    options = ("--format", "flac", *shop.licensing_options(Role.PUBLISHER))
    with trio.fail_after(PATIENCE_S):
        code, out, err = await seeder("publish", album, "--encode", "mp3-320", *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "01.flac is not lossless audio" in err
    assert not (shop.data / "origin").exists()
