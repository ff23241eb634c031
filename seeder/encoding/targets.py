"""The formats that an album can be encoded to, and ffmpeg's options for each."""

from dataclasses import dataclass

from client_lib.errors import UsageError
from client_lib.wire.release import AudioFormat


@dataclass(frozen=True, slots=True)
class Target:
    """A format. `muxer`, `encoder` and `options` are ffmpeg's."""

    audio_format: AudioFormat
    suffix: str
    muxer: str
    encoder: str
    options: tuple[str, ...]
    sample_rates: tuple[int, ...] = ()
    """Sample rates it comes in, the multiple of 11,025 Hz first; others are converted."""

    def sample_rate(self, source_hz: int) -> int:
        """What a source is converted to: without a fraction, if that can be."""
        return self.sample_rates[0 if source_hz % 11_025 == 0 else -1]


_CD_AND_DAT = (44_100, 48_000)


def _mp3(name: str, *options: str) -> Target:
    return Target(AudioFormat(name), ".mp3", "mp3", "libmp3lame", options, _CD_AND_DAT)


def _opus(kbit_s: int) -> Target:
    options = ("-b:a", f"{kbit_s}k", "-vbr", "on", "-compression_level", "10")
    name = AudioFormat(f"opus-{kbit_s}")
    return Target(name, ".opus", "opus", "libopus", options, (48_000,))


TARGETS = {
    target.audio_format: target
    for target in (
        _mp3("mp3-320", "-b:a", "320k"),
        _mp3("mp3-v0", "-q:a", "0"),
        *map(_opus, (96, 128, 160, 192, 256)),
        Target(AudioFormat("aac-256"), ".m4a", "ipod", "aac", ("-b:a", "256k"), _CD_AND_DAT),
        Target(AudioFormat("vorbis-q6"), ".ogg", "ogg", "libvorbis", ("-q:a", "6"), _CD_AND_DAT),
        Target(
            AudioFormat("flac-16-44"),
            ".flac",
            "flac",
            "flac",
            ("-sample_fmt", "s16", "-compression_level", "8"),
            (44_100,),
        ),
    )
}


def parse_targets(text: str | None, own: AudioFormat) -> tuple[Target, ...]:
    """Targets of `mp3-320,opus-160`. `own` is the album's format. Raises UsageError."""
    names = [name.strip() for name in text.split(",")] if text is not None else []
    targets = []
    for name in dict.fromkeys(names):
        target = TARGETS.get(AudioFormat(name))
        if target is None:
            known = ", ".join(TARGETS)
            raise UsageError(f"--encode {name[:40]!r} is not a format that can be made: {known}")
        if name == own:
            raise UsageError(f"--encode {name} is the album's own format")
        targets.append(target)
    return tuple(targets)
