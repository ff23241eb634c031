"""An album to sell: three synthesised 24-bit tracks with tags and a cover."""

import math
import random
import struct
import wave
import zlib
from pathlib import Path
from typing import Any

from mutagen.id3 import APIC, TALB, TDRC, TIT2, TPE1, TPE2, TRCK
from mutagen.wave import WAVE

ARTIST, TITLE, YEAR = "Håkan & the Örebro Oscillators", "Sealed Sounds", 2026
TRACKS = ("Näcken's Announce", "Two Thirds from Friends", "Kumar and Ross, a Lullaby")
_RATE_HZ, _CHANNELS, _SAMPLE_BYTES = 96_000, 2, 3
_NOTE_S, _NOTES_A_TRACK = 0.5, 74  # 3 tracks x 37 s x 576 kB/s = 64 MB
_SCALE_HZ = (220.0, 246.94, 261.63, 293.66, 329.63, 392.0, 440.0)


def synthesise(folder: Path) -> None:
    """Write the album into `folder` (new): the same bytes every time."""
    folder.mkdir(parents=True)
    chance = random.Random(2026)  # noqa: S311 - music, not secrets
    cover = _cover()
    for number, title in enumerate(TRACKS, start=1):
        path = folder / f"{number:02d} {title}.wav"
        with wave.open(str(path), "wb") as track:
            track.setnchannels(_CHANNELS)
            track.setsampwidth(_SAMPLE_BYTES)
            track.setframerate(_RATE_HZ)
            for _ in range(_NOTES_A_TRACK):
                track.writeframesraw(_note(chance.choice(_SCALE_HZ), chance))
        _tag(path, number, title, cover)
    (folder / "cover.png").write_bytes(cover)


def _note(pitch_hz: float, chance: random.Random) -> bytes:
    """Half a second of a tone that sounds a third with itself; 24-bit little-endian stereo."""
    period = round(_RATE_HZ / pitch_hz)
    cycle = bytearray()
    for step in range(period):
        angle = 2 * math.pi * step / period
        level = 0.5 * math.sin(angle) + 0.2 * math.sin(2 * angle) + 0.1 * math.sin(3 * angle)
        sample = struct.pack("<i", round(level * 0x3FFFFF))[:_SAMPLE_BYTES]
        cycle += sample * _CHANNELS
    size = round(_NOTE_S * _RATE_HZ) * _CHANNELS * _SAMPLE_BYTES
    frames = bytearray((bytes(cycle) * (size // len(cycle) + 1))[:size])
    # Dither in the lowest 8 of 24 bits (-96 dBFS), so that no two pieces are alike.
    frames[::_SAMPLE_BYTES] = chance.randbytes(size // _SAMPLE_BYTES)
    return bytes(frames)


def _tag(path: Path, number: int, title: str, cover: bytes) -> None:
    track = WAVE(path)
    track.add_tags()
    tags: Any = track.tags
    tags.add(TIT2(encoding=3, text=title))
    tags.add(TPE1(encoding=3, text=ARTIST))
    tags.add(TPE2(encoding=3, text=ARTIST))
    tags.add(TALB(encoding=3, text=TITLE))
    tags.add(TDRC(encoding=3, text=str(YEAR)))
    tags.add(TRCK(encoding=3, text=f"{number}/{len(TRACKS)}"))
    tags.add(APIC(encoding=3, mime="image/png", type=3, desc="Cover", data=cover))
    track.save()


def _cover(side: int = 256) -> bytes:
    """A PNG (W3C, third edition) of interfering waves."""
    rows = bytearray()
    for y in range(side):
        rows.append(0)  # filter: none
        for x in range(side):
            wave_a = math.sin(math.hypot(x - 64, y - 64) / 6)
            wave_b = math.sin(math.hypot(x - 192, y - 160) / 7)
            rows += bytes((int(127 + 63 * (wave_a + wave_b)), y // 2, 255 - x // 2))

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(rows)))
        + chunk(b"IEND", b"")
    )
