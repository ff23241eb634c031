"""What every SQLite file of a service needs, whatever is in it."""

import os
from pathlib import Path

from client_lib.errors import StorageError

OLDEST_SQLITE = (3, 51, 3)
"""Versions from 3.7.0 to 3.51.2 can lose a WAL reset after a crash."""


def require_safe_sqlite(version: tuple[int, ...]) -> None:
    """Raise StorageError for a version of SQLite that may lose what was committed."""
    if version < OLDEST_SQLITE:
        raise StorageError(
            f"SQLite {'.'.join(map(str, version))} may lose writes (WAL reset): "
            f"{'.'.join(map(str, OLDEST_SQLITE))} or later is needed, as pysqlite3 brings it"
        )


def create_private_file(path: Path, what: str) -> None:
    """Make an empty file with mode 0600 if there is none. `what` it is, for the StorageError.

    Before SQLite does, which would make it readable for everybody; its -wal and -shm files take
    over the mode.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StorageError(f"cannot create {what} {path}: {error.strerror}") from error
