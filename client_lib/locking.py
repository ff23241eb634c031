"""Locks between processes: a file held open and locked, free again whenever its holder dies."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from client_lib.errors import StorageError


@contextlib.contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Hold `path` locked, making it (0600) if it is missing.

    Raises BlockingIOError at once if somebody else holds it, StorageError if it cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise StorageError(f"cannot open {path}: {error.strerror}") from error
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:  # EACCES, which elsewhere means something else
            raise BlockingIOError(error.errno, "held by another process") from error

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
