"""`checksums.sha256` in an album's folder: what `sha256sum -c` and other tools compare it with."""

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import trio

from client_lib.download.disk.naming import comparable
from client_lib.durable import write_atomically
from client_lib.errors import StorageError
from client_lib.nursery import open_quiet_nursery

CHECKSUMS_FILE = "checksums.sha256"
_FOR_A_THREAD_BYTES = 16 << 20
_READ_BYTES = 1 << 18  # stays in a core's cache


async def write_checksums(folder: Path, paths: Sequence[str], size_bytes: int) -> None:
    """Hash the album's files, `size_bytes` in all, and write the list beside them.

    An album that has a file of this name keeps its own. Raises StorageError.
    """
    if any(comparable(path) == comparable(CHECKSUMS_FILE) for path in paths):
        await trio.lowlevel.checkpoint()
        return
    digests: dict[str, str] = {}
    remaining = iter(paths)  # which all threads share

    def work() -> None:
        for path in remaining:
            digests[path] = _digest(folder / path)

    async with open_quiet_nursery() as nursery:
        for _ in range(min(size_bytes // _FOR_A_THREAD_BYTES, os.cpu_count() or 1)):
            nursery.start_soon(trio.to_thread.run_sync, work)

    def finish() -> None:
        work()  # all of a small album
        # As sha256sum writes it. No name needs its escapes: `naming` lets no backslash or newline
        # by. A sync would write out the whole album first, and what is lost can be made again.
        lines = "".join(f"{digests[path]}  {path}\n" for path in sorted(paths))
        write_atomically(folder / CHECKSUMS_FILE, lines.encode(), power_cut_safe=False)

    await trio.to_thread.run_sync(finish)


def _digest(path: Path) -> str:
    digest, buffer = sha256(), memoryview(bytearray(_READ_BYTES))
    try:
        with path.open("rb", buffering=0) as content:
            while count := content.readinto(buffer):
                digest.update(buffer[:count])
                trio.from_thread.check_cancelled()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    return digest.hexdigest()
