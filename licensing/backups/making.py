"""Making a backup: one encrypted file, of one moment, while the service goes on serving."""

import contextlib
import datetime as dt
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from client_lib import __version__
from client_lib.durable import read_file, read_file_if_present, sync_folder
from client_lib.errors import StorageError, UsageError
from client_lib.passphrase import Passphrase
from licensing.backups.records import End, File, Manifest, write_record, write_table
from licensing.backups.sealed import SealingWriter
from licensing.books.sql import Snapshot
from licensing.config import CONFIG_NAME, LicensingConfig
from licensing.data_folder import DataFolder
from licensing.migrations_sqlite import schema_steps
from licensing.store_sqlite import schema_tables

OUTSIDE = "outside"
"""Folder of a restored service for files that were not in the data folder."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is backed up: a data folder with its configuration, read from `config_path`."""

    folder: DataFolder
    config: LicensingConfig
    config_path: Path


@dataclass(frozen=True, slots=True)
class Made:
    """What a backup holds."""

    events: int
    rows: int
    files: int
    size_bytes: int


def make_backup(
    snapshot: Snapshot,
    source: Source,
    target: Path,
    passphrase: Passphrase,
    *,
    now: dt.datetime,
    salt: bytes,
) -> Made:
    """Write the backup of `source`, whose ledger `snapshot` is, to the new file `target`.

    It appears whole or not at all. `salt`: 16 fresh random bytes. Raises UsageError if there is
    such a file, StorageError naming what cannot be read or written.
    """
    files = tuple(_files(source))
    last = snapshot.rows("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1")
    events, head = (int(last[0][0]), bytes(last[0][1])) if last else (0, b"")
    rows = 0
    with _new_file(target) as file:
        writer = SealingWriter(file, passphrase, salt=salt)
        steps = schema_steps()
        write_record(
            writer,
            Manifest(now.isoformat(), __version__, source.config.ledger, steps, events, head),
        )
        for record in files:
            write_record(writer, record)
        for table in schema_tables(steps):
            rows += write_table(writer, table.name, table.columns, snapshot.stream(table.by_key))
        write_record(writer, End())
        writer.finish()
        size_bytes = file.tell()
    return Made(events, rows, len(files), size_bytes)


def _files(source: Source) -> Iterator[File]:
    """Everything in the folder but the ledger, and what the configuration names elsewhere."""
    folder = source.folder
    yield _file(folder, folder.root / CONFIG_NAME, read_file(source.config_path), 0o600)
    for path in (folder.ca, folder.ca_key, folder.signer):
        yield _file(folder, path, read_file(path))
    seen = {folder.ca, folder.ca_key, folder.signer}
    for path in (folder.https, folder.test_store_key, folder.test_store_public_key):
        if (data := read_file_if_present(path)) is not None:
            seen.add(path)
            yield _file(folder, path, data)
    for name in source.config.named_files():
        path = folder.root / name
        if path not in seen:
            seen.add(path)
            yield _file(folder, path, read_file(path))


def _file(folder: DataFolder, path: Path, data: bytes, mode: int | None = None) -> File:
    if mode is None:
        mode = path.stat().st_mode & 0o777
    inside = Path(os.path.normpath(path)).is_relative_to(os.path.normpath(folder.root))
    if inside:
        return File(os.path.relpath(path, folder.root), mode, data)
    return File(f"{OUTSIDE}/{path.name}", mode, data, outside=str(path))


@contextlib.contextmanager
def _new_file(target: Path) -> Iterator[BinaryIO]:
    """A file that gets its name when it is whole and durable; nothing of it stays otherwise."""
    try:
        if target.exists():
            raise UsageError(f"{target} exists: a backup is never overwritten")
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, target)  # noqa: PTH104 - the pair to mkstemp
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108
            raise
        sync_folder(target.parent)
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror}") from error
