"""`checksums.sha256` in an album's folder: what `sha256sum -c` and other tools compare it with."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import trio

from client_lib.download.disk.file_digest import FileDigest
from client_lib.download.disk.naming import comparable
from client_lib.durable import write_atomically
from client_lib.nursery import open_quiet_nursery

CHECKSUMS_FILE = "checksums.sha256"
_FOR_A_THREAD_BYTES = 16 << 20


def brings_its_own(paths: Sequence[str]) -> bool:
    """Whether an album has a file of this name, which it keeps."""
    return any(comparable(path) == comparable(CHECKSUMS_FILE) for path in paths)


async def write_checksums(
    folder: Path, paths: Sequence[str], size_bytes: int, begun: Mapping[str, FileDigest]
) -> None:
    """Hash the album's files, `size_bytes` in all, and write the list beside them.

    What was `begun` by path is gone on with. An album that has a file of this name keeps its own.
    Raises StorageError.
    """
    if brings_its_own(paths):
        await trio.lowlevel.checkpoint()
        return
    digests: dict[str, str] = {}
    remaining = iter(paths)  # which all threads share

    def work() -> None:
        for path in remaining:
            digests[path] = begun.get(path, FileDigest()).finish(folder / path)

    left_bytes = size_bytes - sum(digest.done_bytes for digest in begun.values())
    async with open_quiet_nursery() as nursery:
        for _ in range(min(left_bytes // _FOR_A_THREAD_BYTES, os.cpu_count() or 1)):
            nursery.start_soon(trio.to_thread.run_sync, work)

    def finish() -> None:
        work()  # all of a small album
        # As sha256sum writes it. No name needs its escapes: `naming` lets no backslash or newline
        # by. A sync would write out the whole album first, and what is lost can be made again.
        lines = "".join(f"{digests[path]}  {path}\n" for path in sorted(paths))
        write_atomically(folder / CHECKSUMS_FILE, lines.encode(), power_cut_safe=False)

    await trio.to_thread.run_sync(finish)
