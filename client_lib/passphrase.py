"""Passphrases: what encrypts keys at rest, and backups."""

import os
from dataclasses import dataclass
from pathlib import Path

from client_lib.durable import read_file
from client_lib.errors import StorageError, UsageError

_LONGEST_BYTES = 1023  # what OpenSSL takes for a PEM file


@dataclass(frozen=True, slots=True, repr=False)
class Passphrase:
    """A secret of 1 to 1,023 bytes. Raises ValueError for another length."""

    secret: bytes

    def __post_init__(self) -> None:
        """Check the length."""
        if not self.secret:
            raise ValueError("the passphrase is empty")
        if len(self.secret) > _LONGEST_BYTES:
            raise ValueError(f"the passphrase is longer than {_LONGEST_BYTES} bytes")

    def __repr__(self) -> str:
        """Never print it."""
        return "Passphrase(…)"


def read_passphrase(path: Path) -> Passphrase:
    """Read a file with a passphrase; the line's end is not part of it.

    Raises UsageError naming the file.
    """
    try:
        return Passphrase(read_file(path, max_bytes=4096).rstrip(b"\r\n"))
    except StorageError as error:
        raise UsageError(f"passphrase: {error}") from error
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error


def environment_passphrase(variable: str) -> Passphrase | None:
    """The passphrase in the environment, if there is one. Raises UsageError."""
    value = os.environ.get(variable)
    if value is None:
        return None
    try:
        return Passphrase(os.fsencode(value))
    except ValueError as error:
        raise UsageError(f"{variable}: {error}") from error
