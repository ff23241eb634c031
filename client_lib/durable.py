"""Files that survive a crash: written whole or not at all, private where they hold secrets."""

import contextlib
import os
import stat
import sys
import tempfile
import time
from pathlib import Path

from client_lib.errors import StorageError

_PRIVATE = 0o600


def write_atomically(
    path: Path, data: bytes, *, mode: int = 0o644, power_cut_safe: bool = True
) -> None:
    """Replace `path` by `data`; a crash leaves the old file or the new one.

    The file never exists with more permissions than `mode`. Without `power_cut_safe` it survives
    a killed process but not a power cut: for what is worthless after one. Raises StorageError.
    """
    try:
        # mkstemp makes the file 0600, so a secret is private before its first byte.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                if mode != _PRIVATE:
                    os.chmod(temporary, mode)  # noqa: PTH101 - Windows has no fchmod
                if power_cut_safe:
                    os.fsync(file.fileno())
            os.replace(temporary, path)  # noqa: PTH105 - the pair to mkstemp
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108
            raise
        if power_cut_safe:
            sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error


def write_secret(path: Path, data: bytes) -> None:
    """`write_atomically` with mode 0600."""
    write_atomically(path, data, mode=0o600)


def write_secret_once(path: Path, data: bytes) -> bytes:
    """Write a secret unless somebody has: of several at once one wins. Returns what is there.

    Raises StorageError.
    """
    candidate = path.with_name(f".{path.name}.{os.getpid()}")
    write_secret(candidate, data)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(candidate, path)
        candidate.unlink()
        sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error
    return read_file(path)


ABANDONED_S = 60.0
"""A temporary that is older belongs to a process that was killed: none takes so long to write."""


def sweep_temporaries(folder: Path, *, now_s: float | None = None) -> int:
    """Remove what killed processes left of unfinished writes in `folder`; returns how many.

    Names that begin with a dot are temporaries: use it for folders of ours only.
    """
    now_s = time.time() if now_s is None else now_s
    removed = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                continue
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and now_s - status.st_mtime > ABANDONED_S:
                    os.unlink(entry.path)  # noqa: PTH108
                    removed += 1
    return removed


def sync_folder(folder: Path) -> None:
    """Make renames and new entries of `folder` survive a power cut.

    Not on Windows, which opens no folders and keeps the journal of NTFS.
    """
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def private_folder(path: Path) -> Path:
    """Make `path` if it is missing, with mode 0700, and return it. Raises StorageError."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make folder {path}: {error.strerror}") from error
    return path


def read_file(path: Path, *, max_bytes: int = 16 << 20) -> bytes:
    """Read a whole file of ours or one named by the user. Raises StorageError, naming it."""
    try:
        with path.open("rb") as file:
            # As large as it says it is: to ask for `max_bytes` maps and unmaps as many, 40 µs.
            data = file.read(min(os.fstat(file.fileno()).st_size, max_bytes) + 1)
            data += file.read(max_bytes + 1 - len(data))  # it has grown, or is a pipe
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # a NUL, which a configuration file can name
        raise StorageError(f"cannot read {str(path)!r}: {error}") from error
    if len(data) > max_bytes:
        raise StorageError(f"cannot read {path}: larger than {max_bytes} bytes")
    return data


def read_file_if_present(path: Path, *, max_bytes: int = 16 << 20) -> bytes | None:
    """`read_file`, or None if there is no such file."""
    try:
        return read_file(path, max_bytes=max_bytes)
    except StorageError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def read_text(path: Path, *, max_bytes: int = 1 << 20) -> str:
    """`read_file`, as UTF-8."""
    try:
        return read_file(path, max_bytes=max_bytes).decode()
    except UnicodeDecodeError as error:
        raise StorageError(f"cannot read {path}: it is not UTF-8 text") from error
