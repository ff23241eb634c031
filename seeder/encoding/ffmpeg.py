"""ffmpeg as a process of its own: one track at a time, and nothing but that track.

Files come from anywhere. ffmpeg gets no shell, no terminal, no network, no environment, one
demuxer and the decoders that belong to it, and a time limit; pictures it does not even look at.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import trio

from client_lib.errors import StorageError, UsageError
from seeder.encoding.source import SourceTrack
from seeder.encoding.targets import Target

_LEAST_LIMIT_S = 120.0
_MOST_LIMIT_S = 3_600.0
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH")
_STEREO = 2
_ASKING_S = 30.0
# Its own version would otherwise be in every file, and Ogg streams would have random numbers:
# the same track, encoded again, would be other content.
_BITEXACT = ("-fflags", "+bitexact", "-flags:a", "+bitexact", "-threads", "1")


@dataclass(frozen=True, slots=True)
class Ffmpeg:
    """An ffmpeg that has the encoders that are needed."""

    program: str

    async def encode(
        self,
        source: Path,
        track: SourceTrack,
        target: Target,
        into: Path,
        log: Path,
        process_group: int,
    ) -> None:
        """Encode a track with its tags, without its cover, to the new file `into`.

        `log` is where ffmpeg's words go, `process_group` what it ends with. Takes one core. Raises
        StorageError for a track that is damaged, or takes longer than it plays and two minutes (at
        most an hour).
        """
        limit_s = min(_MOST_LIMIT_S, _LEAST_LIMIT_S + track.duration_s)
        with log.open("wb") as words, trio.move_on_after(limit_s) as limit:
            done = await trio.run_process(
                _command(self.program, source, track, target, into),
                stderr=words,
                check=False,
                deliver_cancel=_kill,
                process_group=process_group,
                env=_environment(),
            )
        if limit.cancelled_caught:
            raise StorageError(f"{source}: ffmpeg took longer than {limit_s:.0f} s")
        if done.returncode:
            raise StorageError(f"ffmpeg cannot encode {source}: {_last_line(log)}")


async def find_ffmpeg(targets: tuple[Target, ...]) -> Ffmpeg:
    """The machine's ffmpeg. Raises UsageError if there is none, or it lacks an encoder."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise UsageError(
            "--encode needs ffmpeg, which is not installed: install it (Debian: apt install"
            " ffmpeg), or publish without --encode"
        )
    try:
        with trio.fail_after(_ASKING_S):
            listing = await trio.run_process(
                [program, "-nostdin", "-hide_banner", "-loglevel", "error", "-encoders"],
                capture_stdout=True,
                env=_environment(),
            )
    except (OSError, subprocess.CalledProcessError, trio.TooSlowError) as error:
        raise UsageError(f"--encode: {program} does not work: {error}") from error
    known = {line.split()[1] for line in listing.stdout.decode().splitlines() if " " in line[1:]}
    for target in targets:
        if target.encoder not in known:
            raise UsageError(
                f"--encode {target.audio_format}: {program} was built without {target.encoder}"
            )
    return Ffmpeg(program)


def _command(
    program: str, source: Path, track: SourceTrack, target: Target, into: Path
) -> list[str]:
    resampled = f"aresample={target.sample_rate(track.sample_rate_hz)}:filter_size=64:cutoff=0.97"
    if target.encoder == "flac":
        resampled += ":osf=s16:dither_method=triangular_hp"
    # More than two channels have too many layouts for the encoders to agree on.
    channels = ("-ac", "2") if track.channels > _STEREO else ()
    return [
        *(program, "-nostdin", "-hide_banner", "-loglevel", "error", "-xerror"),
        *("-protocol_whitelist", "file,pipe", "-codec_whitelist", track.kind.decoders),
        *("-f", track.kind.demuxer, "-i", f"file:{source}"),
        *("-map", "0:a:0", "-vn", "-map_metadata", track.kind.tags, "-map_chapters", "-1"),
        *("-c:a", target.encoder, *target.options, *channels, "-af", resampled),
        *(*_BITEXACT, "-f", target.muxer, "-n", f"file:{into}"),
    ]


async def _kill(process: trio.Process) -> None:
    """At once: nobody wants what it was writing."""
    process.kill()
    await trio.lowlevel.checkpoint()


def _environment() -> dict[str, str]:
    """Without what is secret in ours, such as the credentials of a bucket."""
    return {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}


def _last_line(log: Path) -> str:
    with log.open("rb") as words:
        words.seek(max(0, log.stat().st_size - 500))
        lines = words.read().decode(errors="replace").splitlines()
    return lines[-1][:200] if lines else "it does not say why"
