"""Plain files in folders that others write to, too: links, pipes and devices are not opened.

An album's folder is its owner's, and an origin's may be shared. What has taken a file's place there
would have us read another file, wait for ever, or wind a tape.
"""

import errno
import os
import stat
from pathlib import Path

_READING = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe is opened at once, and then refused
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)  # Windows, which has only this one
)


def open_plain(path: Path | str) -> int:
    """Open a plain file for reading, and return its descriptor, which the caller closes.

    Raises OSError, whose `strerror` says what is there instead. Only the last part of the path
    matters: the folders above may be links.
    """
    # Looked at before, because to open a device may do something; and after, because what lies
    # there may have changed in between. Each look takes 1 µs.
    _check(path, os.lstat(path))
    descriptor = os.open(path, _READING)
    try:
        _check(path, os.fstat(descriptor))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def plain_size_bytes(path: Path | str) -> int | None:
    """Length of a plain file; None if anything else lies there, or nothing."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _check(path: Path | str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, f"it is {_kind(status.st_mode)}, not a plain file", str(path))


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "a folder" if stat.S_ISDIR(mode) else "a special file"
