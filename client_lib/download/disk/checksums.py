"""`checksums.sha256` in an album's folder: what `sha256sum -c` and other tools compare it with."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import trio

from client_lib.download.disk.file_digest import FileDigest
from client_lib.download.disk.naming import comparable
from client_lib.durable import write_atomically
from client_lib.nursery import open_quiet_nursery
from client_lib.wire.file_tree import TorrentFile

CHECKSUMS_FILE = "checksums.sha256"
_FOR_A_THREAD_BYTES = 16 << 20


def brings_its_own(paths: Iterable[str]) -> bool:
    """Whether an album has a file of this name, which it keeps."""
    return any(comparable(path) == comparable(CHECKSUMS_FILE) for path in paths)


async def write_checksums(
    folder: Path, files: Mapping[str, TorrentFile], begun: Mapping[str, FileDigest]
) -> None:
    """Write the list beside the album's `files`, by path.

    They are verified: what the torrent says of them is true. The others are hashed; what was
    `begun` is gone on with. An album that has a file of this name keeps its own. Raises
    StorageError.
    """
    if brings_its_own(files):
        await trio.lowlevel.checkpoint()
        return
    digests = {path: file.sha256.hex() for path, file in files.items() if file.sha256}
    unsaid = {path: file.length_bytes for path, file in files.items() if file.sha256 is None}
    remaining = iter(unsaid)  # which all threads share

    def work() -> None:
        for path in remaining:
            digests[path] = begun.get(path, FileDigest()).finish(folder / path)

    left_bytes = sum(unsaid.values()) - sum(digest.done_bytes for digest in begun.values())
    async with open_quiet_nursery() as nursery:
        for _ in range(min(left_bytes // _FOR_A_THREAD_BYTES, os.cpu_count() or 1)):
            nursery.start_soon(trio.to_thread.run_sync, work)

    def finish() -> None:
        work()  # all that is unsaid of a small album
        # As sha256sum writes it. No name needs its escapes: `naming` lets no backslash or newline
        # by. A sync would write out the whole album first, and what is lost can be made again.
        lines = "".join(f"{digests[path]}  {path}\n" for path in sorted(digests))
        write_atomically(folder / CHECKSUMS_FILE, lines.encode(), power_cut_safe=False)

    await trio.to_thread.run_sync(finish)
