"""`checksums.sha256` in an album's folder: what `sha256sum -c` and other tools compare it with."""

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import trio

from client_lib.download.naming import comparable
from client_lib.durable import write_atomically
from client_lib.errors import StorageError
from client_lib.nursery import open_quiet_nursery

CHECKSUMS_FILE = "checksums.sha256"
_READ_BYTES = 1 << 20


async def write_checksums(folder: Path, paths: Sequence[str]) -> None:
    """Hash the album's files, some at a time, and write the list beside them.

    An album that has a file of this name keeps its own. Raises StorageError.
    """
    if any(comparable(path) == comparable(CHECKSUMS_FILE) for path in paths):
        await trio.lowlevel.checkpoint()
        return
    digests: dict[str, str] = {}
    remaining = iter(paths)

    async def work() -> None:
        for path in remaining:  # which all workers share
            digests[path] = await trio.to_thread.run_sync(_digest, folder / path)

    async with open_quiet_nursery() as nursery:
        for _ in range(os.cpu_count() or 1):
            nursery.start_soon(work)
    # As sha256sum writes it. No name needs its escapes: `naming` lets no backslash or newline by.
    lines = "".join(f"{digests[path]}  {path}\n" for path in sorted(paths))
    await trio.to_thread.run_sync(_write, folder / CHECKSUMS_FILE, lines.encode())


def _digest(path: Path) -> str:
    digest = sha256()
    try:
        with path.open("rb") as content:
            while chunk := content.read(_READ_BYTES):
                digest.update(chunk)
                trio.from_thread.check_cancelled()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    return digest.hexdigest()


def _write(path: Path, data: bytes) -> None:
    # A sync would write out the whole album first, and what is lost can be made again.
    write_atomically(path, data, power_cut_safe=False)
