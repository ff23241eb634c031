"""An edition: the whole album in another format, made in a folder of its own."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import trio

from client_lib.errors import StorageError
from client_lib.nursery import open_quiet_nursery
from seeder.encoding.covers import read_covers, write_covers
from seeder.encoding.ffmpeg import Ffmpeg
from seeder.encoding.process_group import open_process_group
from seeder.encoding.source import FilePath, Source
from seeder.encoding.targets import Target


async def make_edition(
    root: Path,
    source: Source,
    target: Target,
    into: Path,
    ffmpeg: Ffmpeg,
    on_track: Callable[[FilePath], None],
) -> None:
    """Encode the album below `root` into the new folder `into`, a track a core.

    Whether the album changed meanwhile is for the caller to tell. Raises StorageError.
    """
    cores = trio.CapacityLimiter(len(os.sched_getaffinity(0)))
    paths = source.paths(target)

    async def encode(path: FilePath) -> None:
        async with cores:
            original, made = root.joinpath(*path), into.joinpath(*paths[path])
            log = into.parent / f"{len(logs)}.log"
            logs.append(log)
            await ffmpeg.encode(original, source.tracks[path], target, made, log, group)
            await trio.to_thread.run_sync(_copy_covers, original, made)
        on_track(path)

    logs: list[Path] = []
    try:
        for path, goes_to in paths.items():
            made = into.joinpath(*goes_to)
            made.parent.mkdir(parents=True, exist_ok=True)
            if path not in source.tracks:
                # Whether it was a link meanwhile, the comparison with the survey tells.
                copy = partial(shutil.copyfile, follow_symlinks=False)
                await trio.to_thread.run_sync(copy, root.joinpath(*path), made)
        async with open_process_group() as group, open_quiet_nursery() as nursery:
            for path in source.tracks:
                nursery.start_soon(encode, path)
    except OSError as error:
        raise StorageError(f"cannot encode {error.filename or root}: {error.strerror}") from error


def _copy_covers(original: Path, made: Path) -> None:
    write_covers(made, read_covers(original))
