"""Staging folders inside an origin: where a release is made before it gets its name.

`<origin>/.staging/<random>/` belongs to the publish that holds the lock on the `lock` file in it.
The kernel drops the lock of a killed process, so what a later publish can lock is rubbish.
`<origin>/.staging/lock` is held for moments only: while rubbish is swept, while a staging folder is
made, and while a release is given its name.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from client_lib.errors import StorageError

_FOLDER = ".staging"
_LOCK = "lock"


@contextlib.contextmanager
def staging_folder(origin: Path) -> Iterator[Path]:
    """A folder on the origin's own disk, gone when the block ends. Blocking.

    Sweeps up what killed publishes have left. Raises StorageError.
    """
    base = origin / _FOLDER
    with contextlib.ExitStack() as stack:
        try:
            base.mkdir(parents=True, exist_ok=True)
            with _locked(base / _LOCK):
                _sweep(base)
                folder = base / secrets.token_hex(8)
                folder.mkdir()
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
                stack.enter_context(_locked(folder / _LOCK))
        except OSError as error:
            raise StorageError(f"cannot write to {base}: {error.strerror}") from error
        yield folder


@contextlib.contextmanager
def exclusively(origin: Path) -> Iterator[None]:
    """Hold the origin's lock, waiting for it, so that one release at a time is given its name."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_locked(origin / _FOLDER / _LOCK))
        except OSError as error:
            raise StorageError(f"cannot lock {origin / _FOLDER}: {error.strerror}") from error
        yield


@contextlib.contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold `flock(2)` on a file. Raises BlockingIOError if `wait` is false and another has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _sweep(base: Path) -> None:
    for folder in base.iterdir():
        if folder.is_dir():
            with contextlib.suppress(BlockingIOError), _locked(folder / _LOCK, wait=False):
                shutil.rmtree(folder, ignore_errors=True)
