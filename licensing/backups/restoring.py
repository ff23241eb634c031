"""Restoring a backup on an empty machine: everything appears at once, or nothing does."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from client_lib.durable import private_folder, sync_folder, write_atomically
from client_lib.errors import StorageError, UsageError
from client_lib.passphrase import Passphrase
from licensing.backups.making import OUTSIDE
from licensing.backups.records import End, File, Manifest, RecordReader, Row, TableStart
from licensing.backups.sealed import SealedReader
from licensing.config import CONFIG_NAME, is_postgres
from licensing.migrations_sqlite import schema_steps
from licensing.store_sqlite import open_scratch, schema_tables
from licensing.stores import require_psycopg

_OWN_LEDGER = "ledger.sqlite3"


class _Loader(Protocol):
    def load(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None: ...


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored. `outside`: files not of the data folder, and where they were."""

    made_at: str
    events: int
    ledger: str
    outside: tuple[tuple[Path, str], ...]


def restore(source: Path, data: Path, passphrase: Passphrase, *, ledger: str | None) -> Restored:
    """Restore `source` into the new folder `data`; `ledger` as in the configuration, or None for
    a file as before.

    Killed at any moment it leaves no folder `data`; what it had begun is swept up by the next
    one. Raises UsageError for a folder that is not empty, StorageError for a backup that is
    damaged, a wrong passphrase, and a database that holds a ledger.
    """
    try:
        data = data.absolute()
        if data.exists() and (not data.is_dir() or any(data.iterdir())):
            raise UsageError(f"{data} is not an empty folder: restore into a new one")
        with source.open("rb") as file, _staging(data) as staging:
            reader = SealedReader(file, passphrase, name=str(source))
            restored = _restore(RecordReader(reader, name=str(source)), staging, ledger)
            _put_in_place(staging, data)
    except OSError as error:
        raise StorageError(f"cannot restore {source} to {data}: {error}") from error
    outside = tuple((data / path, was) for path, was in restored.outside)
    return Restored(restored.made_at, restored.events, restored.ledger, outside)


@contextlib.contextmanager
def _staging(data: Path) -> Iterator[Path]:
    """A folder beside `data`, private, empty and ours alone; removed afterwards."""
    data.parent.mkdir(parents=True, exist_ok=True)
    staging = private_folder(data.parent / f".{data.name}.restoring")
    # It is emptied, and then filled with keys: not through somebody's link, nor where others write.
    handle = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        status = os.fstat(handle)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise UsageError(f"{staging} is open to others: remove it, and restore again")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"another restore into {data} is under way") from error
        try:
            for left_over in staging.iterdir():
                shutil.rmtree(left_over) if left_over.is_dir() else left_over.unlink()
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)  # gone already if all went well
    finally:
        os.close(handle)


def _put_in_place(staging: Path, data: Path) -> None:
    for folder in (*(path for path in staging.rglob("*") if path.is_dir()), staging):
        sync_folder(folder)
    staging.rename(data)
    sync_folder(data.parent)


def _restore(records: RecordReader, staging: Path, ledger: str | None) -> Restored:
    manifest = records.next()
    if not isinstance(manifest, Manifest):
        raise records.unexpected("no manifest")
    if manifest.steps != schema_steps()[: len(manifest.steps)]:
        raise records.unexpected("a ledger of a newer version")
    chosen = _choose_ledger(manifest, ledger)
    outside = []
    while isinstance(record := records.next(), File):
        path = _inside(staging, record, records)
        data = record.data
        if record.path == CONFIG_NAME and chosen != manifest.ledger:
            data = set_in_toml(data.decode(), "ledger", chosen).encode()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, data, mode=record.mode)
        if record.outside:
            outside.append((path.relative_to(staging), record.outside))
    with _loader(staging, chosen, manifest) as loader:
        for table in schema_tables(manifest.steps):
            if record != TableStart(table.name, table.columns):
                raise records.unexpected(f"no table {table.name}")
            rows = records.rows(len(table.columns))
            if loader is None:
                _skip(rows)
            else:
                loader.load(table.name, table.columns, rows)
            record = records.next()
        if not isinstance(record, End):
            raise records.unexpected("more tables than it should")
        records.require_end()
    if not is_postgres(chosen):
        _sync_file(staging / chosen)
    return Restored(manifest.made_at, manifest.events, chosen, tuple(outside))


def _choose_ledger(manifest: Manifest, ledger: str | None) -> str:
    if ledger is None:
        if is_postgres(manifest.ledger):
            raise UsageError(
                "the ledger was on PostgreSQL: say where it shall be, with --ledger "
                f"postgresql://user@host/database or --ledger {_OWN_LEDGER}"
            )
        return manifest.ledger if _is_plain(manifest.ledger) else _OWN_LEDGER
    if not is_postgres(ledger) and not _is_plain(ledger):
        raise UsageError(
            f"--ledger {ledger}: name a file in the new folder, or a postgresql:// URL"
        )
    return ledger


def _is_plain(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and not PurePosixPath(path).is_absolute() and ".." not in parts


def _inside(staging: Path, file: File, records: RecordReader) -> Path:
    if not _is_plain(file.path) or (file.outside and not file.path.startswith(f"{OUTSIDE}/")):
        raise records.unexpected(f"a file {file.path!r}")
    return staging / file.path


def _loader(
    staging: Path, ledger: str, manifest: Manifest
) -> AbstractContextManager[_Loader | None]:
    """Where the tables go; None if the database has them already."""
    if not is_postgres(ledger):
        path = staging / ledger
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return open_scratch(path, steps=manifest.steps)
    require_psycopg()
    from licensing.store_postgres import open_postgres_loader, read_postgres_head

    # A restore that was killed between the database's commit and the folder's last step.
    if manifest.events and read_postgres_head(ledger) == (manifest.events, manifest.head):
        return contextlib.nullcontext(None)
    return open_postgres_loader(ledger, manifest.steps)


def _skip(rows: Iterable[Row]) -> None:
    for _ in rows:
        pass


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def set_in_toml(text: str, key: str, value: str) -> str:
    """Set a top-level string in a TOML document, leaving the rest as it is, comments too.

    Raises StorageError if that cannot be done line by line.
    """
    line = f"{key} = {json.dumps(value, ensure_ascii=False)}"
    first_table = re.search(r"(?m)^[ \t]*\[", text)
    end = first_table.start() if first_table else len(text)
    top, rest = text[:end], text[end:]
    changed, found = re.subn(rf"(?m)^[ \t]*{key}[ \t]*=.*$", lambda _: line, top)
    if not found:
        changed = f"{line}\n{top}"
    document = changed + rest
    try:
        expected = tomllib.loads(text) | {key: value}
        if tomllib.loads(document) == expected:
            return document
    except tomllib.TOMLDecodeError:
        pass
    raise StorageError(f"cannot set {key} in the configuration of the backup")
