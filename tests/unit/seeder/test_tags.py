import struct
import wave
from pathlib import Path
from typing import Any

import msgspec
import mutagen.flac
import mutagen.id3
import mutagen.wave
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_lib.wire.release import Album
from seeder.tags import (
    UNKNOWN_ARTIST,
    VARIOUS_ARTISTS,
    FileTags,
    Overrides,
    album_of,
    clean,
    describe_album,
    read_file_tags,
)

flac: Any = mutagen.flac  # mutagen's constructors carry no types
id3: Any = mutagen.id3
riff: Any = mutagen.wave


def make_flac(path: Path, tags: dict[str, str], seconds: int = 2) -> None:
    """A FLAC file of a STREAMINFO block and tags: all that a tag reader looks at."""
    rate, channels, bits = 44_100, 2, 16
    packed = (rate << 44) | ((channels - 1) << 41) | ((bits - 1) << 36) | rate * seconds
    info = struct.pack(">HH3s3sQ16s", 4096, 4096, b"\0\0\0", b"\0\0\0", packed, bytes(16))
    path.write_bytes(b"fLaC" + b"\x80" + len(info).to_bytes(3, "big") + info)
    file = flac.FLAC(path)
    for name, value in tags.items():
        file[name] = value
    file.save()


def make_wav(path: Path, frames: list[Any]) -> None:
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8_000)
        writer.writeframes(bytes(16_000))
    file = riff.WAVE(path)
    file.add_tags()
    for frame in frames:
        file.tags.add(frame)
    file.save()


def test_flac_album_is_described_by_its_tags(tmp_path: Path) -> None:
    common = {"albumartist": "Björk", "album": "Début", "date": "1993-07-05"}
    (tmp_path / "CD2").mkdir()
    make_flac(tmp_path / "b.flac", {**common, "title": "Two", "tracknumber": "2/11"})
    make_flac(tmp_path / "c.flac", {**common, "title": "One", "tracknumber": "01"}, seconds=3)
    late = {**common, "title": "Late", "tracknumber": "1", "discnumber": "2", "artist": "Guest"}
    make_flac(tmp_path / "CD2" / "a.flac", late)
    (tmp_path / "cover.jpg").write_bytes(b"\xff\xd8")
    paths = [("b.flac",), ("c.flac",), ("CD2", "a.flac"), ("cover.jpg",)]
    album = describe_album(tmp_path, paths)
    assert (album.artist, album.title, album.year) == ("Björk", "Début", 1993)
    assert [(t.path, t.title, t.artist, t.disc, t.number) for t in album.tracks] == [
        ("c.flac", "One", "Björk", 1, 1),
        ("b.flac", "Two", "Björk", 1, 2),
        ("CD2/a.flac", "Late", "Guest", 2, 1),
    ]
    assert album.tracks[0].duration_s == pytest.approx(3)


def test_wav_tags_are_read_from_its_id3_chunk(tmp_path: Path) -> None:
    frames = [
        id3.TPE1(text=["Artist"]),
        id3.TALB(text=["Album"]),
        id3.TDRC(text=["2024-11-05"]),
        id3.TRCK(text=["7/9"]),
        id3.TPOS(text=["2/2"]),
        id3.TIT2(text=["Title"]),
    ]
    make_wav(tmp_path / "x.wav", frames)
    assert read_file_tags(tmp_path / "x.wav") == FileTags(
        artist="Artist", album="Album", year=2024, disc=2, number=7, title="Title", duration_s=1.0
    )


def test_file_without_tags_is_known_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "My Album").mkdir()
    make_wav(tmp_path / "My Album" / "07 Song.wav", [])
    (tmp_path / "My Album" / "08 broken.mp3").write_bytes(b"no audio at all")
    album = describe_album(tmp_path / "My Album", [("07 Song.wav",), ("08 broken.mp3",)])
    assert (album.artist, album.title, album.year) == (UNKNOWN_ARTIST, "My Album", None)
    assert [track.title for track in album.tracks] == ["07 Song", "08 broken"]


def test_what_the_operator_says_wins() -> None:
    tags = FileTags(artist="a", album="b", year=2000)
    album = album_of([(("1.flac",), tags)], fallback_title="f", overrides=Overrides("A", "B", 1999))
    assert (album.artist, album.title, album.year) == ("A", "B", 1999)


def test_album_of_many_artists_without_album_artist_is_various() -> None:
    tagged = [((f"{name}.flac",), FileTags(artist=name)) for name in "abc"]
    assert album_of(tagged, fallback_title="f").artist == VARIOUS_ARTISTS


def test_hostile_text_becomes_one_short_printable_line() -> None:
    hostile = "\x1b[2Ja\r\nb\ud800\u202egpj.exe" + "x" * 10_000
    text = clean(hostile)
    assert text.startswith("[2Ja b gpj.exe")
    assert len(text) == 300


@given(st.text(st.characters()))
def test_cleaned_text_is_clean_and_can_be_sent(text: str) -> None:
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    assert cleaned.isprintable() or not any(ord(c) < 32 or ord(c) == 127 for c in cleaned)
    msgspec.json.encode(cleaned)


@given(st.binary(max_size=600), st.sampled_from(["mp3", "flac", "ogg", "m4a", "wav", "aiff"]))
def test_hostile_files_never_stop_a_publish(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, suffix: str
) -> None:
    magic = {"mp3": b"ID3\x04\0\0", "flac": b"fLaC", "ogg": b"OggS", "wav": b"RIFF"}
    path = tmp_path_factory.getbasetemp() / f"hostile.{suffix}"
    path.write_bytes(magic.get(suffix, b"") + junk)
    album = describe_album(path.parent, [(path.name,)])
    # What licensing will demand of it.
    assert msgspec.json.decode(msgspec.json.encode(album), type=Album) == album


@given(
    st.lists(st.tuples(st.text("abC/.é ", min_size=1, max_size=4), st.integers(), st.integers()))
)
def test_numbers_from_tags_stay_in_their_bounds(rows: list[tuple[str, int, int]]) -> None:
    tagged = []
    for name, disc, number in rows:
        bounded = FileTags(
            disc=disc if 1 <= disc <= 999 else 0, number=number if 0 <= number <= 9999 else 0
        )
        tagged.append(((name + ".flac",), bounded))
    album = album_of(tagged, fallback_title="\n")
    assert album.title == "Untitled"
    keys = [(track.disc, track.number) for track in album.tracks]
    assert keys == sorted(keys)
