"""Editions in other formats, made by the machine's own ffmpeg."""

import os
import shutil
import signal
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mutagen
import pytest
import trio
import trio.testing
from mutagen.aiff import AIFF
from mutagen.flac import FLAC, Picture
from mutagen.id3 import APIC, TIT2

from client_lib.errors import StorageError, UsageError
from client_lib.wire.release import AudioFormat, ReleaseId, TorrentName
from seeder.editions import Encoding, publish_editions
from seeder.encoding.covers import read_covers
from seeder.encoding.ffmpeg import Ffmpeg, find_ffmpeg
from seeder.encoding.process_group import open_process_group
from seeder.encoding.source import read_source
from seeder.encoding.targets import TARGETS, parse_targets
from seeder.origins.folder import FolderOrigin
from seeder.placing import Step
from seeder.publish import Press, Published, Release
from seeder.tags import read_file_tags
from tests.integration.seeder.rig import eventually, files_below
from tests.patience import PATIENCE_S
from tests.unit.seeder.fake_licensing import FakeLicensing

FFMPEG = shutil.which("ffmpeg") or ""
needs_ffmpeg = pytest.mark.skipif(not FFMPEG, reason="needs ffmpeg (Debian: apt install ffmpeg)")
OWN = AudioFormat("flac-24-96")
COVER = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 20
PUBLISHER = """
import sys, trio
from pathlib import Path
from tests.integration.seeder.test_encoding import Studio
trio.run(Studio(Path(sys.argv[1])).publish, Path(sys.argv[2]), "mp3-320")
"""
HOSTILE_TITLE = "-i; $(touch x) `y` 'Größe' | concat:/etc/passwd"


def flac(path: Path, **tags: str) -> None:
    """A quarter of a second of 24 bits at 96 kHz, with a cover."""
    sine = "sine=frequency=440:duration=0.25:sample_rate=96000"
    command = [FFMPEG, "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", sine]
    command += ["-ac", "2", "-sample_fmt", "s32", "-c:a", "flac", f"file:{path}"]
    subprocess.run(command, check=True)
    file = FLAC(path)
    file.update(tags)
    picture = Picture()
    picture.data, picture.mime, picture.type = COVER, "image/jpeg", 3
    file.add_picture(picture)
    file.save()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "Début"
    (folder / "CD 1").mkdir(parents=True)
    common = {"albumartist": "Björk", "album": "Début", "date": "1993"}
    flac(
        folder / "CD 1" / "-01 file:x;y.flac",
        **{"artist": "Björk", "title": HOSTILE_TITLE, "tracknumber": "1", **common},
    )
    flac(
        folder / "CD 1" / "02.flac",
        **{"artist": "Guest", "title": "Two", "tracknumber": "2", **common},
    )
    (folder / "booklet.pdf").write_bytes(b"%PDF")
    (folder / "rip.log").write_text("about the original")
    return folder


@pytest.fixture
def album(template: Path, tmp_path: Path) -> Path:
    return shutil.copytree(template, tmp_path / template.name)


class Studio:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.origin = FolderOrigin(root / "origin")
        self.licensing = FakeLicensing()
        self.steps: list[tuple[Step, int, int]] = []
        self.on_step: Callable[[Step], None] = lambda _: None

    def note(self, step: Step, done_bytes: int, total_bytes: int) -> None:
        self.steps.append((step, done_bytes, total_bytes))
        self.on_step(step)

    async def publish(self, album: Path, formats: str) -> tuple[Published, ...]:
        targets = parse_targets(formats, OWN)
        encoding = Encoding(targets, await find_ffmpeg(targets), self.root / "encoding")
        release = Release(album, ReleaseId("rel-0001"), OWN)
        async with self.licensing.client() as client:
            press = Press(self.origin, client, on_progress=self.note)
            return await publish_editions(release, press, encoding)

    def content(self, audio_format: str) -> Path:
        return self.origin.content(TorrentName(f"rel-0001.{audio_format}"))


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(tmp_path)


@needs_ffmpeg
async def test_every_format_has_tags_cover_and_extras(album: Path, studio: Studio) -> None:
    with trio.fail_after(PATIENCE_S):
        own, *editions = await studio.publish(album, ",".join(TARGETS))
    assert [edition.entry.format for edition in editions] == list(TARGETS)
    for edition, target in zip(editions, TARGETS.values(), strict=True):
        content = studio.content(target.audio_format)
        first, second = f"CD 1/-01 file:x;y{target.suffix}", f"CD 1/02{target.suffix}"
        assert set(files_below(content)) == {first, second, "booklet.pdf"}
        assert edition.entry.release_id == own.entry.release_id == "rel-0001"
        assert [track.path for track in edition.entry.album.tracks] == [first, second]
        assert edition.entry.album.title == own.entry.album.title == "Début"
        tags = read_file_tags(content / first)
        assert (tags.title, tags.artist, tags.album) == (HOSTILE_TITLE, "Björk", "Début")
        assert (tags.album_artist, tags.year, tags.number) == ("Björk", 1993, 1)
        assert 0.2 < tags.duration_s < 0.4
        assert [picture.data for picture in read_covers(content / first)] == [COVER]
        assert sample_rate(content / second) in (44_100, 48_000)
    assert {step for step, done, total in studio.steps if done == total} == {
        Step.COPYING,
        Step.ENCODING,
    }
    assert [path.name for path in (studio.root / "encoding" / ".staging").iterdir()] == ["lock"]


def sample_rate(path: Path) -> int:
    made = mutagen.File(path)
    assert made is not None
    return int(getattr(made.info, "sample_rate", 48_000))


@needs_ffmpeg
async def test_again_nothing_is_encoded_and_a_lost_edition_comes_out_the_same(
    album: Path, studio: Studio
) -> None:
    formats = "mp3-320,opus-96,flac-16-44"
    with trio.fail_after(PATIENCE_S):
        first = await studio.publish(album, formats)
        before = files_below(studio.origin.root)
        assert len({each.entry.name for each in first}) == 4
        studio.steps.clear()
        again = await studio.publish(album, formats)
        assert [(each.new, each.entry) for each in again] == [(False, e.entry) for e in first]
        assert {step for step, _, _ in studio.steps} == {Step.HASHING}
        # As after a crash, or on another machine: encoded again, it is the same content.
        shutil.rmtree(studio.content("opus-96"))
        shutil.rmtree(studio.content("flac-16-44"))
        await studio.publish(album, formats)
    assert files_below(studio.origin.root) == before


@needs_ffmpeg
async def test_untagged_wav_and_tagged_aiff_are_sources_too(tmp_path: Path, studio: Studio) -> None:
    folder = tmp_path / "Live"
    folder.mkdir()
    with wave.open(str(folder / "01 one.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(22_050)
        file.writeframes(bytes(2 * 5_000))
    command = [FFMPEG, "-nostdin", "-loglevel", "error", "-i", f"file:{folder / '01 one.wav'}"]
    await trio.run_process([*command, str(folder / "02.aiff")])
    aiff = AIFF(folder / "02.aiff")
    aiff.add_tags()
    tags: Any = aiff.tags
    for frame in (TIT2(3, ["Two"]), APIC(3, "image/png", 3, "front", COVER)):
        tags.add(frame)
    aiff.save()
    with trio.fail_after(PATIENCE_S):
        await studio.publish(folder, "mp3-v0,opus-96")
    content = studio.content("mp3-v0")
    assert read_file_tags(content / "02.mp3").title == "Two"
    assert [picture.data for picture in read_covers(content / "02.mp3")] == [COVER]
    assert sample_rate(content / "01 one.mp3") == 44_100


def lossy(album: Path) -> None:
    (album / "03.mp3").write_bytes(b"\xff\xfb" + bytes(1000))


def playlist_called_wav(album: Path) -> None:
    (album / "03.wav").write_bytes(b"#EXTM3U\nfile:/etc/passwd\n")


def two_of_one_name(album: Path) -> None:
    with wave.open(str(album / "CD 1" / "02.wav"), "wb") as file:
        file.setparams((1, 2, 44_100, 0, "NONE", ""))
        file.writeframes(bytes(100))


def no_track(album: Path) -> None:
    shutil.rmtree(album / "CD 1")


@needs_ffmpeg
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lossy, "not lossless"),
        (playlist_called_wav, "not lossless"),
        (two_of_one_name, "both become"),
        (no_track, "no tracks"),
    ],
)
async def test_album_that_cannot_be_encoded_is_refused_before_anything_is_published(
    spoil: Callable[[Path], None], words: str, album: Path, studio: Studio
) -> None:
    spoil(album)
    with trio.fail_after(PATIENCE_S), pytest.raises(UsageError, match=words):
        await studio.publish(album, "mp3-320")
    assert not studio.origin.root.exists()
    assert studio.licensing.entries == []


def damage(album: Path) -> None:
    path = album / "CD 1" / "02.flac"
    data = bytearray(path.read_bytes())
    data[-600:-300] = bytes(300)
    path.write_bytes(data)


def wav_of_mp3(album: Path) -> None:
    """A WAV whose header says MP3: only PCM is decoded."""
    command = [FFMPEG, "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "sine=duration=0.1"]
    subprocess.run([*command, "-c:a", "libmp3lame", str(album / "03.wav")], check=True)


@needs_ffmpeg
@pytest.mark.parametrize("spoil", [damage, wav_of_mp3])
async def test_track_that_does_not_decode_makes_no_edition(
    spoil: Callable[[Path], None], album: Path, studio: Studio
) -> None:
    spoil(album)
    with trio.fail_after(PATIENCE_S), pytest.raises(StorageError, match="ffmpeg cannot encode"):
        await studio.publish(album, "mp3-320")
    assert [entry.format for entry in studio.licensing.entries] == [OWN]
    assert not studio.content("mp3-320").exists()
    assert [p.name for p in (studio.root / "encoding" / ".staging").iterdir()] == ["lock"]


@needs_ffmpeg
async def test_album_that_changes_while_it_is_encoded_makes_no_edition(
    album: Path, studio: Studio
) -> None:
    def touch(step: Step) -> None:
        if step is Step.ENCODING:
            (album / "late.txt").write_text("late")

    studio.on_step = touch
    with trio.fail_after(PATIENCE_S), pytest.raises(StorageError, match="changed while"):
        await studio.publish(album, "mp3-320")
    assert not studio.content("mp3-320").exists()


async def test_track_beyond_its_time_limit_is_given_up(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o755)
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 44_100, 0, "NONE", ""))
        file.writeframes(bytes(100))
    target = TARGETS[AudioFormat("mp3-320")]
    track = read_source(tmp_path, [("a.wav",)], [target]).tracks[("a.wav",)]
    with pytest.raises(StorageError, match="longer than 120 s"):
        async with open_process_group() as group:
            await Ffmpeg(str(program)).encode(
                path, track, target, tmp_path / "b", tmp_path / "log", group
            )


async def test_ffmpeg_that_is_absent_or_lacks_an_encoder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    targets = parse_targets("mp3-320", OWN)
    with pytest.raises(UsageError, match="ffmpeg, which is not installed"):
        await find_ffmpeg(targets)
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho ' A..... aac    AAC'\n")
    program.chmod(0o755)
    with pytest.raises(UsageError, match="without libmp3lame"):
        await find_ffmpeg(targets)
    program.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(UsageError, match="does not work"):
        await find_ffmpeg(targets)


@needs_ffmpeg
async def test_killed_while_encoding_is_completed_by_the_same_call(
    album: Path, studio: Studio
) -> None:
    staging = studio.root / "encoding" / ".staging"
    with trio.fail_after(PATIENCE_S):
        process = await trio.lowlevel.open_process(
            [sys.executable, "-c", PUBLISHER, str(studio.root), str(album)]
        )
        await eventually(lambda: any(staging.glob("*/*")) or process.poll() is not None)
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        shutil.rmtree(studio.origin.root)  # the next process's licensing has a CA of its own
        await studio.publish(album, "mp3-320")
    assert set(files_below(studio.content("mp3-320"))) >= {"booklet.pdf", "CD 1/02.mp3"}
    assert [path.name for path in staging.iterdir()] == ["lock"]


@needs_ffmpeg
async def test_no_ffmpeg_outlives_a_killed_publish(
    album: Path, studio: Studio, tmp_path: Path
) -> None:
    """Each ffmpeg, and what it began, holds an end of a pipe here."""
    tools, log = tmp_path / "tools", tmp_path / "begun"
    tools.mkdir()
    program = tools / "ffmpeg"
    # Tells what it can, as the real one, and then never ends. The child is not ours by any name.
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *-encoders*) exec {FFMPEG} "$@";; esac\n'
        f"exec 3>{tmp_path}/held\necho begun >>{log}\nsleep 1000 &\nsleep 1000\n"
    )
    program.chmod(0o755)
    os.mkfifo(tmp_path / "held")
    held = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    environment = os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    try:
        with trio.fail_after(PATIENCE_S):
            process = await trio.lowlevel.open_process(
                [sys.executable, "-c", PUBLISHER, str(studio.root), str(album)], env=environment
            )
            await eventually(lambda: log.exists() or process.poll() is not None)
            with pytest.raises(BlockingIOError):  # somebody holds its other end
                os.read(held, 1)
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
            await trio.lowlevel.wait_readable(held)
            assert os.read(held, 1) == b"", "nobody holds it any more"
    finally:
        os.close(held)


def test_formats_are_parsed_and_unknown_ones_named() -> None:
    assert [t.audio_format for t in parse_targets("mp3-v0, opus-160,mp3-v0", OWN)] == [
        "mp3-v0",
        "opus-160",
    ]
    assert parse_targets(None, OWN) == ()
    for wrong in ("mp3-999", "", "mp3-320;rm", "mp3-320,,"):
        with pytest.raises(UsageError, match="not a format that can be made: mp3-320"):
            parse_targets(wrong, OWN)
    with pytest.raises(UsageError, match="own format"):
        parse_targets("flac-16-44", AudioFormat("flac-16-44"))
